"""A job's life as a sequence of events, told from what is recorded of it: so nobody comes too late."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from orchestrator.domain.course import Course
from orchestrator.domain.lifecycle import JobState
from orchestrator.domain.report import attempts_in
from orchestrator.domain.run import Attempt

_CURSOR = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}(?:\.[0-9]{1,9}){0,999}))?\Z")
END = "end"


class EventName(StrEnum):
    """What can be told."""

    QUEUED = "queued"
    POSITION = "position"
    DISPATCHING = "dispatching"
    ATTEMPT = "attempt"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job. ``id`` names all that was told by then; None: not worth repeating."""

    name: EventName
    data: dict[str, Any]
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What an onlooker knows: attempts are numbered from 1, and all up to ``sent`` were announced; those in
    ``still_open`` had not ended then. Nothing is known where ``sent`` is None.
    """

    sent: int | None = None
    still_open: frozenset[int] = frozenset()
    end: bool = False

    @classmethod
    def read(cls, last_event_id: str) -> Self:
        """Read the id of an event; what is none counts as nothing told."""
        if last_event_id == END:
            return cls(end=True)
        found = _CURSOR.match(last_event_id)
        if found is None:
            return cls()
        return cls(
            int(found[1]), frozenset(map(int, (found[2] or "").split("."))) if found[2] else frozenset()
        )

    def write(self) -> str:
        """Write the id that ``read`` reads."""
        still_open = ".".join(map(str, sorted(self.still_open)))
        return f"{self.sent or 0}-{still_open}" if still_open else str(self.sent or 0)


def news(told: Told, course: Course | None, queued: dict[str, Any]) -> Iterator[tuple[Told, Event]]:
    """Tell what is recorded and not yet told, in the order in which it happened; each with what is told then.

    Args:
        told: What the onlooker knows.
        course: The job's course; None before anything was let out.
        queued: The content of the first event.
    """
    if told.sent is None:
        told = Told(0)
        yield told, Event(EventName.QUEUED, queued, told.write())
    for _, ends, number, step, attempt, document in sorted(_moments(course), key=lambda moment: moment[:3]):
        if ends and number in told.still_open:
            told = Told(told.sent, told.still_open - {number})
            yield told, Event(EventName.ATTEMPT, document, told.write())
        elif not ends and number > (told.sent or 0):
            told = Told(number, told.still_open | {number})
            yield told, Event(EventName.DISPATCHING, _sending(step, attempt), told.write())


def end_event(state: JobState, document: dict[str, Any]) -> Event:
    """Tell a job's end."""
    name = EventName.COMPLETED if state is JobState.SUCCESS else EventName.FAILED
    return Event(name, document, END)


def _moments(course: Course | None) -> Iterator[tuple[int, bool, int, str, Attempt, dict[str, Any]]]:
    for step, attempt, document in attempts_in(course) if course else ():
        yield attempt.granted_ms, False, attempt.number, step, attempt, document
        if attempt.verdict is not None:
            yield (
                max(attempt.ended_ms or 0, attempt.granted_ms),
                True,
                attempt.number,
                step,
                attempt,
                document,
            )


def _sending(step: str, attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "step": step,
        "leg": attempt.leg,
        "region": attempt.region,
        "granted_at": attempt.granted_ms,
    }
