"""Whether the shard lives, as its driver sees it."""

from collections.abc import Callable
from typing import Any

import ray

from orchestrator.ports.store import StoreFailure


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
            ready = bool(ray.get(answer))
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


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else "the shard did not start"
