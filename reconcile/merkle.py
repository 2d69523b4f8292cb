"""Merkle trees over SHA-256 as in RFC 9162, section 2.1: one short root speaks for any number of entries.

An entry's leaf is SHA-256 of a zero byte and the entry; a node is SHA-256 of a one byte and its two children; a last
node without a partner stands for itself one level up.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Literal, NamedTuple


class Step(NamedTuple):
    """One step of a proof: the other child, and on which side of ours it stands."""

    side: Literal["left", "right"]
    node: bytes


def root(entries: Sequence[bytes]) -> bytes:
    """The root (32 bytes) of the entries, in their order; that of no entries is SHA-256 of nothing."""
    level = _leaves(entries)
    if not level:
        return sha256().digest()
    while len(level) > 1:
        level = _above(level)
    return level[0]


def proof(entries: Sequence[bytes], place: int) -> list[Step]:
    """What leads from the entry at this place to the root, from below.

    Raises:
        IndexError: there is no such place.
    """
    if not 0 <= place < len(entries):
        raise IndexError(place)
    return list(_steps(_leaves(entries), place))


def root_by(entry: bytes, steps: Sequence[Step]) -> bytes:
    """The root to which these steps lead from the entry; it is the tree's only if the entry is in the tree."""
    node = sha256(b"\0" + entry).digest()
    for side, other in steps:
        node = _node(other, node) if side == "left" else _node(node, other)
    return node


def _leaves(entries: Sequence[bytes]) -> list[bytes]:
    return [sha256(b"\0" + entry).digest() for entry in entries]


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def _above(level: list[bytes]) -> list[bytes]:
    pairs = [_node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return pairs + level[-1:] if len(level) % 2 else pairs


def _steps(level: list[bytes], place: int) -> Iterator[Step]:
    while len(level) > 1:
        partner = place ^ 1
        if partner < len(level):
            yield Step("right" if partner > place else "left", level[partner])
        level, place = _above(level), place // 2
