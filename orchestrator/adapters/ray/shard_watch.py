"""Whether the shard lives, as its driver sees it."""

import time
from collections.abc import Callable
from typing import Any

import ray

from orchestrator.adapters.process.restarts import RestartBudget
from orchestrator.ports.store import StoreFailure

SHARD_DEATHS_MOST = 3
"""In a minute."""


class ShardWatch:
    """Asks the shard whether it is ready, one question at a time, and never waits for the answer.

    Ray starts an actor that died again, but one whose start itself failed it gives up for good, and
    whoever does not ask is told nothing of it.
    """

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self._asked = ask()
        self._refused = False
        self.died: str | None = None
        """Why the shard will not be there again; None while it lives, or is being started."""
        self.lives = 0
        """How many lives the shard has had, all starts of the service together, as far as it has said."""
        self.first_life = 0
        """Which of them was the first that this start of the service has heard."""

    @property
    def mendable(self) -> bool:
        """Whether what the shard died of may pass by itself, as a full disk does."""
        return self.died is not None and StoreFailure.__name__ in self.died

    def answers(self, within_s: float) -> bool:
        """Say whether the shard is up, ready or not: whether it answers in time what it was asked last."""
        return self.died is None and bool(ray.wait([self._asked], timeout=within_s)[0])

    def look(self) -> bool:
        """Say whether an answer came and it was yes."""
        if not ray.wait([self._asked], timeout=0)[0]:
            return False
        answer, self._asked = self._asked, self._ask()
        try:
            found: tuple[bool, int] = ray.get(answer)
            ready, self.lives = found
            self.first_life = self.first_life or self.lives
        except ray.exceptions.ActorDiedError as error:
            # A question that was under way at a death may be told the same, though a new life follows.
            self.died = _reason(error) if self._refused else None
            self._refused = True
            return False
        except ray.exceptions.RayError:
            # It is being started again; calls fail until then.
            ready = False
        self._refused = False
        return ready


class ShardDeaths:
    """Counts the deaths that Ray makes good by itself: a shard that dies of what it finds on disk would do
    so for ever.

    One more is let pass than of a driver's. A job that kills its shard three times is ended at the start of
    the life that follows (``core.shard``); only a death after that has no such remedy.

    The minute is one of being up: a machine on which a start takes long must not make good for a shard that
    dies as soon as it has started.

    Args:
        lives: Which life is the first of this start: one that dies before all are ready counts too.
        now: Monotonic seconds.
    """

    def __init__(self, lives: int, now: Callable[[], float] = time.monotonic) -> None:
        self._lives = lives
        self._now = now
        self._budget = RestartBudget(limit=SHARD_DEATHS_MOST + 1)
        self._up_s = 0.0
        self._heard_at: float | None = None
        """When the present life was heard last."""

    def counted(self, lives: int, *, up: bool) -> bool:
        """Take note of how many lives there have been, and whether the last one was just heard to be up; say
        whether too many have ended within a minute.
        """
        if lives > self._lives:
            self._heard_at = None
        for _ in range(self._lives, lives):
            self._budget = self._budget.after_death(self._up_s)
        self._lives = max(self._lives, lives)
        if up:
            self._hear()
        return self._budget.spent

    def _hear(self) -> None:
        now = self._now()
        if self._heard_at is not None:
            self._up_s += now - self._heard_at
        self._heard_at = now


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    # The last line is the error's own; which class it is of means nothing to people, but see ``mendable``.
    return lines[-1].strip() if lines else "the shard did not start"
