"""What is derived from the installation's one key: seals of audit rows, sessions, tokens, hashes of numbers."""

import hmac
import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

_HASH_DIGITS = 32


def derived(key: bytes, purpose: str) -> bytes:
    """The key for one purpose (32 bytes), from which no other can be found."""
    return hmac.new(key, f"voxkeep listen: {purpose}".encode(), sha256).digest()


class Tokens:
    """Texts that only this installation can make and read: sessions, queries, links to a sound.

    They are encrypted, so that a telephone number in one stands in no address and no log.
    """

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(urlsafe_b64encode(derived(key, "tokens")))

    def make(self, purpose: str, content: dict[str, Any]) -> str:
        """A token that `read` understands for the same purpose only."""
        text = json.dumps([purpose, content], ensure_ascii=False, separators=(",", ":"))
        return self._fernet.encrypt(text.encode()).decode()

    def read(self, purpose: str, token: str, seconds: int) -> dict[str, Any] | None:
        """What the token holds; None where it is not ours, for something else, or older than so many seconds."""
        try:
            found, content = json.loads(self._fernet.decrypt(token.encode("ascii"), ttl=seconds))
        except (InvalidToken, ValueError, TypeError):
            return None
        return content if found == purpose and isinstance(content, dict) else None


class NumberHashes:
    """Keyed hashes of telephone numbers: equal for equal numbers, and of no use to who does not have the key.

    A plain hash would not do: there are so few numbers that all of them can be tried in a minute.
    """

    def __init__(self, key: bytes) -> None:
        self._key = derived(key, "numbers")

    def of(self, number: str) -> str:
        """The hash of a number as reconcile.numbers writes it."""
        return hmac.new(self._key, number.encode(), sha256).hexdigest()[:_HASH_DIGITS]
