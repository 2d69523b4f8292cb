"""Role × action × business, every cell over HTTP: what is allowed works, what is not is refused and written down."""

from collections.abc import Callable

import httpx
import pytest
from page import Client, Page, call_path

from listen.roles import ACTIONS, ROLES

# How each action is done over HTTP, to a business's content or, where it has none, at all. `packs` has no page yet.
Doing = Callable[[Client, Page, str], httpx.Response]


def recording(page: Page, business: str) -> str:
    """Where the recording of a call is."""
    return f"{call_path(business, 'alaw')}/{page.recordings[f'{business}/alaw'].document['recording_id']}"


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
}
# What an answer with content of the business holds.
SHOWS = {"search": "共 16 通", "open": "shop-alaw", "unmask": "15372388463", "export": "15372388463", "play": "/sound/"}


def test_the_table_covers_every_action_that_has_a_page() -> None:
    assert {action.name for action in ACTIONS} - set(DOING) == {"packs"}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", DOING)
def test_a_role_may_do_what_the_table_says_to_its_own_business(page: Page, role: str, action: str) -> None:
    client = page.enter(f"own-{role}", (role,))
    before = len(page.rows())
    answer = DOING[action](client, page, "shop")
    written = [row.entry for row in page.rows()[before:]]
    if action in ROLES[role]:
        assert answer.status_code == 200
        assert SHOWS.get(action, "") in answer.text
        assert [entry.action for entry in written] == [action]
    else:
        assert answer.status_code == 403
        assert "shop-alaw" not in answer.text
        assert [(entry.action, entry.details["action"]) for entry in written] == [("refused", action)]
    assert all(entry.actor == f"own-{role}" for entry in written)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", [action.name for action in ACTIONS if action.of_business and action.name in DOING])
def test_no_role_reaches_a_business_that_is_not_its_own(page: Page, role: str, action: str) -> None:
    client = page.enter(f"other-{role}", (role,))
    answer = DOING[action](client, page, "bank")
    assert "bank-alaw" not in answer.text
    assert "/sound/" not in answer.text
    if action in ("search", "export") and action in ROLES[role]:
        assert answer.status_code == 200  # a search of what one may see: nothing is found there
    else:
        assert answer.status_code in (403, 404)
        assert page.rows(actor=f"other-{role}")[-1].entry.action == "refused"


@pytest.mark.parametrize("action", DOING)
def test_nobody_does_anything_without_logging_in(page: Page, action: str) -> None:
    client = page.client()
    client.get("/login")
    before = len(page.rows())
    answer = DOING[action](client, page, "shop")
    assert answer.status_code in (303, 401)
    assert "shop-alaw" not in answer.text
    assert len(page.rows()) == before


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
