"""Budgets that say how fast or how many at once, and are a pace by that."""

import math
from collections.abc import Iterable
from dataclasses import replace

from orchestrator.domain.headers.budgets import Budget, BudgetUnit
from orchestrator.domain.headers.signals import CONCURRENT_MOST, RPS_LEAST, SILENT, Signal

PACE_WINDOW_MOST_S = 60.0
"""A quota of so short a window is a pace; one of a longer window may be used up faster at first."""


def is_pace(budget: Budget) -> bool:
    """Whether a budget's window is so short that its rate is a pace."""
    return budget.rate is not None and (budget.window_s or 0) <= PACE_WINDOW_MOST_S and not budget.refills


def as_signal(budget: Budget) -> Signal:
    """Read a budget as a pace; silent where it is none."""
    if budget.unit is BudgetUnit.CONCURRENT and budget.limit:
        most = int(min(max(budget.limit, 1), CONCURRENT_MOST))
        return Signal(max_concurrent=most, source=budget.header)
    if budget.unit is BudgetUnit.REQUESTS and budget.rate is not None and is_pace(budget):
        return Signal(rps=max(budget.rate, RPS_LEAST), source=budget.header)
    return SILENT


def strictest(signal: Signal, budgets: Iterable[Budget]) -> Signal:
    """Join what an answer says of one account's pace: outright, and by its budgets."""
    for told in map(as_signal, budgets):
        if told.rps is not None and (signal.rps is None or told.rps < signal.rps):
            signal = replace(signal, rps=told.rps, source=told.source)
        if told.max_concurrent is not None and told.max_concurrent < (signal.max_concurrent or math.inf):
            signal = replace(signal, max_concurrent=told.max_concurrent, source=signal.source or told.source)
    return signal


def within(budget: Budget, most_s: float) -> Budget:
    """Bound how long a budget holds: of what is left, as much as such a part of its time has."""
    if budget.reset_s is None or budget.reset_s <= most_s or budget.remaining is None:
        return budget
    share = most_s / budget.reset_s
    return replace(budget, reset_s=most_s, remaining=budget.remaining * share)
