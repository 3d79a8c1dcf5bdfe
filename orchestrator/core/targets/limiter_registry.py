"""The target domains that a shard paces."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from weakref import WeakValueDictionary

from orchestrator.core.shard_options import ShardOptions
from orchestrator.core.targets.domain_limiter import DomainLimiter, Launch
from orchestrator.domain.health.routing import DOWN_AFTER_S
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.pace.overruling import AS_IT_IS, Overruling
from orchestrator.domain.queueing.fairness import Weight
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.learned import Learned
from orchestrator.domain.steering.steering import Steering
from orchestrator.domain.steering.witnesses import FORGOTTEN_AFTER_S
from orchestrator.ports.clock import Clock

LOOKED_AT_ONCE = 1_000


class LimiterRegistry(Mapping[TargetDomain, DomainLimiter]):
    """A limiter for each domain that was called in this life of the shard."""

    def __init__(
        self,
        clock: Clock,
        options: ShardOptions,
        *,
        launch: Launch,
        opens_at: Callable[[TargetDomain, float], float],
    ) -> None:
        self._clock = clock
        self._options = options
        self._hand_on = launch
        self._opens_at = opens_at
        self._limiters: dict[TargetDomain, DomainLimiter] = {}
        # Who still holds an idle one (a timer of a job for tomorrow) and who asks for it have the same.
        self._idle: WeakValueDictionary[TargetDomain, DomainLimiter] = WeakValueDictionary()
        self._learned: dict[TargetDomain, Learned] = {}
        """Of those that were not called yet: what is older than their limiters is of no use any more."""
        self._overrulings: dict[TargetDomain, Overruling] = {}
        self._weights: dict[CustomerId, int] = {}
        # A bound method is made anew at each look-up: very many limiters share these.
        self._weight: Weight = self._weight_of
        self._launch_one: Launch = self._launch
        self._held = False
        self._held_until = float("-inf")
        self._closed = False

    def __getitem__(self, name: TargetDomain) -> DomainLimiter:
        """Find a domain that was called already."""
        return self._limiters[name]

    def __iter__(self) -> Iterator[TargetDomain]:
        """Name the domains, the first called first."""
        return iter(self._limiters)

    def __len__(self) -> int:
        """Count them."""
        return len(self._limiters)

    def limiter(self, name: TargetDomain) -> DomainLimiter:
        """Find a domain's limiter, or make it."""
        return self._limiters.get(name) or self._take_up(name)

    def find(self, name: TargetDomain) -> DomainLimiter | None:
        """Find a domain's limiter, an idle one too that somebody still holds; None where there is none."""
        return self._limiters.get(name) or self._idle.get(name)

    def look(self, name: TargetDomain) -> DomainLimiter:
        """Find a domain's limiter, or make one to look at, which is not kept."""
        return self.find(name) or self._make(name, self._learned.get(name))

    def overruling(self, name: TargetDomain) -> Overruling:
        """Say what the operator said of a domain, as far as it holds now."""
        return self._overrulings.get(name, AS_IT_IS).at(self._clock.unix_ms())

    def overrule(self, name: TargetDomain, overruling: Overruling) -> None:
        """Keep to what the operator says of a domain from now on."""
        self._overrulings.pop(name, None)
        if overruling:
            self._overrulings[name] = overruling
        if (limiter := self.find(name)) is not None:
            limiter.overrule(overruling)

    def queues_told(self, name: TargetDomain) -> bool | None:
        """Say whether a domain's target asked for a queue for each account; None where it said nothing."""
        limiter = self.find(name)
        learned = self._learned.get(name, Learned()) if limiter is None else limiter.learned
        return learned.account_queues

    def forget_learned(self, name: TargetDomain, *, but_queues: bool = False) -> None:
        """Forget what a domain's target taught; ``but_queues``: not whether each account has a queue."""
        queues = self.queues_told(name) if but_queues else None
        if (limiter := self.find(name)) is not None:
            limiter.forget_learned(but_queues=but_queues)
        elif name in self._learned:
            self._learned[name] = Learned(account_queues=queues)

    def begin(
        self,
        learned: Mapping[TargetDomain, Learned],
        overrulings: Mapping[TargetDomain, Overruling] = MappingProxyType({}),
        *,
        after_another_life: bool,
    ) -> None:
        """Take what targets have taught, and what the operator said. Where an earlier life of the shard sent
        something, nothing starts until no executor can be at it any more: it hears of this life, or is
        fenced.
        """
        self._learned = dict(learned)
        self._overrulings = dict(overrulings)
        if after_another_life:
            self._held = True
            self._clock.call_at(self._clock.now() + DOWN_AFTER_S, self.release)

    def release(self) -> None:
        """Nothing of an earlier life is under way any more; the targets still count what it started last."""
        if not self._held:
            return
        self._held = False
        self._held_until = self._clock.now()
        for limiter in self._limiters.values():
            limiter.begin_windows(self._held_until)
            if not self._closed:
                limiter.release()

    async def forget_idle(self) -> None:
        """Let go of those that have been at rest for long: their number is what customers make it."""
        names = list(self._limiters)
        for begin in range(0, len(names), LOOKED_AT_ONCE):
            for name in names[begin : begin + LOOKED_AT_ONCE]:
                if self._limiters[name].at_rest(FORGOTTEN_AFTER_S):
                    self._idle[name] = self._limiters.pop(name)
            await asyncio.sleep(0)

    def close(self) -> None:
        """Let nothing start any more."""
        self._closed = True
        for limiter in (*self._limiters.values(), *self._idle.values()):
            limiter.hold()

    def weigh(self, plans: Iterable[tuple[CustomerId, str]]) -> None:
        """Give customers the weights of their plans; of several plans, the heaviest."""
        weights: dict[CustomerId, int] = {}
        for customer, plan in plans:
            weights[customer] = max(weights.get(customer, 1), self._options.known.weights.get(plan, 1))
        self._weights = weights

    def _launch(self, limiter: DomainLimiter, ticket: Ticket, permit: int) -> None:
        if limiter.name not in self._limiters:
            # It was idle, and got its work from who still held it.
            self._limiters[limiter.name] = self._idle.pop(limiter.name, limiter)
        self._hand_on(limiter, ticket, permit)

    def _take_up(self, name: TargetDomain) -> DomainLimiter:
        limiter = self._limiters[name] = (
            self._idle.pop(name) if name in self._idle else self._make(name, self._learned.pop(name, None))
        )
        if self._closed or self._held:
            limiter.hold()
        return limiter

    def _make(self, name: TargetDomain, learned: Learned | None) -> DomainLimiter:
        policy = self._options.known.policy(name)
        base = policy.pace(self._options.pace)
        steering = Steering(base, policy.caps(self._options.caps), account_queues=policy.account_queues)
        if learned is not None:
            steering.restore(learned, self._clock.now(), self._clock.unix_ms())
        return DomainLimiter(
            name,
            self._clock,
            steering,
            weight=self._weight,
            overruling=self.overruling(name),
            not_before=self._held_until + ((learned.pace if learned else None) or base).window_s,
            launch=self._launch_one,
            opens_at=self._opens_at,
        )

    def _weight_of(self, customer: CustomerId) -> int:
        return self._weights.get(customer, 1)
