"""When a call to the service is repeated, and after which pause."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
MOST_DOUBLINGS = 16


@dataclass(frozen=True)
class RetryPolicy:
    """At most `max_attempts` attempts, none started more than `budget_s` seconds after the first.

    >>> RetryPolicy(max_attempts=2).pause(attempt=2, elapsed_s=0.1) is None
    True
    """

    max_attempts: int = 5
    budget_s: float = 30.0

    def pause(self, attempt: int, elapsed_s: float, at_least_s: float = 0.0) -> float | None:
        """Seconds between attempt number `attempt` (from 1) and the next, or None where none follows."""
        backoff = min(FIRST_PAUSE_S * 2.0 ** min(attempt - 1, MOST_DOUBLINGS), LONGEST_PAUSE_S)
        # Half of it is random, so that clients which failed together don't come back together.
        pause = max(at_least_s, backoff * random.uniform(0.5, 1.0))  # noqa: S311 - spread, not secrecy
        within = attempt < self.max_attempts and elapsed_s + pause <= self.budget_s
        return pause if within else None

    def within(self, seconds: float) -> RetryPolicy:
        """Return this policy with no attempt started after so many seconds."""
        return replace(self, budget_s=min(self.budget_s, seconds))
