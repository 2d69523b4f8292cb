"""OpenSSH's server on this machine, for files alone: what a bank takes packs by."""

import getpass
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.servers import process

_NAME = "sshd"


@dataclass(frozen=True)
class Sftp:
    """A server that lives in `folder`, for the user who starts it; all verbs may be called twice.

    Attributes:
        folder: Keys, configuration, log and process id.
    """

    folder: Path

    @property
    def url(self) -> str:
        """The address, without a folder."""
        return f"sftp://{getpass.getuser()}@127.0.0.1:{process.remembered_port(self.folder)}"

    @property
    def host_key(self) -> str:
        """The server's public key, as `ssh-keyscan` prints it."""
        kind, key, *_ = (self.folder / "host.pub").read_text().split()
        return f"[127.0.0.1]:{process.remembered_port(self.folder)} {kind} {key}"

    @property
    def private_key(self) -> Path:
        """The key that lets the user in."""
        return self.folder / "user"

    def start(self) -> None:
        """Start it where it does not run; returns when it answers.

        Raises:
            ServerError: OpenSSH's server is not installed, it has ended, or it is not ready in time.
        """
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        if not Path(program).exists():
            raise process.ServerError("Cannot start sshd: it is missing. Install the package openssh-server.")
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("host", "user"):
            if not (self.folder / name).exists():
                command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
                subprocess.run(command, check=True)
        port = process.remembered_port(self.folder)
        config = self.folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {self.folder / 'host'}\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder / 'user.pub'}\nStrictModes no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin prohibit-password\n"
            "Subsystem sftp internal-sftp\nForceCommand internal-sftp\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)  # its unprivileged part lives in this folder
        process.start(_NAME, [program, "-D", "-e", "-f", str(config)], self.folder)
        process.wait_until(lambda: process.answers(port), _NAME, self.folder)

    def stop(self) -> None:
        """End it."""
        process.stop(_NAME, self.folder)
