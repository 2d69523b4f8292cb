"""Login by OpenID Connect, at any provider that has a discovery document."""

from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any
from urllib.parse import quote_plus

import httpx
from joserfc import jwt
from joserfc.errors import ClaimError, InvalidClaimError, JoseError
from joserfc.jwk import KeySet

from blocks.errors import PermanentError, TransientError
from listen.roles import Person

_TIMEOUT = httpx.Timeout(10, connect=5)
# Signed by the provider's own key; never `none`, never a secret that we share.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
_LEEWAY_SECONDS = 60


@dataclass(frozen=True)
class Grant:
    """What whoever has `value` in the provider's claim may do: these roles, for these businesses."""

    value: str
    roles: tuple[str, ...]
    businesses: tuple[str, ...]


@dataclass(frozen=True)
class Began:
    """A login that has begun: where the browser goes, and what must be kept until it comes back."""

    address: str
    kept: dict[str, str]


@dataclass(frozen=True)
class Provider:
    """An OpenID provider, and how its claims become roles here."""

    title: str
    discovery: str
    client_id: str
    client_secret: str = field(repr=False)
    claim: str
    grants: tuple[Grant, ...]
    name_claim: str = "preferred_username"
    scope: str = "openid profile email"

    def begin(self, back: str) -> Began:
        """The provider's page for a login that comes back to `back`."""
        kept = {"state": token_urlsafe(24), "nonce": token_urlsafe(24), "verifier": token_urlsafe(48), "back": back}
        digest = sha256(kept["verifier"].encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": back,
            "scope": self.scope,
            "state": kept["state"],
            "nonce": kept["nonce"],
            "code_challenge": urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return Began(str(httpx.URL(self._facts()["authorization_endpoint"]).copy_merge_params(asked)), kept)

    def finish(self, kept: dict[str, str], code: str) -> Person:
        """Who has come back with this code.

        Raises:
            PermanentError: the provider's answer is not what it must be, or grants nothing here.
            TransientError: it does not answer.
        """
        facts = self._facts()
        try:
            answer = self._exchange(facts, kept, code)
            claims = self._claims(facts, answer["id_token"], kept["nonce"])
            if self.claim not in claims and "userinfo_endpoint" in facts:
                claims = self._user(facts, answer["access_token"], claims)
        except httpx.TransportError as error:
            raise self._silent(error) from None
        except ClaimError as error:
            raise self._refused(f"the claim {error.claim} of the ID token is not what it must be") from None
        except (JoseError, httpx.HTTPStatusError, ValueError, KeyError) as error:
            raise self._refused(type(error).__name__) from None
        return self._person(claims)

    def _exchange(self, facts: dict[str, Any], kept: dict[str, str], code: str) -> dict[str, Any]:
        """The tokens for this code, as RFC 6749 (4.1.3) and RFC 7636 have it."""
        sent = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": kept["back"],
            "code_verifier": kept["verifier"],
        }
        # Each part is encoded as in a form before it is joined (RFC 6749, 2.3.1).
        who = (quote_plus(self.client_id), quote_plus(self.client_secret))
        answer = httpx.post(facts["token_endpoint"], data=sent, auth=who, timeout=_TIMEOUT)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _claims(self, facts: dict[str, Any], id_token: str, nonce: str) -> dict[str, Any]:
        """The claims of the ID token, signed by the provider, for us, now, and for this very login."""
        keys = KeySet.import_key_set(self._fetch(facts["jwks_uri"]))
        token = jwt.decode(id_token, keys, algorithms=_ALGORITHMS)
        wanted = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": facts["issuer"]},
            aud={"essential": True},
            nonce={"essential": True, "value": nonce},
            exp={"essential": True},
            sub={"essential": True},
        )
        wanted.validate(token.claims)
        # One audience as a text or several in a list; of several, the token names whom it was made for (OpenID Connect
        # Core, 3.1.3.7).
        held = token.claims["aud"]
        audiences = held if isinstance(held, list) else [held]
        if self.client_id not in audiences or token.claims.get("azp", self.client_id) != self.client_id:
            raise InvalidClaimError("aud")
        return dict(token.claims)

    def _user(self, facts: dict[str, Any], access_token: str, claims: dict[str, Any]) -> dict[str, Any]:
        """The claims with those that only the user info has; both must be about the same person."""
        more = self._fetch(facts["userinfo_endpoint"], {"Authorization": f"Bearer {access_token}"})
        if more.get("sub") != claims["sub"]:
            raise ValueError("the user info is about somebody else")
        return {**more, **claims}

    def _person(self, claims: dict[str, Any]) -> Person:
        held = claims.get(self.claim, [])
        values = {str(value) for value in (held if isinstance(held, list) else [held])}
        given = [grant for grant in self.grants if grant.value in values]
        if not given:
            raise self._refused(f"nothing in the claim {self.claim} is granted anything here")
        roles = tuple(dict.fromkeys(role for grant in given for role in grant.roles))
        businesses = tuple(dict.fromkeys(name for grant in given for name in grant.businesses))
        # The subject is unique at the provider; a name that people choose is not.
        shown = str(claims.get(self.name_claim) or claims.get("name") or claims["sub"])
        return Person(f"oidc:{claims['sub']}", shown, roles, businesses, via="oidc")

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = self._fetch(self.discovery)
        return facts

    def _fetch(self, address: str, headers: dict[str, str] | None = None) -> Any:  # noqa: ANN401  # JSON
        try:
            answer = httpx.get(address, headers=headers, timeout=_TIMEOUT, follow_redirects=True)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise self._silent(error) from None

    def _silent(self, error: Exception) -> TransientError:
        return TransientError(
            operation="log in by the provider",
            subject=self.discovery,
            cause=type(error).__name__,
            remedy="check that it answers and that `discovery` is its address, then log in again",
        )

    def _refused(self, cause: str) -> PermanentError:
        return PermanentError(
            operation="log in by the provider",
            subject=self.discovery,
            cause=cause,
            remedy="check client, secret, claim and grants in the settings of the page",
        )
