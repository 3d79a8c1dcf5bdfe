"""What operators see and do: customers, keys, everybody's jobs. Each act is in the audit."""

from collections.abc import Sequence

from orchestrator.core.gateway.shard_client import ShardClient
from orchestrator.core.views import CustomerView
from orchestrator.domain.access.audit import Act, AuditFilter, AuditLine, Detail, act_of
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.errors import FieldError, InvalidFields, NotFound
from orchestrator.domain.ids import CustomerId, JobId, RegionName
from orchestrator.ports.clock import Clock
from orchestrator.ports.customers import ApiKey, terms_of
from orchestrator.ports.store import Store


class Administration:
    """Looks at all customers, and an operator's acts. Every call may raise StoreFailure: then nothing has
    changed.
    """

    def __init__(self, shard: ShardClient, store: Store, clock: Clock) -> None:
        self._shard = shard
        self._store = store
        self._clock = clock

    async def customers(self) -> list[CustomerView]:
        """Show everybody who has, or had, a key, by name."""
        now_ms = self._clock.unix_ms()
        by_customer: dict[CustomerId, list[ApiKey]] = {}
        for key in await self._store.customers.keys():
            by_customer.setdefault(key.customer, []).append(key)
        return [self._view(name, keys, now_ms) for name, keys in sorted(by_customer.items())]

    async def keys(self, customer: CustomerId | None) -> Sequence[ApiKey]:
        """List a customer's keys, or everybody's, the latest first."""
        keys = await self._store.customers.keys()
        return [key for key in reversed(keys) if customer in (None, key.customer)]

    async def add_key(self, caller: Caller, key: str, made: ApiKey) -> None:
        """Store a key that was made."""
        entry = act_of(caller, Act.KEY_CREATED, made.key_id, made.created_ms, **terms_of(made))
        await self._store.customers.add_key(key, made, entry)

    async def revoke_key(self, caller: Caller, key_id: str) -> None:
        """Revoke a key; it stops working within two seconds.

        Raises:
            NotFound: There is none of that id, or it is revoked already.
        """
        entry = act_of(caller, Act.KEY_REVOKED, key_id, self._clock.unix_ms())
        if not await self._store.customers.revoke_key(key_id, entry):
            raise NotFound("there is no such key, or it is revoked already")

    @property
    def plans(self) -> tuple[str, ...]:
        """The plans that a customer may have, by name: those of the operator's table."""
        return self._shard.plans

    async def set_plan(self, caller: Caller, customer: CustomerId, plan: str) -> int:
        """Give all valid keys of a customer a plan, which weighs in the queues within ten seconds; say how
        many keys those are.

        Raises:
            InvalidFields: The operator's table names no such plan.
            NotFound: The customer has no valid key.
        """
        if plan not in self.plans:
            raise InvalidFields([FieldError("plan", f"must be one of {', '.join(self.plans)}")])
        entry = act_of(caller, Act.PLAN_SET, customer, self._clock.unix_ms(), plan=plan)
        keys = await self._store.customers.set_plan(customer, plan, entry)
        if not keys:
            raise NotFound("there is no such customer, or it has no valid key")
        return keys

    async def drain(self, caller: Caller, region: RegionName) -> None:
        """Place nothing new in a region until ``undrain``; what runs there ends.

        Raises:
            NotFound: There is no such region.
        """
        await self._shard.drain(caller, region)

    async def undrain(self, caller: Caller, region: RegionName) -> None:
        """Let a region take work again.

        Raises:
            NotFound: There is no such region.
        """
        await self._shard.undrain(caller, region)

    async def audit(self, wanted: AuditFilter, most: int) -> Sequence[AuditLine]:
        """List what operators did, the latest first."""
        return await self._store.audit.lines(wanted, most)

    async def owner_of(self, job_id: str) -> CustomerId:
        """Say whose a job is.

        Raises:
            NotFound: There is none of that id.
        """
        summary = await self._store.history.summary(JobId(job_id), self._clock.unix_ms())
        if summary is None:
            raise NotFound("there is no such job")
        return summary.customer

    async def note(self, caller: Caller, act: Act, subject: str, **detail: Detail) -> None:
        """Write down an act that is about to be done: no act may be without its entry."""
        await self._store.audit.append(act_of(caller, act, subject, self._clock.unix_ms(), **detail))

    def _view(self, name: CustomerId, keys: Sequence[ApiKey], now_ms: int) -> CustomerView:
        valid = [key for key in keys if key.is_valid(now_ms)]
        return CustomerView(
            customer=name,
            plans=tuple(sorted({key.plan for key in valid})),
            keys=len(valid),
            used_ms=max((key.used_ms for key in keys if key.used_ms), default=None),
            open_jobs=self._shard.open_jobs(name),
        )
