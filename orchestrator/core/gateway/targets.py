"""Target domains, as customers see them and operators change them."""

from orchestrator.core.gateway.shard_client import ShardClient
from orchestrator.core.views import DomainPage, DomainView
from orchestrator.domain.access.roles import Caller, Role
from orchestrator.domain.errors import NotFound
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.pace.overruling import SetPace
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import HistoryStore
from orchestrator.runtime.cooperative_yield import CooperativeYield

_OPERATOR = Caller(CustomerId(""), Role.ADMIN)


class Targets:
    """Looks at targets, and an operator's acts. Each act is on disk before it holds, and gives the target as
    it stands then.

    Every act may raise StoreFailure: then nothing has changed.
    """

    def __init__(self, shard: ShardClient, store: HistoryStore, clock: Clock) -> None:
        self._shard = shard
        self._store = store
        self._clock = clock

    async def listed(self, caller: Caller, *, most: int, after: str) -> DomainPage:
        """Show the targets that a customer has called, all customers' to an admin, by name."""
        whose = None if caller.admin else caller.customer
        names = await self._store.domains_of(whose, most + 1, after)
        breather, shown = CooperativeYield(self._clock.now), []
        for name in names[:most]:
            shown.append(self._shard.domain(name, caller))
            await breather.pause()
        return DomainPage(tuple(shown), more=len(names) > most)

    async def show(self, caller: Caller, domain: TargetDomain) -> DomainView:
        """Show one target that the customer has called; an admin sees any that anybody has.

        Raises:
            NotFound: Nobody has, or somebody else.
        """
        whose = None if caller.admin else caller.customer
        if [domain] != [*await self._store.domains_of(whose, 1, just_before(domain))]:
            raise NotFound("there is no such domain, or none of yours: no job has called it")
        return self._shard.domain(domain, caller)

    def look(self, domain: TargetDomain) -> DomainView:
        """Show one target as an operator sees it, whoever has called it."""
        return self._shard.domain(domain, _OPERATOR)

    async def reset(self, caller: Caller, domain: TargetDomain) -> DomainView:
        """Forget what was learned of a target: paces, waits, budgets, breakers. What was set stays."""
        await self._shard.reset(caller, domain)
        return self._shard.domain(domain, caller)

    async def pause(self, caller: Caller, domain: TargetDomain) -> DomainView:
        """Start nothing at a target until ``resume``."""
        await self._shard.pause(caller, domain)
        return self._shard.domain(domain, caller)

    async def resume(self, caller: Caller, domain: TargetDomain) -> DomainView:
        """Let a target go that was paused."""
        await self._shard.resume(caller, domain)
        return self._shard.domain(domain, caller)

    async def set_pace(self, caller: Caller, domain: TargetDomain, pace: SetPace) -> DomainView:
        """Set a pace in place of what was stated and learned; one that sets nothing lifts it."""
        await self._shard.set_pace(caller, domain, pace)
        return self._shard.domain(domain, caller)


def just_before(name: str) -> str:
    """Give what comes before a name and after all others that do: a list of what follows it begins with the
    name, if there is such a one.
    """
    return f"{name[:-1]}{chr(ord(name[-1]) - 1)}\U0010ffff"
