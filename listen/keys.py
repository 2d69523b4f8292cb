"""Texts that only this installation can make and read: sessions, queries, links to a sound."""

import json
from base64 import urlsafe_b64encode
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from blocks.keys import derived


class Tokens:
    """Texts that only this installation can make and read.

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
