"""A job's life as a sequence of events, told from what is recorded of it: so nobody comes too late."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Self

from msgspec import Struct

from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.run import Attempt
from orchestrator.domain.jobs.lifecycle import JobState

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


class Event(Struct, frozen=True):
    """Something that happened to a job, in which step and to which attempt. ``id`` names all told by then."""

    name: EventName
    id: str
    step: str = ""
    attempt: Attempt | None = None


class Told(Struct, frozen=True):
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


def news(told: Told, course: Course | None) -> Iterator[tuple[Told, Event]]:
    """Tell what is recorded and not yet told, in the order in which it happened; each with what is told then.

    Args:
        told: What the onlooker knows.
        course: The job's course; None before anything was let out.
    """
    if told.sent is None:
        told = Told(0)
        yield told, Event(EventName.QUEUED, told.write())
    for _, ends, number, step, attempt in sorted(_moments(course), key=lambda moment: moment[:3]):
        if ends and number in told.still_open:
            told = Told(told.sent, told.still_open - {number})
            yield told, Event(EventName.ATTEMPT, told.write(), step, attempt)
        elif not ends and number > (told.sent or 0):
            told = Told(number, told.still_open | {number})
            yield told, Event(EventName.DISPATCHING, told.write(), step, attempt)


def end_event(state: JobState) -> Event:
    """Tell a job's end."""
    return Event(EventName.COMPLETED if state is JobState.SUCCESS else EventName.FAILED, END)


def _moments(course: Course | None) -> Iterator[tuple[int, bool, int, str, Attempt]]:
    for step, attempt in course.named_attempts if course else ():
        yield attempt.granted_ms, False, attempt.number, step, attempt
        if attempt.verdict is not None:
            ended_ms = max(attempt.ended_ms or 0, attempt.granted_ms)
            yield ended_ms, True, attempt.number, step, attempt
