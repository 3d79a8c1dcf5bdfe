"""A budget that a target tells truly is kept to, whatever starts and comes back, in whatever order."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.support.long import drawn
from tests.unit.core.targets.test_budgets_in_flight import RESET_S, ByHand, requests_left, tokens_left

ANY = st.integers(0, 1_000)


class BudgetMachine(RuleBasedStateMachine):
    """One target, which counts what starts there until its window ends, long after the test."""

    def __init__(self) -> None:
        super().__init__()
        self.outlet = ByHand()
        self.waiting: list[int] = []
        """Let out, and neither started nor back."""
        self.answers: list[tuple[int, float, float]] = []
        """Not heard yet: of which permit, what was left, and when."""
        self.heard = False

    @initialize(
        limit=st.integers(4, 8),
        account=st.sampled_from(["a", None]),
        cost=st.sampled_from([None, 1.0, 3.0]),
        first=st.integers(1, 4),
    )
    def begin(self, limit: int, account: str | None, cost: float | None, first: int) -> None:
        self.account, self.cost = account, cost or 1.0
        self.told = requests_left if cost is None else tokens_left
        self.left = limit * self.cost
        self.note(self.outlet.let_out(first, account, cost=self.cost))

    @rule()
    def let_out(self) -> None:
        self.note(self.outlet.let_out(1, self.account, cost=self.cost))

    @precondition(lambda self: self.waiting)
    @rule(which=ANY)
    def come_back(self, which: int) -> None:
        permit = self.waiting.pop(which % len(self.waiting))
        self.note(self.outlet.released_by(lambda: self.outlet.limiter.unused(permit)))

    @precondition(lambda self: self.waiting)
    @rule(which=ANY)
    def start(self, which: int) -> None:
        permit, now = self.waiting.pop(which % len(self.waiting)), self.outlet.clock.now()
        self.left -= self.cost
        self.answers.append((permit, self.left, now))
        self.note(self.outlet.released_by(lambda: self.outlet.limiter.started(permit, now)))

    @precondition(lambda self: self.answers)
    @rule(which=ANY)
    def hear(self, which: int) -> None:
        permit, left, at = self.answers.pop(which % len(self.answers))
        ago_s, self.heard = self.outlet.clock.now() - at, True
        answer = self.told(max(0.0, left))
        self.note(self.outlet.released_by(lambda: self.outlet.answer(permit, answer, ago_s=ago_s)))

    def note(self, released: list[int]) -> None:
        self.waiting += released
        if released and self.heard:
            assert self.left - len(self.waiting) * self.cost >= 0


TestBudgetMachine: Any = BudgetMachine.TestCase
TestBudgetMachine.settings = settings(max_examples=drawn(100), stateful_step_count=30, deadline=None)
assert RESET_S > 30 * 0.05 + 1
