"""What the operator said of a domain: it outranks what the target states, and what was found by trying.

A pace that is set replaces both for as long as it holds; a wait that the target names (``Retry-After``, a
budget that is empty until its reset) is kept all the same. A pause holds everything back until it is lifted.
"""

import dataclasses
from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.headers.budgets import Budget, BudgetUnit
from orchestrator.domain.headers.signals import Signal
from orchestrator.domain.pace.pacing import Pace


class SetPace(Struct, frozen=True, kw_only=True):
    """A pace that the operator set. ``rps`` (requests per second) and ``max_concurrent`` are None where that
    is left to the target; ``until_ms`` is Unix ms, None until it is lifted.
    """

    rps: float | None = None
    max_concurrent: int | None = None
    until_ms: int | None = None
    at_ms: int = 0
    by: str = ""
    """The id of the key that set it."""

    @property
    def empty(self) -> bool:
        """Whether it sets nothing."""
        return self.rps is None and self.max_concurrent is None

    def over(self, pace: Pace) -> Pace:
        """Say what holds in place of a pace."""
        return Pace(self.rps or pace.rps, self.max_concurrent or pace.max_concurrent)

    def heeded(self, signal: Signal) -> Signal:
        """Leave of a signal what it does not replace."""
        return dataclasses.replace(
            signal,
            rps=signal.rps if self.rps is None else None,
            max_concurrent=signal.max_concurrent if self.max_concurrent is None else None,
        )

    def heeded_of(self, budgets: Iterable[Budget]) -> Iterator[Budget]:
        """Leave of budgets what it does not replace: of those that are a rate, the wait until their reset."""
        for budget in budgets:
            if budget.unit is BudgetUnit.CONCURRENT:
                if self.max_concurrent is None:
                    yield budget
            elif self.rps is None or (budget.exhausted and budget.refills):
                yield budget
            elif budget.exhausted:
                yield dataclasses.replace(budget, limit=None)


class Pause(Struct, frozen=True, kw_only=True):
    """Since when (Unix ms) nothing goes, and by the key of which id."""

    at_ms: int
    by: str


class Overruling(Struct, frozen=True, kw_only=True):
    """All that the operator said of one domain, as it is kept on disk."""

    pace: SetPace | None = None
    pause: Pause | None = None

    def __bool__(self) -> bool:
        """Whether anything is overruled."""
        return self.pace is not None or self.pause is not None

    def at(self, unix_ms: int) -> "Overruling":
        """Leave out a pace whose time is over."""
        pace = self.pace
        over = pace is not None and pace.until_ms is not None and pace.until_ms <= unix_ms
        return replace(self, pace=None) if over else self


AS_IT_IS = Overruling()
"""Nothing is overruled."""
