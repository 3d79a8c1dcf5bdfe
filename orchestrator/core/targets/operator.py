"""What an operator does to a target domain: forget what was learned, hold it, let it go, set its pace."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from orchestrator.core.targets.limiter_registry import LimiterRegistry
from orchestrator.core.targets.routes import Routes
from orchestrator.domain.access.audit import Act, AuditEntry, act_of
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.pace.overruling import Overruling, Pause, SetPace
from orchestrator.domain.steering.learned import Learned
from orchestrator.ports.clock import Clock
from orchestrator.ports.target_store import TargetStore
from orchestrator.runtime.log_format import about

log = logging.getLogger(__name__)
NOTHING_LEARNED = Learned()


class Operator:
    """Does one act after the other. Each is on disk with its entry in the audit before it holds, and stands
    in the service's log.

    Every act may raise StoreFailure: then nothing has changed.
    """

    def __init__(self, store: TargetStore, clock: Clock, domains: LimiterRegistry, routes: Routes) -> None:
        self._store = store
        self._clock = clock
        self._domains = domains
        self._routes = routes
        self._one_by_one = asyncio.Lock()

    async def reset(self, caller: Caller, domain: TargetDomain) -> None:
        """Forget what was learned of a domain: paces, waits, budgets, breakers. What was set here stays."""
        async with self._act(caller, domain, Act.DOMAIN_RESET) as (said, entry):
            await self._store.save_overruling(domain, said, entry, NOTHING_LEARNED)
            self._domains.forget_learned(domain)
            self._routes.forget(domain)
            self._keep_learned(domain)

    async def pause(self, caller: Caller, domain: TargetDomain) -> None:
        """Start nothing there until ``resume``. Deadlines of the jobs that wait go on."""
        async with self._act(caller, domain, Act.DOMAIN_PAUSED) as (said, entry):
            pause = said.pause or Pause(at_ms=entry.at_ms, by=caller.key_id)
            await self._overrule(domain, replace(said, pause=pause), entry)

    async def resume(self, caller: Caller, domain: TargetDomain) -> None:
        """End a pause of the operator's."""
        async with self._act(caller, domain, Act.DOMAIN_RESUMED) as (said, entry):
            await self._overrule(domain, replace(said, pause=None), entry)

    async def set_pace(self, caller: Caller, domain: TargetDomain, pace: SetPace) -> None:
        """Set a pace in place of what was stated and learned until now; one that sets nothing lifts it."""
        act = Act.PACE_LIFTED if pace.empty else Act.PACE_SET
        detail = {"rps": pace.rps, "max_concurrent": pace.max_concurrent, "until_ms": pace.until_ms}
        async with self._act(caller, domain, act, **({} if pace.empty else detail)) as (said, entry):
            pace = replace(pace, at_ms=entry.at_ms, by=caller.key_id)
            saying = replace(said, pace=None if pace.empty else pace)
            queues = self._domains.queues_told(domain)
            await self._store.save_overruling(domain, saying, entry, Learned(account_queues=queues))
            self._domains.forget_learned(domain, but_queues=True)
            self._domains.overrule(domain, saying)
            self._keep_learned(domain)

    @asynccontextmanager
    async def _act(
        self, caller: Caller, domain: TargetDomain, act: Act, **detail: float | None
    ) -> AsyncIterator[tuple[Overruling, AuditEntry]]:
        entry = act_of(caller, act, domain, self._clock.unix_ms(), **detail)
        async with self._one_by_one:
            yield self._domains.overruling(domain), entry
            what = " ".join(
                [act, *(f"{name} {value}" for name, value in detail.items() if value is not None)]
            )
            ids = about(customer=caller.customer, domain=domain, key=caller.key_id)
        log.info("%s: %s, by %s with the key %s", domain, what, caller.customer, caller.key_id, extra=ids)

    async def _overrule(self, domain: TargetDomain, saying: Overruling, entry: AuditEntry) -> None:
        await self._store.save_overruling(domain, saying, entry)
        self._domains.overrule(domain, saying)

    def _keep_learned(self, domain: TargetDomain) -> None:
        """An answer that came during the commit has saved what it knew of before."""
        limiter = self._domains.find(domain)
        if limiter is not None:
            self._store.note_pace(domain, limiter.learned)
