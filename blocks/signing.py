"""Signatures (Ed25519, RFC 8032) under certificates, which anybody can check with OpenSSL."""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import Field, SecretStr, field_validator

from blocks.errors import SettingsError
from blocks.saved_block import SavedBlock

_MAKE = "make one with `openssl genpkey -algorithm ed25519 -out key.pem`"


class Signer(SavedBlock):
    """A private key that signs certificates.

    Attributes:
        private_key: Ed25519, PEM (PKCS #8) without a password.
    """

    _block_type_name = "Voxkeep signer"
    _block_type_slug = "voxkeep-signer"

    private_key: SecretStr = Field(description="Ed25519 private key, PEM without a password.")

    @field_validator("private_key")
    @classmethod
    def _is_key(cls, private_key: SecretStr) -> SecretStr:
        _private(private_key)
        return private_key

    def sign(self, content: bytes) -> bytes:
        """The signature (64 bytes) of this content."""
        return _private(self.private_key).sign(content)

    def public_key(self) -> bytes:
        """The public key (PEM), which may be given to everybody."""
        return _private(self.private_key).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _private(pem: SecretStr) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem.get_secret_value().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(
            operation="read the key that signs certificates",
            subject="certificate_key",
            cause="it is no Ed25519 private key in PEM without a password",
            remedy=_MAKE,
        ) from None
    return key


def is_signed(content: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether the owner of the key has signed this content.

    Raises:
        SettingsError: that is no Ed25519 public key.
    """
    try:
        key = load_pem_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(
            operation="check a signature",
            subject="the public key",
            cause="it is no Ed25519 public key in PEM",
            remedy="take the public-key.pem that the business has given out",
        ) from None
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
