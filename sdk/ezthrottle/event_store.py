"""Handlers that wait for an event, each called once."""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable

from ezthrottle._jobs.states import Ending
from ezthrottle._per_process import PerProcess

__all__ = ["EventStore"]

_log = logging.getLogger("ezthrottle")

Handler = Callable[[Any], Any]

_PLACES = {Ending.SUCCESS.value: "on_success", Ending.FAILED.value: "on_failure"}


class EventStore:
    """Handlers by event id, such as a job's, for use from several threads.

    >>> store = EventStore()
    >>> store.register_handler("job_1_2", on_success=print)
    >>> store.emit_event("job_1_2", "success", {"attempts": 1})
    {'attempts': 1}
    True
    >>> store.emit_event("job_1_2", "success", {"attempts": 1})
    False
    """

    def __init__(self) -> None:
        self._handlers: dict[str, dict[str, Any]] = {}
        self._lock = PerProcess(threading.Lock)

    def register_handler(
        self,
        event_id: str,
        on_success: Handler | None = None,
        on_failure: Handler | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Wait for the event; a second registration of an id takes the place of the first."""
        handler = {"on_success": on_success, "on_failure": on_failure, "metadata": metadata or {}}
        with self._lock.get():
            self._handlers[event_id] = handler

    def emit_event(self, event_id: str, status: str, data: dict[str, Any] | None = None) -> bool:
        """Call the handler for this status ("success" or "failed") and forget the event.

        Returns whether the event was waited for. A handler that raises is logged: whoever delivered the event
        can do nothing about it.
        """
        handler = self.remove_handler(event_id)
        if handler is None:
            return False
        place = _PLACES.get(status, "")
        if handler.get(place):
            try:
                handler[place](data)
            except Exception:  # noqa: BLE001 - the user's code
                _log.exception("The handler of event %s failed", event_id)
        return True

    def get_handler(self, event_id: str) -> dict[str, Any] | None:
        """Return `{"on_success", "on_failure", "metadata"}` of the event, or None."""
        with self._lock.get():
            return self._handlers.get(event_id)

    def remove_handler(self, event_id: str) -> dict[str, Any] | None:
        """Forget the event, and return what `get_handler` would have."""
        with self._lock.get():
            return self._handlers.pop(event_id, None)

    def pending_count(self) -> int:
        """Return how many events are waited for."""
        with self._lock.get():
            return len(self._handlers)

    def clear(self) -> None:
        """Forget all events."""
        with self._lock.get():
            self._handlers.clear()
