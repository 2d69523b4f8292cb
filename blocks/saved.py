"""Blocks as `voxkeep apply` has saved them."""

from collections.abc import Iterable, Mapping
from itertools import count
from typing import TypeVar
from uuid import UUID

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import BlockDocumentUpdate
from prefect.client.schemas.objects import BlockDocument

from blocks.elastic import ElasticIndex
from blocks.errors import SettingsError
from blocks.index import CatalogIndex

# The schema under which this process has registered each kind of block.
_SCHEMA_IDS: dict[type[Block], UUID | None] = {}

Kind = TypeVar("Kind", bound=Block)
Wanted = tuple[type[Block], str]
# As many documents as Prefect's server gives at a time.
_PAGE = 200


def find(wanted: Iterable[Wanted]) -> dict[Wanted, Block]:
    """Those of these blocks, each of a kind and a name, that are saved.

    A request for many: Prefect's own `Block.load` needs one for each, which cost its server more than all its runs.
    """
    wanted, found = {*wanted}, dict[Wanted, Block]()
    kinds = {kind.get_block_type_slug(): kind for kind, _ in wanted}
    question = {
        "block_documents": {"name": {"any_": sorted({name for _, name in wanted})}, "is_anonymous": {"eq_": False}},
        "block_types": {"slug": {"any_": sorted(kinds)}},
        "include_secrets": True,
        # No two are alike by both, so that each is on one page only.
        "sort": "BLOCK_TYPE_AND_NAME_ASC",
        "limit": _PAGE,
    }
    with get_client(sync_client=True) as client:
        for offset in count(step=_PAGE):
            page = client.request("POST", "/block_documents/filter", json=question | {"offset": offset})
            documents = BlockDocument.model_validate_list(page.json())
            for document in documents:
                kind = kinds[document.block_type.slug] if document.block_type else Block
                if (kind, name := str(document.name)) in wanted:
                    found[kind, name] = kind._load_from_block_document(document)  # noqa: SLF001  # as `load` does
            if len(documents) < _PAGE:
                break
    return found


def load(kind: type[Kind], name: str) -> Kind:
    """The saved block of this kind and name.

    Raises:
        SettingsError: there is none.
    """
    return taken(find([(kind, name)]), kind, name)


def taken(found: Mapping[Wanted, Block], kind: type[Kind], name: str) -> Kind:
    """The block of this kind and name among those that `find` has found.

    Raises:
        SettingsError: there is none.
    """
    block = found.get((kind, name))
    if block is None:
        raise SettingsError(
            operation="load the settings",
            subject=f"{kind.get_block_type_name()} {name}",
            cause="nothing of this name was applied",
            remedy="run `voxkeep apply FILE` with the business's settings",
        )
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
    return index_taken(find([(ElasticIndex, name), (CatalogIndex, name)]), name)


def index_taken(found: Mapping[Wanted, Block], name: str) -> CatalogIndex | ElasticIndex:
    """The call index of this name, of whichever kind, among those that `find` has found.

    Raises:
        SettingsError: there is none.
    """
    return taken(found, ElasticIndex, name) if (ElasticIndex, name) in found else taken(found, CatalogIndex, name)
