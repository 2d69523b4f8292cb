"""A restic repository whose password is quick to try, for tests that are not about passwords.

restic makes every program that opens a repository work for half a second, so that guessing passwords is slow. How long
is written in the repository (restic/doc/design.rst, "Keys, Encryption and MAC"), so a test can ask for less. The rest
is restic's own work, as in any repository.
"""

import json
from base64 import b64encode
from hashlib import scrypt, sha256
from pathlib import Path
from secrets import token_bytes, token_hex

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from cryptography.hazmat.primitives.poly1305 import Poly1305

FOLDERS = ("data", "index", "keys", "locks", "snapshots")
# How hard trying is; restic's own is N=32768.
QUICK = {"N": 2, "r": 8, "p": 1}
# Of a repository that restic made: it finds places to cut files at, and is no secret.
POLYNOMIAL = "25b468838dcb75"


def make_repository(folder: Path, password: str) -> None:
    """Make an empty repository, as `restic init` does."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    master, salt = token_bytes(64), token_bytes(64)
    of_password = scrypt(password.encode(), salt=salt, n=QUICK["N"], r=QUICK["r"], p=QUICK["p"], dklen=64)
    parts = {"mac": {"k": _text(master[32:48]), "r": _text(master[48:])}, "encrypt": _text(master[:32])}
    key = QUICK | {"kdf": "scrypt", "salt": _text(salt), "data": _text(_sealed(_json(parts), of_password))}
    content = _json(key | {"created": "2021-01-01T00:00:00Z", "username": "tests", "hostname": "tests"})
    (folder / "keys" / sha256(content).hexdigest()).write_bytes(content)
    config = {"version": 2, "id": token_hex(32), "chunker_polynomial": POLYNOMIAL}
    (folder / "config").write_bytes(_sealed(_json(config), master))


def _sealed(content: bytes, key: bytes) -> bytes:
    """Nonce, content in AES-256-CTR, its Poly1305-AES; of the key 32 bytes are for the one, 16 + 16 for the other."""
    nonce = token_bytes(16)
    hidden = _encrypted(content, Cipher(AES(key[:32]), CTR(nonce)))
    mask = _encrypted(nonce, Cipher(AES(key[32:48]), ECB()))  # noqa: S305  # a single block
    return nonce + hidden + Poly1305.generate_tag(key[48:] + mask, hidden)


def _encrypted(content: bytes, cipher: Cipher) -> bytes:  # type: ignore[type-arg]
    encryptor = cipher.encryptor()
    return encryptor.update(content) + encryptor.finalize()


def _json(content: dict[str, object]) -> bytes:
    return json.dumps(content).encode()


def _text(content: bytes) -> str:
    return b64encode(content).decode()
