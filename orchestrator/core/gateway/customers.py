"""What belongs to a customer: keys, use, and the secrets that sign webhooks."""

from collections.abc import Iterable, Sequence

from orchestrator.core.gateway.shard_client import ShardClient
from orchestrator.core.key_uses import KeyUses
from orchestrator.core.views import UsageView
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.access.usage import CustomerUsage, DayUsage, added, day_of
from orchestrator.domain.errors import NotFound
from orchestrator.domain.ids import CustomerId
from orchestrator.ports.clock import Clock
from orchestrator.ports.customers import CustomerStore, WebhookSecrets
from orchestrator.ports.store import HistoryStore

DAYS_SHOWN = 30
_NO_SECRETS = "no webhook secrets are stored: create them first"


class Customers:
    """Keys, usage and secrets."""

    def __init__(self, shard: ShardClient, history: HistoryStore, store: CustomerStore, clock: Clock) -> None:
        self._shard = shard
        self._history = history
        self._store = store
        self._clock = clock
        self._key_uses = KeyUses(store)

    async def usage(self, customer: CustomerId) -> UsageView:
        """Show what a customer has open, and used on each of the last DAYS_SHOWN days (UTC)."""
        since = day_of(self._clock.unix_ms()) - DAYS_SHOWN + 1
        saved = await self._history.usage_of(customer, since)
        days = _by_day([*saved, *self._shard.unsaved_usage(customer)])
        return UsageView(customer, self._shard.open_jobs(customer), days)

    async def most_used(self, most: int) -> Sequence[CustomerUsage]:
        """Show who used most on the last DAYS_SHOWN days (UTC), as far as that is on disk: it is within
        seconds.
        """
        return await self._history.most_used(day_of(self._clock.unix_ms()) - DAYS_SHOWN + 1, most)

    async def caller_of(self, key: str) -> Caller | None:
        """Say whose API key this is, and of which role, and note that it is used; None where it is unknown,
        revoked or past its expiry.
        """
        now_ms = self._clock.unix_ms()
        caller = await self._store.caller_of(key, now_ms)
        if caller is not None:
            self._key_uses.note(caller.key_id, now_ms)
        return caller

    async def caller_named(self, key_id: str) -> Caller | None:
        """Say whose API key has this id, as ``caller_of`` does: for who has shown the key before."""
        return await self._store.caller_named(key_id, self._clock.unix_ms())

    @property
    def session_secret(self) -> bytes:
        """What sessions are signed with."""
        return self._store.session_secret

    async def secrets(self, customer: CustomerId) -> WebhookSecrets:
        """Read a customer's signing secrets.

        Raises:
            NotFound: There are none.
        """
        secrets = await self._store.secrets(customer)
        if secrets is None:
            raise NotFound(_NO_SECRETS)
        return secrets

    async def store_secrets(self, customer: CustomerId, secrets: WebhookSecrets) -> None:
        """Store signing secrets in place of earlier ones."""
        await self._store.put_secrets(customer, secrets)
        self._shard.forget_secrets(customer)

    async def rotate_secret(self, customer: CustomerId, new: str) -> None:
        """Make a new secret primary; the old one stays valid as secondary.

        Raises:
            NotFound: There is no old one.
        """
        old = await self.secrets(customer)
        # A rotation that is sent again, after its answer was lost, must not cost the old secret.
        if new != old.primary:
            await self.store_secrets(customer, WebhookSecrets(primary=new, secondary=old.primary))

    async def drop_secrets(self, customer: CustomerId) -> None:
        """Delete a customer's secrets; webhooks go out unsigned from then on.

        Raises:
            NotFound: There are none.
        """
        if not await self._store.drop_secrets(customer):
            raise NotFound(_NO_SECRETS)
        self._shard.forget_secrets(customer)


def _by_day(usages: Iterable[DayUsage]) -> tuple[DayUsage, ...]:
    days: dict[int, DayUsage] = {}
    for usage in usages:
        days[usage.day] = added(days[usage.day], usage) if usage.day in days else usage
    return tuple(days[day] for day in sorted(days))
