"""Blocks as `voxkeep apply` has saved them."""

from typing import TypeVar

from prefect.blocks.core import Block

from blocks.elastic import ElasticIndex
from blocks.errors import SettingsError
from blocks.index import CatalogIndex

Kind = TypeVar("Kind", bound=Block)


def load(kind: type[Kind], name: str) -> Kind:
    """The saved block of this kind and name.

    Raises:
        SettingsError: there is none.
    """
    try:
        block = kind.load(name)
    except ValueError:
        raise SettingsError(
            operation="load the settings",
            subject=f"{kind.get_block_type_name()} {name}",
            cause="nothing of this name was applied",
            remedy="run `voxkeep apply FILE` with the business's settings",
        ) from None
    if not isinstance(block, kind):
        raise TypeError(f"{name} is no {kind.__name__}")
    return block


def load_index(name: str) -> CatalogIndex | ElasticIndex:
    """The call index of this name, of whichever kind was applied.

    Raises:
        SettingsError: there is none.
    """
    try:
        return load(ElasticIndex, name)
    except SettingsError:
        return load(CatalogIndex, name)
