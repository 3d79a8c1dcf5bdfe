"""Large answers stay at their executor until the shard has room for them, and asks."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.ids import AttemptId
from orchestrator.messages.types import AnswerHeld, AttemptDone, Message
from orchestrator.ports.clock import Clock, Timer
from regions.egress.answer_room import AnswerRoom

HELD_FOR_S = 300.0
"""An answer that nobody asks for until then is reported without what is large of it."""


class _Held(Struct, frozen=True):
    done: AttemptDone
    owner: str
    size: int
    timer: Timer


class HeldAnswers:
    """Reports how attempts ended: a large answer in two steps, everything else at once. What is held counts
    in ``room``, together with what is being read.
    """

    def __init__(self, clock: Clock, report: Callable[[Message], None], room: AnswerRoom) -> None:
        self._clock = clock
        self._report = report
        self._room = room
        self._held: dict[AttemptId, _Held] = {}

    def __len__(self) -> int:
        """Count what waits."""
        return len(self._held)

    def report(self, done: AttemptDone, owner: str) -> None:
        """Report an end, or that an answer of an owner's is here."""
        size = done.response.size if done.response else 0
        if size <= LARGE_BYTES:
            self._report(done)
            return
        timer = self._clock.call_at(self._clock.now() + HELD_FOR_S, lambda: self.drop(done.attempt))
        self._held[done.attempt] = _Held(done, owner, size, timer)
        self._room.hold(owner, size)
        self._report(AnswerHeld(done.attempt, size))

    def send(self, attempt: AttemptId) -> None:
        """The shard has room for an answer."""
        if (done := self._take(attempt)) is not None:
            self._report(done)

    def drop(self, attempt: AttemptId) -> None:
        """Nobody wants an answer any more: its status is reported still, and its headers if they are few."""
        done = self._take(attempt)
        if done is not None and done.response is not None:
            few = done.response.cut(LARGE_BYTES)
            self._report(replace(done, response=replace(few, body=b"", truncated=True)))

    def forget(self) -> None:
        """Another shard asks for none of these."""
        for attempt in list(self._held):
            self._take(attempt)

    def _take(self, attempt: AttemptId) -> AttemptDone | None:
        held = self._held.pop(attempt, None)
        if held is None:
            return None
        held.timer.cancel()
        self._room.let_go(held.owner, held.size)
        return held.done
