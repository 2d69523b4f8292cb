"""Run Canaille, a real OpenID provider, with two people, a group and the page as its client; in Canaille's environment.

canaille_server.py PORT REDIRECT_URI PASSWORD SECRET
"""

# ruff: noqa: T201
# mypy: ignore-errors

import datetime as dt
import sys

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import RSAKey
from werkzeug.serving import run_simple


def made(port: str):  # noqa: ANN201
    key = RSAKey.generate_key(2048, auto_kid=True)
    return create_app(
        {
            "SECRET_KEY": "a secret of the tests",
            "SERVER_NAME": f"127.0.0.1:{port}",
            "PREFERRED_URL_SCHEME": "http",
            "CANAILLE": {"JAVASCRIPT": False, "HTMX": False},
            "CANAILLE_OIDC": {"ACTIVE_JWKS": [key.as_dict(private=True)]},
        }
    )


def fill(back: str, password: str, secret: str) -> None:
    backend = Backend.instance
    listener = models.User(
        user_name="li.na", formatted_name="李娜", family_name="李", emails=["li.na@example.com"], password=password
    )
    stranger = models.User(
        user_name="wang", formatted_name="王", family_name="王", emails=["wang@example.com"], password=password
    )
    client = models.Client(
        client_id="voxkeep", client_secret=secret, client_name="voxkeep", contacts=[], client_uri="http://127.0.0.1",
        redirect_uris=[back], grant_types=["authorization_code"], response_types=["code"],
        scope=["openid", "profile", "groups"], token_endpoint_auth_method="client_secret_basic",
        client_id_issued_at=dt.datetime.now(dt.UTC),
    )  # fmt: skip
    group = models.Group(display_name="listeners")
    for each in (listener, stranger, client, group):
        backend.save(each)
    # A group keeps its members, and a client its audience, only once both have an id.
    group.members = [listener]
    backend.save(group)
    client.audience = [client]
    backend.save(client)


if __name__ == "__main__":
    app = made(sys.argv[1])
    with app.app_context():
        fill(*sys.argv[2:5])
    print("ready", flush=True)
    run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)
