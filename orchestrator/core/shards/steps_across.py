"""What jobs' steps have at another shard, or another shard's here: each side keeps what it knows of them."""

from collections.abc import Callable, ItemsView, Sized, ValuesView
from typing import Generic, Protocol, TypeVar

from msgspec import Struct, field

from orchestrator.core.shards.session_messages import StepName
from orchestrator.ports.targets import Turn


class StepAcross(Struct, kw_only=True):
    """What each side keeps of a step. ``turns`` are those that its job has not answered yet."""

    turns: dict[int, Turn] = field(default_factory=dict)
    withdrawn: bool = False


class WithAttempts(Protocol):
    """A step across, as one of the sides keeps it."""

    turns: dict[int, Turn]
    withdrawn: bool

    @property
    def attempts(self) -> Sized:
        """Attempts that were placed, and are not over."""


S = TypeVar("S", bound=WithAttempts)


class StepsAcross(Generic[S]):
    """Finds steps by their names, until they are withdrawn and their last attempt is over.

    Args:
        key: Says by what a step's turns are told apart.
        forgotten: Takes the name of a step that is over.
    """

    def __init__(self, key: Callable[[Turn], int], forgotten: Callable[[StepName], None]) -> None:
        self._key = key
        self._forgotten = forgotten
        self._steps: dict[StepName, S] = {}

    def __len__(self) -> int:
        """Count them."""
        return len(self._steps)

    def __contains__(self, name: StepName) -> bool:
        """Whether a step has anything across."""
        return name in self._steps

    def __getitem__(self, name: StepName) -> S:
        """Find a step that has something across."""
        return self._steps[name]

    def __setitem__(self, name: StepName, step: S) -> None:
        """Keep a step."""
        self._steps[name] = step

    def get(self, name: StepName) -> S | None:
        """Find a step; None where it has nothing across."""
        return self._steps.get(name)

    def values(self) -> ValuesView[S]:
        """Give the steps."""
        return self._steps.values()

    def items(self) -> ItemsView[StepName, S]:
        """Give the steps with their names."""
        return self._steps.items()

    def offer(self, step: S, turn: Turn) -> None:
        """Note a turn that the job has yet to answer."""
        step.turns[self._key(turn)] = turn

    def answer(self, turn: Turn) -> S | None:
        """Take a turn that the job answers; None where it was not offered, or is over."""
        step = self._steps.get((turn.ticket.job_id, turn.ticket.step))
        if step is None or step.turns.get(self._key(turn)) != turn:
            return None
        del step.turns[self._key(turn)]
        return step

    def forget_if_over(self, name: StepName) -> None:
        """Forget a step that was withdrawn, once no attempt of it is left."""
        step = self._steps.get(name)
        if step is not None and step.withdrawn and not step.attempts:
            self.forget(name)

    def forget(self, name: StepName) -> None:
        """Forget a step, whatever it has across."""
        if self._steps.pop(name, None) is not None:
            self._forgotten(name)
