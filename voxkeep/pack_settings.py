"""A pack's YAML: what a bank asks for, and where it goes."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from reconcile.pack import Pack
from voxkeep.secret import Secret
from voxkeep.settings_mistakes import read_model

if TYPE_CHECKING:
    from blocks.delivery import Delivery


class Deliver(BaseModel):
    """Where a pack goes; each file is read back there and compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        pattern="^(/|file:///|s3://|sftp://)", description="Folder, s3://bucket/prefix or sftp://user@host:port/folder."
    )
    endpoint: str | None = Field(None, description="URL of the S3 service.")
    access_key: Secret | None = Field(None, description="Access key of S3.")
    secret_key: Secret | None = Field(None, description="Secret key of S3.")
    password: Secret | None = Field(None, description="Password of the SFTP user.")
    private_key: Secret | None = Field(None, description="Private key of the SFTP user, without a password.")
    host_key: str | None = Field(None, description="Public key of the SFTP server, a line of `ssh-keyscan`.")


class PackSettings(Pack):
    """What one bank asks for, and where it goes."""

    zip_password: Secret | None = Field(None, description="Password of the ZIP files (AES-256).")
    deliver: Deliver | None = Field(None, description="Where it goes; without it, it stays below `storage`.")

    def plain(self) -> Pack:
        """What the engine needs of it."""
        return Pack.model_validate(self.model_dump(include=set(Pack.model_fields)))

    def delivery(self) -> "Delivery":
        """The block that delivers it; secrets are fetched here.

        Raises:
            SettingsError: a secret cannot be had.
        """
        from blocks.delivery import Delivery  # noqa: PLC0415  # checking settings needs no Prefect

        given = self.deliver
        named = {name: getattr(given, name) for name in ("url", "endpoint", "host_key")} if given else {}
        secrets = {
            name: SecretStr(secret.fetch(f"{name} of the pack {self.pack}"))
            for name in ("access_key", "secret_key", "password", "private_key")
            if given and (secret := getattr(given, name))
        }
        if self.zip_password:
            secrets["zip_password"] = SecretStr(self.zip_password.fetch(f"zip_password of the pack {self.pack}"))
        return Delivery(**named, **secrets)


def load_pack(file: Path) -> PackSettings:
    """The pack in this YAML file; files with secrets count from the file's own folder.

    Raises:
        SettingsError: the file cannot be read, or something in it cannot be; every mistake with its line.
    """
    pack = read_model(
        file, PackSettings, operation="read the pack", remedy="docs/packs.md lists what may stand there",
        check=lambda _: (),
    )  # fmt: skip
    folder = file.resolve().parent
    deliver = pack.deliver and pack.deliver.model_copy(update=_absolute(pack.deliver, folder))
    return pack.model_copy(update={"deliver": deliver, **_absolute(pack, folder)})


def _absolute(model: BaseModel, folder: Path) -> dict[str, Secret]:
    """The secrets of a model with their files absolute."""
    secrets = {name: getattr(model, name) for name in type(model).model_fields}
    return {
        name: secret.model_copy(update={"file": str(folder / secret.file)})
        for name, secret in secrets.items()
        if isinstance(secret, Secret) and secret.file
    }
