"""How many repeats a target may get beside its first attempts, so that an outage multiplies nothing.

A token bucket: first attempts put a tenth of a token in, time puts a few in for quiet targets, and each
repeat takes one. While the target is well every answer puts a whole one in: what had to wait goes at once.
"""

from msgspec import Struct
from msgspec.structs import replace

SHARE = 0.1
"""RetryBudgets per first attempt while a target is ill."""
PER_SECOND = 0.5
"""RetryBudgets that a target gets however few first attempts it has."""
TOKENS_MOST = 20.0
ILL_ABOVE = 0.2
GAIN = 1 / 16
A_TOKEN = 1.0 - 1e-9
"""Time is a float: who waits for a token until it is there must then find it."""


class RetryBudget(Struct, frozen=True):
    """``tokens`` at monotonic ``at``; ``ill`` is the share of failures among the recent ends."""

    tokens: float = TOKENS_MOST
    at: float = 0.0
    ill: float = 0.0

    def spent(self, now: float) -> bool:
        """Whether it is any different from a new one."""
        return bool(self.ill) or _refilled(self, now).tokens < TOKENS_MOST


def note_first(budget: RetryBudget) -> RetryBudget:
    """A first attempt went out."""
    if budget.tokens >= TOKENS_MOST:
        return budget
    return replace(budget, tokens=min(TOKENS_MOST, budget.tokens + SHARE))


def note_sign(budget: RetryBudget, *, well: bool) -> RetryBudget:
    """An attempt ended: the target answered, or it failed."""
    if well and not budget.ill and budget.tokens >= TOKENS_MOST:
        return budget
    # Below a hundredth of the limit it is nothing: most budgets then are the same, and cost no work.
    ill = budget.ill + GAIN * ((0.0 if well else 1.0) - budget.ill)
    ill = 0.0 if ill < ILL_ABOVE / 100 else ill
    deposit = 1.0 if well and ill <= ILL_ABOVE else 0.0
    return replace(budget, tokens=min(TOKENS_MOST, budget.tokens + deposit), ill=ill)


def spend(budget: RetryBudget, now: float) -> RetryBudget | None:
    """Take a token for a repeat at ``now``; None where there is none."""
    budget = _refilled(budget, now)
    return replace(budget, tokens=budget.tokens - 1.0) if budget.tokens >= A_TOKEN else None


def next_token_at(budget: RetryBudget, now: float) -> float:
    """When time alone will have put enough in for a repeat (monotonic s, ``now`` or later)."""
    missing = 1.0 - _refilled(budget, now).tokens
    return now + max(0.0, missing) / PER_SECOND


def _refilled(budget: RetryBudget, now: float) -> RetryBudget:
    gained = max(0.0, now - budget.at) * PER_SECOND
    return replace(budget, tokens=min(TOKENS_MOST, budget.tokens + gained), at=max(now, budget.at))
