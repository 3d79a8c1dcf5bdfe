"""Customers: who they are, and with what they sign."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from orchestrator.domain.access.audit import AuditEntry, Detail
from orchestrator.domain.access.roles import Caller, Role
from orchestrator.domain.ids import CustomerId, RegionName


class WebhookSecrets(Struct, frozen=True, kw_only=True):
    """A customer's signing secrets."""

    primary: str
    secondary: str | None = None

    @property
    def signing(self) -> tuple[str, ...]:
        """Every secret that signs, the new one first."""
        return (self.primary, self.secondary) if self.secondary else (self.primary,)


class ApiKey(Struct, frozen=True, kw_only=True):
    """An API key as listed: never the key itself."""

    key_id: str
    customer: CustomerId
    plan: str
    created_ms: int
    revoked_ms: int | None = None
    role: Role = Role.SUBMIT
    region: RegionName | None = None
    """Of a region's key: which one."""
    label: str = ""
    """What people call it."""
    expires_ms: int | None = None
    """From when on it is not valid any more (Unix ms)."""
    used_ms: int | None = None
    """In which hour it was last used: that hour's start (Unix ms)."""

    def is_valid(self, now_ms: int) -> bool:
        """Whether it is neither revoked nor past its expiry at ``now_ms`` (Unix ms)."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


def terms_of(key: ApiKey) -> dict[str, Detail]:
    """Give what the audit holds of a key that is made."""
    return {
        "customer": key.customer,
        "plan": key.plan,
        "role": key.role,
        "region": key.region,
        "label": key.label,
        "expires_ms": key.expires_ms,
    }


class CustomerStore(Protocol):
    """Who customers are, and with what they sign. It can be opened beside a running service, which notices
    what changes within seconds. Every call may raise StoreFailure.
    """

    async def add_key(self, key: str, made: ApiKey, entry: AuditEntry) -> None:
        """Store an API key, of which only a hash is kept, and the entry that says so, in one transaction."""

    async def keys(self) -> Sequence[ApiKey]:
        """List every key, oldest first."""

    async def revoke_key(self, key_id: str, entry: AuditEntry) -> bool:
        """Revoke a key at the entry's time, and write the entry that says so, in one transaction. Say whether
        the key was there and not revoked; where it was not, nothing is written.
        """

    async def set_plan(self, customer: CustomerId, plan: str, entry: AuditEntry) -> int:
        """Give all of a customer's keys that are valid at the entry's time a plan, and write the entry that
        says so, in one transaction. Say how many keys those are; where there is none, nothing is written.
        """

    async def region_keys(self, now_ms: int) -> Sequence[ApiKey]:
        """List the keys of regions that are valid now, oldest first."""

    async def plans(self, now_ms: int) -> Sequence[tuple[CustomerId, str]]:
        """List customers with the plans of their keys that are valid now."""

    async def put_secrets(self, customer: CustomerId, secrets: WebhookSecrets) -> None:
        """Store a customer's webhook secrets."""

    async def secrets(self, customer: CustomerId) -> WebhookSecrets | None:
        """Read a customer's webhook secrets."""

    async def drop_secrets(self, customer: CustomerId) -> bool:
        """Delete them; say whether there were any."""

    async def caller_of(self, key: str, now_ms: int) -> Caller | None:
        """Whose API key this is, and of which role; None where it is unknown, revoked or past its expiry."""

    async def caller_named(self, key_id: str, now_ms: int) -> Caller | None:
        """Whose API key has this id, which is no secret: for who has shown the key before; None likewise."""

    @property
    def session_secret(self) -> bytes:
        """What sessions are signed with: the same for all who open the store, and unknown to everybody
        else.
        """

    def note_use(self, key_id: str, hour_ms: int) -> None:
        """Save in which hour a key was used; rides the next commit, nobody waits for it."""
