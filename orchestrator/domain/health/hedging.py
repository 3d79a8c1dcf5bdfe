"""How many hedges may have a further leg: a share of what their target answers, and none while it does not.

A hedged request goes again once it takes longer than nearly all others (Dean and Barroso, "The Tail at
Scale", 2013). When all take long, that would double the load of a target in trouble: so only answers earn.
"""

from msgspec import Struct
from msgspec.structs import replace

TOKENS_MOST = 10.0
"""What a new budget has, and the most that is saved: a target that goes silent gets so many further legs."""
A_TOKEN = 1.0 - 1e-9
"""Shares are floats: ten answers of a tenth each are one further leg."""


class HedgeBudget(Struct, frozen=True):
    """Further legs that may go now, for one customer at one target."""

    tokens: float = TOKENS_MOST


def note_answer(budget: HedgeBudget, share: float) -> HedgeBudget:
    """A hedge's first leg was answered: ``share`` of a further leg is earned."""
    return replace(budget, tokens=min(TOKENS_MOST, budget.tokens + share))


def spend(budget: HedgeBudget) -> HedgeBudget | None:
    """Take one further leg; None where there is none."""
    return replace(budget, tokens=budget.tokens - 1.0) if budget.tokens >= A_TOKEN else None
