"""Customers, their keys and secrets, in memory."""

from collections.abc import Sequence
from secrets import token_bytes

from msgspec.structs import replace

from orchestrator.domain.access.audit import AuditEntry
from orchestrator.domain.access.roles import Caller, Role
from orchestrator.domain.ids import CustomerId
from orchestrator.ports.customers import ApiKey, WebhookSecrets


class MemoryCustomers:
    """The CustomerStore port in memory."""

    def __init__(self, audit: list[AuditEntry]) -> None:
        self._audit = audit
        self._keys: dict[str, ApiKey] = {}
        self._secrets: dict[CustomerId, WebhookSecrets] = {}
        self._session_secret = token_bytes()

    def know(
        self,
        key: str,
        customer: CustomerId,
        *,
        plan: str = "pro",
        role: Role = Role.SUBMIT,
        key_id: str = "",
        expires_ms: int | None = None,
    ) -> None:
        """Take a key as one that was made before."""
        self._keys[key] = ApiKey(
            key_id=key_id or f"key of {customer}",
            customer=customer,
            plan=plan,
            created_ms=0,
            role=role,
            expires_ms=expires_ms,
        )

    async def add_key(self, key: str, made: ApiKey, entry: AuditEntry) -> None:
        """Store an API key, and the entry that says so."""
        self._keys[key] = made
        self._audit.append(entry)

    async def keys(self) -> Sequence[ApiKey]:
        """List every key, oldest first."""
        return sorted(self._keys.values(), key=lambda key: (key.created_ms, key.key_id))

    async def revoke_key(self, key_id: str, entry: AuditEntry) -> bool:
        """Revoke a key at the entry's time, and write the entry; say whether the key was there."""
        valid = [key for key, made in self._keys.items() if made.key_id == key_id and made.revoked_ms is None]
        self._keys |= {key: replace(self._keys[key], revoked_ms=entry.at_ms) for key in valid}
        self._audit += [entry] if valid else []
        return bool(valid)

    async def set_plan(self, customer: CustomerId, plan: str, entry: AuditEntry) -> int:
        """Give a customer's valid keys a plan, and write the entry; say how many keys those are."""
        keys = [
            key
            for key, made in self._keys.items()
            if made.customer == customer and made.is_valid(entry.at_ms)
        ]
        self._keys |= {key: replace(self._keys[key], plan=plan) for key in keys}
        self._audit += [entry] if keys else []
        return len(keys)

    async def caller_of(self, key: str, now_ms: int) -> Caller | None:
        """Whose API key this is, and of which role; None where it is unknown, revoked or past its expiry."""
        return _caller(self._keys.get(key), now_ms)

    async def caller_named(self, key_id: str, now_ms: int) -> Caller | None:
        """Whose API key has this id; None where it is unknown, revoked or past its expiry."""
        named = [made for made in self._keys.values() if made.key_id == key_id]
        return _caller(named[0] if named else None, now_ms)

    @property
    def session_secret(self) -> bytes:
        """What sessions are signed with: for as long as this store is there."""
        return self._session_secret

    def note_use(self, key_id: str, hour_ms: int) -> None:
        """Save in which hour a key was used."""
        used = [key for key, made in self._keys.items() if made.key_id == key_id]
        self._keys |= {key: replace(self._keys[key], used_ms=hour_ms) for key in used}

    async def region_keys(self, now_ms: int) -> Sequence[ApiKey]:
        """List the keys of regions that are valid now, oldest first."""
        return [key for key in await self.keys() if key.region and key.is_valid(now_ms)]

    async def plans(self, now_ms: int) -> Sequence[tuple[CustomerId, str]]:
        """List customers with the plans of their keys that are valid now."""
        return list({(made.customer, made.plan) for made in self._keys.values() if made.is_valid(now_ms)})

    async def put_secrets(self, customer: CustomerId, secrets: WebhookSecrets) -> None:
        """Store a customer's webhook secrets."""
        self._secrets[customer] = secrets

    async def secrets(self, customer: CustomerId) -> WebhookSecrets | None:
        """Read a customer's webhook secrets."""
        return self._secrets.get(customer)

    async def drop_secrets(self, customer: CustomerId) -> bool:
        """Delete them; say whether there were any."""
        return self._secrets.pop(customer, None) is not None


def _caller(made: ApiKey | None, now_ms: int) -> Caller | None:
    if made is None or not made.is_valid(now_ms):
        return None
    return Caller(made.customer, made.role, made.key_id)
