"""The events of a job, and reading them from Server-Sent Events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_LAST = frozenset({"completed", "failed"})


@dataclass(frozen=True)
class JobEvent:
    """One thing that happened to a job, as `EZThrottle.stream` yields it.

    `name` is "queued", "position", "dispatching", "attempt", "completed" or "failed"; `data` says more.

    >>> JobEvent("completed", {"state": "success"}).ends
    True
    """

    name: str
    data: dict[str, Any]
    id: str | None = None

    @property
    def ends(self) -> bool:
        """Whether it is the job's end, after which nothing happens to it."""
        return self.name in _LAST


class EventReader:
    """Puts events together from the lines of a stream.

    >>> reader = EventReader()
    >>> [reader.take(line) for line in ("event: failed", 'data: {"code": "timeout"}')]
    [None, None]
    >>> reader.take("")
    JobEvent(name='failed', data={'code': 'timeout'}, id=None)
    """

    def __init__(self) -> None:
        self._name = ""
        self._data: list[str] = []
        self._id: str | None = None
        self.come_back_after_s = 0.0

    def take(self, line: str) -> JobEvent | None:
        """Take in a line without its end, and return the event that it completes, if it does."""
        if not line:
            return self._completed()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdecimal():
            self.come_back_after_s = int(value) / 1000
        return None

    def _completed(self) -> JobEvent | None:
        name, data, self._name, self._data = self._name, "\n".join(self._data), "", []
        return JobEvent(name, _object_in(data), self._id) if name and data else None


def _object_in(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"data": value}
