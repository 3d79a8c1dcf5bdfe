"""What the parts of a shard share."""

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from msgspec import Struct

from orchestrator.core.counters import Counters
from orchestrator.core.targets.answer_intake import AnswerIntake
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Store
from orchestrator.ports.tracing import NO_TRACING, Tracing


class ShardContext(Struct, frozen=True, kw_only=True):
    """Where a shard's truth is, its time and chance, its loop, and what all of its parts count in."""

    store: Store
    clock: Clock
    random: Random
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    """Runs work to its end; what that raises ends the shard."""
    counters: Counters
    """What metrics show."""
    answers: AnswerIntake
    """Room for large answers."""
    tracing: Tracing

    @classmethod
    def of(
        cls,
        store: Store,
        clock: Clock,
        random: Random,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        tracing: Tracing | None,
    ) -> "ShardContext":
        """Count from zero, with all the room there is; without tracing where none is given."""
        return cls(
            store=store,
            clock=clock,
            random=random,
            spawn=spawn,
            counters=Counters(),
            answers=AnswerIntake(spawn),
            tracing=tracing or NO_TRACING,
        )
