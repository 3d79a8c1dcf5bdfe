"""One announced budget, followed from answer to answer: when the next request can be paid from it."""

import math

from orchestrator.domain.headers.budgets import Budget, BudgetUnit
from orchestrator.domain.pace.active_limits import ActiveLimit, ActiveLimitKind

SPREAD_FROM_S = 10.0
"""Resets are told in whole seconds: a shorter rest of a window can't be spread well, and need not be."""
RESOLUTION_S = 1.0


class Quota:
    """What is left of a budget, by the latest answer and what was spent since. Monotonic seconds.

    One that refills grows back at the rate that its own numbers tell, and is never waited for longer than
    one request's share. Any other is what it is until its reset; a long rest is spread evenly, from the
    last start on (``since``).
    """

    __slots__ = (
        "_at",
        "_left",
        "_limit",
        "_rate",
        "_reset_at",
        "_slot",
        "_spread_s",
        "header",
        "told_at",
        "unit",
    )

    def __init__(
        self,
        budget: Budget,
        *,
        remaining: float,
        in_flight: float,
        now: float,
        since: float,
        told_at: float,
    ) -> None:
        reset_s = budget.window_s or RESOLUTION_S if budget.reset_s is None else budget.reset_s
        if remaining < 1 and not budget.refills:
            reset_s = max(reset_s, RESOLUTION_S)
        self.unit = budget.unit
        self.header = budget.header
        self.told_at = told_at
        """When the answer came that told of it."""
        self._at = now
        self._left = remaining - in_flight
        self._limit = budget.limit if budget.limit is not None else math.inf
        self._reset_at = now + reset_s
        self._rate = _refill_rate(budget, remaining, reset_s)
        self._spread_s = 0.0
        if not self._rate and reset_s >= SPREAD_FROM_S and self._left >= 1:
            self._spread_s = reset_s / self._left
        self._slot = since + self._spread_s

    def expired(self, now: float) -> bool:
        """Whether its reset has passed: only the next answer says what there is then."""
        return now >= self._reset_at

    def active_limit(self, now: float) -> ActiveLimit:
        """Show what is left of it, and when it is whole again."""
        left = min(self._limit, self._left + self._rate * (now - self._at))
        return ActiveLimit(
            kind=ActiveLimitKind.BUDGET,
            source=self.header,
            until=self._reset_at,
            rps=self._rate_for(left),
            unit=self.unit,
            remaining=max(0.0, left),
        )

    def _rate_for(self, left: float) -> float | None:
        """Say at which rate requests that cost one are paid now; None where they all are."""
        if left < 1:
            return self._rate
        return 1 / self._spread_s if self._spread_s else None

    def next_at(self, now: float, cost: float) -> float:
        """When a request can be paid: ``now`` or later. ``cost`` is its tokens."""
        if self.expired(now):
            return now
        # What costs more than the whole budget can only be paid from a full one.
        amount = min(self._amount(cost), self._limit)
        lacking = amount - self._left - self._rate * (now - self._at)
        if lacking <= 0:
            return max(now, self._slot)
        return min(self._reset_at, now + lacking / self._rate) if self._rate else self._reset_at

    def paid_at(self, now: float, cost: float, count: int) -> float:
        """Estimate when ``count`` requests of this cost can have been paid, the one after the other."""
        lacking = count * self._amount(cost) - self._left - self._rate * (now - self._at)
        if self.expired(now) or (lacking <= 0 and not self._spread_s):
            return now
        if self._rate:
            return now + lacking / self._rate
        spread_at = max(now, self._slot) + (count - 1) * self._spread_s * self._amount(cost)
        return spread_at if lacking <= 0 else self._reset_at

    def spend(self, now: float, cost: float) -> None:
        """Pay for a request."""
        self._left = min(self._limit, self._left + self._rate * (now - self._at)) - self._amount(cost)
        self._at = now
        self._slot = max(self._slot, now) + self._spread_s * self._amount(cost)

    def refund(self, cost: float) -> None:
        """Take back what a request did not use, its time too where what is left is spread."""
        self._left += self._amount(cost)
        self._slot -= self._spread_s * self._amount(cost)

    def _amount(self, cost: float) -> float:
        return cost if self.unit is BudgetUnit.TOKENS else 1.0


def _refill_rate(budget: Budget, remaining: float, reset_s: float) -> float:
    if not budget.refills or budget.limit is None or reset_s <= 0:
        return 0.0
    return max(0.0, budget.limit - remaining) / reset_s
