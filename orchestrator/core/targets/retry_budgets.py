"""Repeats that wait for their target's retry budget before they queue for a permit."""

from collections import OrderedDict
from dataclasses import dataclass, field

from orchestrator.core.targets.queues import Queues
from orchestrator.domain.health.breaker import Cause, Sign, sign_of
from orchestrator.domain.health.retry_budget import RetryBudget, next_token_at, note_first, note_sign, spend
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.ports.clock import Clock
from orchestrator.ports.targets import Claim

DOMAINS_MOST = 20_000
"""Of more budgets the oldest are forgotten: those targets may repeat as if for the first time."""


@dataclass(slots=True)
class _DomainRetries:
    """``waiting`` are the repeats by customer, whose turn comes next first."""

    budget: RetryBudget
    waiting: OrderedDict[CustomerId, OrderedDict[Ticket, Claim]] = field(default_factory=OrderedDict)
    timed: bool = False

    def add(self, claim: Claim) -> None:
        """Put a repeat behind its customer's others."""
        self.waiting.setdefault(claim.ticket.customer, OrderedDict())[claim.ticket] = claim

    def take(self) -> Claim:
        """Take the next customer's first."""
        customer, claims = next(iter(self.waiting.items()))
        _, claim = claims.popitem(last=False)
        self.waiting.move_to_end(customer)
        if not claims:
            del self.waiting[customer]
        return claim

    def drop(self, ticket: Ticket) -> bool:
        """Take a repeat out; say whether it was here."""
        claims = self.waiting.get(ticket.customer)
        found = claims is not None and claims.pop(ticket, None) is not None
        if claims is not None and not claims:
            del self.waiting[ticket.customer]
        return found


class RetryBudgets:
    """Lets repeats out to their targets' queues, the customers' in turn."""

    def __init__(self, clock: Clock, queues: Queues) -> None:
        self._clock = clock
        self._queues = queues
        self._by_domain: dict[TargetDomain, _DomainRetries] = {}

    def __len__(self) -> int:
        """Count the repeats that wait."""
        return sum(len(claims) for retries in self._by_domain.values() for claims in retries.waiting.values())

    def enqueue(self, claim: Claim) -> None:
        """Queue a repeat as soon as the budget allows."""
        self._queues.keep_place(claim)
        retries = self._by_domain.get(claim.domain) or self._open(claim.domain)
        retries.add(claim)
        self._release(retries)

    def withdraw(self, claim: Claim) -> bool:
        """Nobody waits for a claim any more; say whether it was here."""
        retries = self._by_domain.get(claim.domain)
        return retries is not None and retries.drop(claim.ticket)

    def sent_first(self, domain: TargetDomain) -> None:
        """A leg's first attempt went out."""
        retries = self._by_domain.get(domain)
        if retries is not None:
            retries.budget = note_first(retries.budget)
            self._release(retries)

    def ended(self, domain: TargetDomain, cause: Cause) -> None:
        """An attempt ended."""
        sign = sign_of(cause.status, cause.fault)
        retries = self._by_domain.get(domain)
        if sign is Sign.NONE or (retries is None and sign.answers):
            return
        retries = retries or self._open(domain)
        retries.budget = note_sign(retries.budget, well=sign.answers)
        self._release(retries)
        if not retries.waiting and not retries.budget.spent(self._clock.now()):
            del self._by_domain[domain]

    def forget(self, name: TargetDomain) -> None:
        """Let a target's repeats go as if none had been made."""
        retries = self._by_domain.get(name)
        if retries is not None:
            retries.budget = RetryBudget(at=self._clock.now())
            self._release(retries)

    def _open(self, name: TargetDomain) -> _DomainRetries:
        if len(self._by_domain) >= DOMAINS_MOST:
            oldest = next((old for old, retries in self._by_domain.items() if not retries.waiting), None)
            if oldest is not None:
                del self._by_domain[oldest]
        retries = self._by_domain[name] = _DomainRetries(RetryBudget(at=self._clock.now()))
        return retries

    def _release(self, retries: _DomainRetries) -> None:
        while retries.waiting:
            left = spend(retries.budget, self._clock.now())
            if left is None:
                self._wake(retries)
                return
            retries.budget = left
            self._queues.enqueue(retries.take())

    def _wake(self, retries: _DomainRetries) -> None:
        if not retries.timed:
            retries.timed = True
            due = next_token_at(retries.budget, self._clock.now())
            self._clock.call_at(due, lambda: self._woken(retries))

    def _woken(self, retries: _DomainRetries) -> None:
        retries.timed = False
        self._release(retries)
