"""Repeats that wait for their target's retry budget before they queue for a permit."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from orchestrator.core.claim import Claim
from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.domain.breaker import Cause, Sign, sign_of
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.retry_budget import RetryBudget, next_token_at, note_first, note_sign, spend
from orchestrator.ports.clock import Clock

DOMAINS_MOST = 20_000
"""Of more budgets the oldest are forgotten: those targets may repeat as if for the first time."""


@dataclass(slots=True)
class _Account:
    """``waiting`` are the repeats by customer, whose turn comes next first."""

    budget: RetryBudget
    waiting: OrderedDict[CustomerId, deque[Claim]] = field(default_factory=OrderedDict)
    timed: bool = False

    def add(self, claim: Claim) -> None:
        """Put a repeat behind its customer's others."""
        self.waiting.setdefault(claim.ticket.customer, deque()).append(claim)

    def take(self) -> Claim:
        """Take the next customer's first."""
        customer, claims = next(iter(self.waiting.items()))
        claim = claims.popleft()
        self.waiting.move_to_end(customer)
        if not claims:
            del self.waiting[customer]
        return claim


class Repeats:
    """Lets repeats out to their targets' queues, the customers' in turn."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: dict[TargetDomain, _Account] = {}

    def __len__(self) -> int:
        """Count the repeats that wait."""
        return sum(len(claims) for account in self._accounts.values() for claims in account.waiting.values())

    def enqueue(self, claim: Claim) -> None:
        """Queue a repeat as soon as the budget allows."""
        claim.keep_place()
        account = self._accounts.get(claim.domain.name) or self._open(claim.domain.name)
        account.add(claim)
        self._release(account)

    def sent_first(self, domain: DomainLimiter) -> None:
        """A leg's first attempt went out."""
        account = self._accounts.get(domain.name)
        if account is not None:
            account.budget = note_first(account.budget)
            self._release(account)

    def ended(self, domain: DomainLimiter, cause: Cause) -> None:
        """An attempt ended."""
        sign = sign_of(cause.status, cause.fault)
        account = self._accounts.get(domain.name)
        if sign is Sign.NONE or (account is None and sign is Sign.WELL):
            return
        account = account or self._open(domain.name)
        account.budget = note_sign(account.budget, well=sign is Sign.WELL)
        self._release(account)
        if not account.waiting and not account.budget.spent(self._clock.now()):
            del self._accounts[domain.name]

    def _open(self, name: TargetDomain) -> _Account:
        if len(self._accounts) >= DOMAINS_MOST:
            oldest = next((old for old, account in self._accounts.items() if not account.waiting), None)
            if oldest is not None:
                del self._accounts[oldest]
        account = self._accounts[name] = _Account(RetryBudget(at=self._clock.now()))
        return account

    def _release(self, account: _Account) -> None:
        while account.waiting:
            left = spend(account.budget, self._clock.now())
            if left is None:
                self._wake(account)
                return
            account.budget = left
            account.take().enqueue()

    def _wake(self, account: _Account) -> None:
        if not account.timed:
            account.timed = True
            due = next_token_at(account.budget, self._clock.now())
            self._clock.call_at(due, lambda: self._woken(account))

    def _woken(self, account: _Account) -> None:
        account.timed = False
        self._release(account)
