"""What the page is given: the businesses with their places, accounts, audit trail and key. It asks for nothing else."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from blocks.catalog import Catalog
from blocks.elastic import ElasticIndex
from blocks.index import CatalogIndex
from blocks.keys import NumberHashes, derived
from blocks.store import ObjectStore
from blocks.trail import AuditTrail
from listen.accounts import Accounts
from listen.keys import Tokens
from listen.lockout import MEMORY, Lockout
from listen.provider import Provider
from listen.security import Rate
from listen.sounds import Sounds
from listen.work import Work
from reconcile.numbers import searched
from reconcile.pack import Pack
from reconcile.rules import NumberRules


@dataclass(frozen=True)
class Desk:
    """A pack of a business: what a bank asks for, and where it goes, in words."""

    pack: Pack
    place: str


@dataclass(frozen=True)
class Office:
    """A business as the page needs it; `sites` are their titles by name, `storage` is where flows keep their files."""

    business: str
    title: str
    zone: ZoneInfo
    sites: dict[str, str]
    numbers: NumberRules
    catalog: Catalog
    index: CatalogIndex | ElasticIndex
    store: ObjectStore
    storage: Path
    packs: dict[str, Desk] = field(default_factory=dict)

    def plain(self, number: str) -> str:
        """The number as this business compares it (reconcile.numbers.searched)."""
        return searched(number, [self.numbers])


class House:
    """Everything that the page reaches; one for the life of a process."""

    def __init__(  # one place where all of it comes together
        self,
        offices: dict[str, Office],
        accounts: Accounts,
        trail: AuditTrail,
        key: bytes,
        sounds_folder: Path,
        provider: Provider | None = None,
    ) -> None:
        self.offices = offices
        self.accounts = accounts
        self.trail = trail
        self.provider = provider
        # Whoever starts flows for this page; None: nobody does.
        self.work: Work | None = None
        self.tokens = Tokens(key)
        self.hashes = NumberHashes(derived(key, "numbers"))
        self.csrf_key = derived(key, "forms")
        self.sounds = Sounds(sounds_folder)
        # Logins of one network address, and searches of one person, a minute.
        self.logins, self.searches = Rate(20, 60), Rate(60, 60)
        # Pieces of work that one person asks for, a minute.
        self.orders = Rate(10, 60)
        self.lockout = Lockout()
        trail.watch(self.lockout.see, datetime.now(UTC) - MEMORY)
