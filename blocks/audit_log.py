"""The audit trail as flows reach it: where it lies, and the keys under which rows are sealed and numbers hashed.

`voxkeep apply` saves it for each business, so that a flow which somebody starts in Prefect's UI puts on record what
it is about to do, like the page and the command line.
"""

from functools import cached_property

from pydantic import Field, SecretStr

from blocks.keys import NumberHashes
from blocks.saved_block import SavedBlock
from blocks.trail import AuditTrail, Entry, Row
from blocks.vault import Vault


class AuditLog(SavedBlock):
    """The audit trail of the page 调听.

    Attributes:
        url: Folder, `file:///…`, or `s3://bucket/prefix` of accounts and audit trail.
        endpoint: URL of the S3 service, where it is not Amazon's.
        access_key: Access key of S3.
        secret_key: Secret key of S3.
        region: Region of S3.
        rows_key: Key under which rows are sealed, in hex; nothing else can be found from it.
        numbers_key: Key under which telephone numbers are hashed, in hex.

    Example:
        >>> AuditLog.load("meituan").append(Entry("prefect", "packs", "meituan", "icbc")).sequence
        812
    """

    _block_type_name = "Voxkeep audit trail"
    _block_type_slug = "voxkeep-audit-trail"

    url: str = Field(description="Folder, file:///… or s3://bucket/prefix of accounts and audit trail.")
    endpoint: str | None = Field(default=None, description="URL of the S3 service, e.g. http://minio:9000.")
    access_key: SecretStr | None = Field(default=None, description="Access key of S3.")
    secret_key: SecretStr | None = Field(default=None, description="Secret key of S3.")
    region: str = Field(default="us-east-1", description="Region of S3.")
    rows_key: SecretStr = Field(description="Key under which rows are sealed, in hex.")
    numbers_key: SecretStr = Field(description="Key under which telephone numbers are hashed, in hex.")

    def append(self, entry: Entry) -> Row:
        """Write the row, durably, before whatever it tells of is done.

        Raises:
            TransientError, PermanentError: it could not be written: what it tells of must not be done.
        """
        return self.trail.append(entry)

    def hashes(self, numbers: list[str]) -> tuple[str, ...]:
        """The hashes of numbers as reconcile.numbers writes them."""
        hashing = NumberHashes(bytes.fromhex(self.numbers_key.get_secret_value()))
        return tuple(hashing.of(number) for number in numbers)

    @cached_property
    def trail(self) -> AuditTrail:
        """The trail itself."""
        vault = Vault(
            url=self.url, endpoint=self.endpoint, region=self.region, access_key=self.access_key,
            secret_key=self.secret_key,
        )  # fmt: skip
        return AuditTrail(vault, bytes.fromhex(self.rows_key.get_secret_value()))
