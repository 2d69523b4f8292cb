"""Who may do what: the one table behind every check, the page of accounts, the docs and the tests."""

from dataclasses import dataclass

EVERY_BUSINESS = "*"


@dataclass(frozen=True)
class Action:
    """Something one may do: its name, what it is, and whether it is done to one business's content."""

    name: str
    meaning: str
    of_business: bool = True


ACTIONS = (
    Action("search", "find calls, with masked numbers"),
    Action("open", "see one call with its legs, notes and stations, with masked numbers"),
    Action("play", "hear a recording"),
    Action("unmask", "see the whole numbers of one call"),
    Action("download", "save a recording's original bytes"),
    Action("export", "save a list of calls with whole numbers"),
    Action("retrieve", "take along the recordings of a list of numbers, calls or cases, as one ZIP file"),
    Action("packs", "make, check and send bank packs"),
    Action("audit", "read the audit trail", of_business=False),
    Action("accounts", "make, change and disable accounts", of_business=False),
)

# Role: what it may do; a person with several may do what any of them may.
ROLES: dict[str, frozenset[str]] = {
    "listener": frozenset({"search", "open", "play"}),
    "supervisor": frozenset({"search", "open", "play", "unmask", "download", "export", "retrieve"}),
    "liaison": frozenset({"packs"}),
    "auditor": frozenset({"audit"}),
    "administrator": frozenset({"accounts"}),
}


@dataclass(frozen=True)
class Person:
    """Somebody who has logged in: by which name, from where, with which roles, for which businesses."""

    name: str
    title: str
    roles: tuple[str, ...]
    businesses: tuple[str, ...]
    via: str = "local"

    def may(self, action: str, business: str | None = None) -> bool:
        """Whether a role of theirs allows it, and the business, where one is given, is one of theirs."""
        allowed = any(action in ROLES.get(role, frozenset()) for role in self.roles)
        return allowed and (business is None or self.sees(business))

    def sees(self, business: str) -> bool:
        """Whether this business is one of theirs."""
        return EVERY_BUSINESS in self.businesses or business in self.businesses
