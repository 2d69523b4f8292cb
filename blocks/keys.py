"""What is derived from the installation's one key, a key for each purpose; and hashes of telephone numbers."""

import hmac
from hashlib import sha256

_HASH_DIGITS = 32


def derived(key: bytes, purpose: str) -> bytes:
    """The key for one purpose (32 bytes), from which no other can be found."""
    return hmac.new(key, f"voxkeep listen: {purpose}".encode(), sha256).digest()


class NumberHashes:
    """Keyed hashes of telephone numbers: equal for equal numbers, and of no use to who does not have the key.

    A plain hash would not do: there are so few numbers that all of them can be tried in a minute.

    Args:
        key: `derived` for `numbers`.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, number: str) -> str:
        """The hash of a number as reconcile.numbers writes it."""
        return hmac.new(self._key, number.encode(), sha256).hexdigest()[:_HASH_DIGITS]
