"""Settings of the page 调听: where its accounts and its audit trail lie, and who may log in by a provider."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from listen.provider import Grant, Provider
from voxkeep.secret import Secret
from voxkeep.settings_mistakes import read_model

RoleName = Literal["listener", "supervisor", "liaison", "auditor", "administrator"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GrantSettings(_Strict):
    """What whoever has a value in the provider's claim may do."""

    value: str = Field(description="The value in the claim, e.g. the name of a group.")
    roles: list[RoleName] = Field(min_length=1, description="Roles that it gives.")
    businesses: list[str] = Field(default_factory=list, description='Businesses for which it gives them; "*" for all.')


class Oidc(_Strict):
    """Login by an OpenID provider."""

    title: str = Field("SSO", description="What people call the provider; stands on the button.")
    discovery: str = Field(
        pattern=r"^https?://", description="Address of its discovery document, …/.well-known/openid-configuration."
    )
    client_id: str = Field(description="Our id there.")
    client_secret: Secret = Field(description="Our secret there.")
    claim: str = Field("groups", description="The claim that says what somebody may do here.")
    name_claim: str = Field("preferred_username", description="The claim with the name that is shown.")
    scope: str = Field("openid profile email", description="Scopes that are asked for, with blanks between.")
    grants: list[GrantSettings] = Field(min_length=1, description="What each value of the claim gives.")


class ListenSettings(_Strict):
    """The page 调听."""

    storage: str | None = Field(
        None,
        description="Folder or s3://bucket/prefix of accounts and audit trail; `listen` in the storage of the "
        "businesses, where not given.",
    )
    endpoint: str | None = Field(None, pattern=r"^https?://", description="URL of the S3 service of `storage`.")
    region: str = Field("us-east-1", description="Region of the S3 service.")
    access_key: Secret | None = Field(None, description="Access key of S3: list, get and put, no delete.")
    secret_key: Secret | None = Field(None, description="Secret key of S3.")
    key: Secret | None = Field(
        None,
        description="The installation's key, at least 32 characters, the same for every process; made up and kept in "
        "`listen.key` of the home, where not given.",
    )
    oidc: Oidc | None = Field(None, description="Login by an OpenID provider, beside the accounts.")


def load_listen_settings(file: Path) -> ListenSettings:
    """The settings in this YAML file; those of no file where there is none.

    Raises:
        SettingsError: something in it cannot be; every mistake with its line.
    """
    if not file.exists():
        return ListenSettings()
    return read_model(
        file, ListenSettings, operation="read the settings of the page",
        remedy="docs/listen.md lists what may stand there", check=lambda _: iter(()),
    )  # fmt: skip


def provider_of(settings: Oidc) -> Provider:
    """The provider, with our secret there."""
    return Provider(
        title=settings.title,
        discovery=settings.discovery,
        client_id=settings.client_id,
        client_secret=settings.client_secret.fetch("client secret of the provider"),
        claim=settings.claim,
        grants=tuple(Grant(grant.value, tuple(grant.roles), tuple(grant.businesses)) for grant in settings.grants),
        name_claim=settings.name_claim,
        scope=settings.scope,
    )
