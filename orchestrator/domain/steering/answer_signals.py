"""All that one answer says about pace."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.headers.budgets import Budget, read_budgets
from orchestrator.domain.headers.signals import Signal, read_signal, retry_after_s
from orchestrator.domain.pace.budget_paces import as_signal, strictest
from orchestrator.domain.pace.overruling import SetPace


class AnswerSignals(Struct, frozen=True):
    """A pace outright, budgets, and a wait that lies ahead (s)."""

    signal: Signal
    budgets: tuple[Budget, ...]
    wait_s: float | None

    @property
    def told(self) -> bool:
        """Whether it says how fast, or that nothing is left."""
        return not self.signal.silent or any(budget.exhausted for budget in self.budgets)

    @property
    def states_pace(self) -> bool:
        """Whether it says how many requests a second may come."""
        return self.signal.rps is not None or any(as_signal(budget).rps for budget in self.budgets)

    def heeded(self, pace: SetPace) -> "AnswerSignals":
        """Leave out what the operator set in its place."""
        return replace(self, signal=pace.heeded(self.signal), budgets=tuple(pace.heeded_of(self.budgets)))

    def of_account(self) -> "AnswerSignals":
        """Take what it says of an account's budgets for that account's own pace."""
        return replace(self, signal=strictest(self.signal, self.budgets))


def read_answer(headers: Mapping[str, str], at: datetime) -> AnswerSignals:
    """Read an answer's headers, ``at`` the moment when it came."""
    wait_s = retry_after_s(headers, at)
    ahead_s = wait_s if wait_s is not None and wait_s > 0 else None
    return AnswerSignals(read_signal(headers), tuple(read_budgets(headers, at)), ahead_s)
