"""How many lines somebody may cause in a log: a token bucket that says how much it kept back."""

from msgspec import Struct
from msgspec.structs import replace


class LineBudget(Struct, frozen=True):
    """Some lines at once, and then so many a second. ``kept_back`` counts the lines since the last that could
    be written; ``at`` is monotonic seconds.
    """

    burst: float
    per_s: float
    left: float
    at: float
    kept_back: int = 0


def new_budget(burst: int, per_s: float, now: float) -> LineBudget:
    """Make a full one."""
    return LineBudget(burst=burst, per_s=per_s, left=burst, at=now)


def spend_line(budget: LineBudget, now: float) -> tuple[LineBudget, int | None]:
    """Ask for a line; give how many were kept back since the last one, or None where this one is too."""
    left = min(budget.burst, budget.left + (now - budget.at) * budget.per_s)
    if left < 1:
        return replace(budget, left=left, at=now, kept_back=budget.kept_back + 1), None
    return replace(budget, left=left - 1, at=now, kept_back=0), budget.kept_back
