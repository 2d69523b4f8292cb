"""Blocks as `voxkeep apply` has saved them."""

from typing import TypeVar
from uuid import UUID

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import BlockDocumentUpdate

from blocks.elastic import ElasticIndex
from blocks.errors import SettingsError
from blocks.index import CatalogIndex

# The schema under which this process has registered each kind of block.
_SCHEMA_IDS: dict[type[Block], UUID | None] = {}

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


def save(block: Block, name: str, there: Block | None = None) -> None:
    """Save the block under this name; `there`: what was loaded from there, if anything, and is replaced.

    What is there has an id and a schema, so one request does it; Prefect's own way finds both out again, with six.
    """
    kind = type(block)
    document = there._block_document_id if there else None  # noqa: SLF001  # Prefect gives it no other name
    if document is None or _SCHEMA_IDS.get(kind) != kind._block_schema_id:  # noqa: SLF001
        block.save(name, overwrite=True)
        _SCHEMA_IDS[kind] = kind._block_schema_id  # noqa: SLF001
        return
    data = block.model_dump(context={"include_secrets": True}, mode="json", include=set(kind.model_fields))
    with get_client(sync_client=True) as client:
        client.update_block_document(document, BlockDocumentUpdate(block_schema_id=_SCHEMA_IDS[kind], data=data))


def load_index(name: str) -> CatalogIndex | ElasticIndex:
    """The call index of this name, of whichever kind was applied.

    Raises:
        SettingsError: there is none.
    """
    try:
        return load(ElasticIndex, name)
    except SettingsError:
        return load(CatalogIndex, name)
