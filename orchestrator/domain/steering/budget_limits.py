"""What is left of a budget, kept to by whom it binds."""

from collections.abc import Callable

from orchestrator.domain.headers.budgets import Budget, BudgetUnit
from orchestrator.domain.pace.budget_paces import is_pace, within
from orchestrator.domain.pace.pacing import Limiter
from orchestrator.domain.steering.binding import Binding
from orchestrator.domain.steering.heard import Heard
from orchestrator.domain.steering.throttle import Throttle

SHORT_WINDOW_S = 2.0
OURS = 0.9
"""Where so much of a short window's quota was ours, an empty one says nothing that the pace does not keep."""


def follow_budget(
    binding: Binding,
    budget: Budget,
    heard: Heard,
    limiter: Limiter,
    now: float,
    count_in: Callable[[Throttle], None],
) -> None:
    """Let those keep to what is left of a budget whom the answer binds.

    Args:
        binding: Whom answers bind.
        budget: As the answer told it.
        heard: The answer.
        limiter: What keeps all to the domain's pace.
        now: Monotonic s.
        count_in: Lets a throttle count what was let out before it was there.

    """
    if budget.unit is BudgetUnit.CONCURRENT or budget.remaining is None:
        return
    if not heard.refused and _is_ours(budget, limiter, now):
        return
    asked = (budget.remaining / max(budget.reset_s or budget.window_s or 1.0, 1.0),)
    # What is left of an account's own budget is no matter of the others'.
    shared = budget.exhausted or not heard.binds_account
    for throttle, until in binding.bound(heard, budget.unit, asked, now, shared=shared):
        count_in(throttle)
        throttle.learn(within(budget, until - now), now, told_at=heard.answered_at, own_cost=heard.cost)


def _is_ours(budget: Budget, limiter: Limiter, now: float) -> bool:
    """Whether the pace itself keeps a short window's quota, nobody else spending from it."""
    if not is_pace(budget) or budget.limit is None or (budget.window_s or 0) > SHORT_WINDOW_S:
        return False
    return not budget.exhausted or limiter.recent(now) >= OURS * budget.limit
