"""Role × action × business, every cell over HTTP: what is allowed works, what is not is refused and written down."""

from collections.abc import Callable

import httpx
import pytest
from page import DAY, NUMBER, PACK, Client, Page, call_path, retrieved, sent

from listen.roles import ACTIONS, ROLES

# How each action is done over HTTP, to a business's content or, where it has none, at all.
Doing = Callable[[Client, Page, str], httpx.Response]


def recording(page: Page, business: str) -> str:
    """Where the recording of a call is."""
    return f"{call_path(business, 'alaw')}/{page.recordings[f'{business}/alaw'].document['recording_id']}"


def asked(client: Client, business: str) -> httpx.Response:
    fields = {"business": business, "field": "number", "entries": NUMBER}
    return client.post("/retrievals", fields, files={"file": ("", b"")})


def followed(client: Client, answer: httpx.Response) -> httpx.Response:
    """Where it leads, unless that is the page to log in."""
    leads_on = answer.status_code == 303 and answer.headers["location"] != "/login"
    return client.follow(answer) if leads_on else answer


def retrieval(page: Page, business: str) -> str:
    """Where a retrieval is that is done."""
    return f"/retrievals/{business}/{retrieved(page, business).name}"


def doing(client: Client, business: str, what: str) -> httpx.Response:
    days = {"since": str(DAY), "until": str(DAY)}
    return followed(client, client.post(f"/packs/{business}/{PACK}", {"do": what, **days}))


def exported(client: Client, page: Page, business: str) -> httpx.Response:
    token = page.house.tokens.make("query", {"asked": {"business": business, "recording": "yes"}})
    return client.post("/calls/export", {"q": token})


DOING: dict[str, Doing] = {
    "search": lambda client, page, business: client.get(
        f"/calls?q={page.house.tokens.make('query', {'asked': {'business': business, 'recording': 'yes'}})}"
    ),
    "open": lambda client, _, business: client.get(call_path(business, "alaw")),
    "play": lambda client, page, business: client.post(f"{recording(page, business)}/play"),
    "unmask": lambda client, _, business: client.post(f"{call_path(business, 'alaw')}/unmask"),
    "download": lambda client, page, business: client.post(f"{recording(page, business)}/download"),
    "export": exported,
    "audit": lambda client, _, __: client.get("/audit"),
    "accounts": lambda client, _, __: client.get("/accounts"),
    "retrieve": lambda client, _, __: client.get("/retrievals"),
    "retrieve ask": lambda client, _, business: followed(client, asked(client, business)),
    "retrieve see": lambda client, page, business: client.get(retrieval(page, business)),
    "retrieve state": lambda client, page, business: client.get(f"{retrieval(page, business)}/state"),
    "retrieve again": lambda client, page, business: followed(
        client, client.post(f"{retrieval(page, business)}/again")
    ),
    "retrieve save": lambda client, page, business: client.post(f"{retrieval(page, business)}/download"),
    "packs": lambda client, _, __: client.get("/packs"),
    "packs see": lambda client, _, business: client.get(f"/packs/{business}/{PACK}"),
    "packs check": lambda client, _, business: doing(client, business, "check"),
    "packs send": lambda client, _, business: doing(client, business, "send"),
    "packs again": lambda client, _, business: doing(client, business, "again"),
    "packs state": lambda client, _, business: client.get(f"/packs/{business}/{PACK}/state?since={DAY}&until={DAY}"),
    "packs receipt": lambda client, page, business: client.post(
        f"/packs/{business}/{PACK}/{sent(page, business)}/receipt"
    ),
}
# How far a piece of work is holds nothing of any call: it is asked every second, and leaves no row.
SILENT = ("retrieve state", "packs state")
# What an answer with content of the business holds.
SHOWS = {
    "search": "共 16 通", "open": "shop-alaw", "unmask": NUMBER, "export": NUMBER, "play": "/sound/",
    "retrieve ask": "调取 1 项", "retrieve see": "调取 2 项", "retrieve save": "shop-result", "packs": "月报shop",
    "packs see": "月报shop", "packs receipt": '"rows": 7',
}  # fmt: skip
# What a role without the right, or of another business, must never see.
HIDDEN = ("alaw", "/sound/", "result", "月报", '"rows"', "调取 2 项")


def test_the_table_covers_every_action() -> None:
    assert {action.name for action in ACTIONS} == {action_of(done) for done in DOING}


def action_of(done: str) -> str:
    """The action in the table of roles that this is one way of."""
    return done.partition(" ")[0]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("done", DOING)
def test_a_role_may_do_what_the_table_says_to_its_own_business(page: Page, role: str, done: str) -> None:
    client, action = page.enter(f"own-{role}", (role,)), action_of(done)
    before = len(page.rows())
    answer = DOING[done](client, page, "shop")
    written = [row.entry for row in page.rows()[before:]]
    if action in ROLES[role]:
        assert answer.status_code == 200
        assert SHOWS.get(done, "") in answer.text
        assert {entry.action for entry in written} == (set() if done in SILENT else {action})
    else:
        assert answer.status_code == 403
        assert [words for words in HIDDEN if words in answer.text] == []
        assert [(entry.action, entry.details["action"]) for entry in written] == [("refused", action)]
    assert {entry.actor for entry in written} <= {f"own-{role}"}


OF_BUSINESS = {action.name for action in ACTIONS if action.of_business}
# These show what one may see, of one's own businesses: nothing of another is among it.
OVER_ALL = ("search", "export", "retrieve", "packs")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("done", [done for done in DOING if action_of(done) in OF_BUSINESS])
def test_no_role_reaches_a_business_that_is_not_its_own(page: Page, role: str, done: str) -> None:
    client = page.enter(f"other-{role}", (role,))
    before = len(page.work.asked)
    answer = DOING[done](client, page, "bank")
    assert [words for words in ("bank-", "业务bank", "月报bank", "/sound/") if words in answer.text] == []
    assert len(page.work.asked) == before
    if done in OVER_ALL and action_of(done) in ROLES[role]:
        assert answer.status_code == 200
    else:
        assert answer.status_code in (403, 404)
        assert page.rows(actor=f"other-{role}")[-1].entry.action == "refused"


@pytest.mark.parametrize("done", DOING)
def test_nobody_does_anything_without_logging_in(page: Page, done: str) -> None:
    client = page.client()
    client.get("/login")
    before, orders = len(page.rows()), len(page.work.asked)
    answer = DOING[done](client, page, "shop")
    assert answer.status_code in (303, 401)
    assert [words for words in HIDDEN if words in answer.text] == []
    assert (len(page.rows()), len(page.work.asked)) == (before, orders)


def test_several_roles_allow_what_each_of_them_allows(page: Page) -> None:
    client = page.enter("both", ("listener", "auditor"))
    assert client.get("/audit").status_code == 200
    assert client.get(call_path("shop", "alaw")).status_code == 200
    assert client.post(f"{call_path('shop', 'alaw')}/unmask").status_code == 403


def test_every_business_means_every_business(page: Page) -> None:
    client = page.enter("everywhere", ("listener",), ("*",))
    assert client.get(call_path("bank", "alaw")).status_code == 200
    assert "共 32 通" in client.search(recording="yes").text


def test_what_an_account_may_do_changes_at_once(page: Page) -> None:
    client = page.enter("promoted", ("listener",))
    page.person("promoted", ("supervisor",))
    assert client.post(f"{call_path('shop', 'alaw')}/unmask").status_code == 200
