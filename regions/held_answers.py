"""Large answers stay at their executor until the shard has room for them, and asks."""

from collections.abc import Callable
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.ids import AttemptId
from orchestrator.messages.types import AnswerHeld, AttemptDone, Message
from orchestrator.ports.clock import Clock, Timer
from regions.egress.answer_room import AnswerRoom

HELD_FOR_S = 300.0
"""An answer that nobody asks for until then is reported without what is large of it."""


Report = Callable[[Message], None]
ReportLarge = Callable[[Message, Callable[[], None]], None]
"""Takes a message that may wait for long, and something to call once the last of it has left."""


class _Held(Struct, frozen=True):
    done: AttemptDone
    owner: str
    size: int
    timer: Timer


class HeldAnswers:
    """Reports how attempts ended: a large answer in two steps, everything else at once. What is held, or on
    its way out, counts in ``room``, together with what is being read.
    """

    def __init__(
        self, clock: Clock, report: Report, room: AnswerRoom, report_large: ReportLarge | None = None
    ) -> None:
        self._clock = clock
        self._report = report
        self._report_large = report_large or self._report_and_go_on
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
        """The shard has room for an answer: it is counted here until the last of it has left."""
        if (held := self._take(attempt)) is not None:
            # Not the answer itself: it would stay for as long as what was made of it.
            self._report_large(held.done, partial(self._room.let_go, held.owner, held.size))

    def drop_all(self) -> None:
        """The shard is silent for long, and others need the room: only the status of each is reported."""
        for attempt in list(self._held):
            self.drop(attempt, 0)

    def drop(self, attempt: AttemptId, headers_most: int = LARGE_BYTES) -> None:
        """Nobody wants an answer any more: its status is reported still, and its headers if they are few."""
        held = self._let_go(attempt)
        if held is not None and held.done.response is not None:
            few = held.done.response.cut(headers_most)
            self._report(replace(held.done, response=replace(few, body=b"", truncated=True)))

    def forget(self) -> None:
        """Another shard asks for none of these."""
        for attempt in list(self._held):
            self._let_go(attempt)

    def _let_go(self, attempt: AttemptId) -> _Held | None:
        held = self._take(attempt)
        if held is not None:
            self._room.let_go(held.owner, held.size)
        return held

    def _take(self, attempt: AttemptId) -> _Held | None:
        held = self._held.pop(attempt, None)
        if held is not None:
            held.timer.cancel()
        return held

    def _report_and_go_on(self, message: Message, gone: Callable[[], None]) -> None:
        self._report(message)
        gone()
