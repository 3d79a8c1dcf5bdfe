"""The target: it refuses what is past its limit, is away when the scenario says so, and keeps a log."""

import asyncio
import math
import socket
import threading
import time
from collections import deque
from http import HTTPStatus

from msgspec import Struct

from bench.raw_http import HEAD_END, answer
from bench.storm.scenarios import Known, Scenario
from bench.strict_rules import Dialect, Kind, Limit, SlidingWindow, state
from bench.strict_server import Send

FORGIVEN = 0.03
"""Of the limit, for jitter on the way."""
OVERLOADED = 3
"""From so many times its limit on, in a second, it refuses with 503 in place of 429."""
ANSWERS_AFTER_S = 0.02
WINDOW_S = 1.0


class Asked(Struct, frozen=True):
    """A request, ``at_s`` seconds from the beginning. ``size``: bytes of it and of its answer."""

    job: int
    at_s: float
    status: int
    size: int


class Door:
    """Decides which requests are let in, by the time alone."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._rule = SlidingWindow(Limit(scenario.limit, WINDOW_S, FORGIVEN))
        self._came: deque[float] = deque()
        self._had_hiccup: set[int] = set()

    def status(self, job: int, at_s: float) -> HTTPStatus:
        """Decide about a request for a job."""
        if self._scenario.is_away(at_s):
            return HTTPStatus.SERVICE_UNAVAILABLE
        overloaded = self._is_overloaded(at_s)
        if not self._rule.admit(at_s):
            return HTTPStatus.SERVICE_UNAVAILABLE if overloaded else HTTPStatus.TOO_MANY_REQUESTS
        if self._scenario.has_hiccup(job) and job not in self._had_hiccup:
            self._had_hiccup.add(job)
            return HTTPStatus.SERVICE_UNAVAILABLE
        return HTTPStatus.OK

    def headers(self, status: HTTPStatus, at_s: float) -> str:
        """Say what its answer says of the limit: nothing while it is away, or where it never does."""
        if self._scenario.known is Known.GUESSED or self._scenario.is_away(at_s):
            return ""
        left = self._rule.left(at_s)
        stated = state(Dialect.IETF, Kind.SLIDING_WINDOW, Limit(self._scenario.limit, WINDOW_S), left)
        if status is HTTPStatus.TOO_MANY_REQUESTS:
            stated["Retry-After"] = str(max(1, math.ceil(left[1])))
        return "".join(f"{name}: {value}\r\n" for name, value in stated.items())

    def _is_overloaded(self, at_s: float) -> bool:
        while self._came and self._came[0] <= at_s - WINDOW_S:
            self._came.popleft()
        self._came.append(at_s)
        return len(self._came) > OVERLOADED * self._scenario.limit


class Target:
    """Listens from its making on; ``bench.strict_server.running_servers`` makes it answer."""

    def __init__(self, scenario: Scenario) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.log: list[Asked] = []
        self.finished = threading.Event()
        """Every job had its success."""
        self._jobs = scenario.jobs
        self._door = Door(scenario)
        self._began = time.monotonic()
        self._successes: set[int] = set()

    @property
    def domain(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def begin(self, at: float) -> None:
        """Count time from here on (monotonic s)."""
        self._began = at

    def meet(self, head: bytes, send: Send) -> None:
        """Answer ``GET /job/NUMBER``: a refusal at once, a success a little later."""
        job = int(head.split(b" ", 2)[1].rpartition(b"/")[2])
        at_s = time.monotonic() - self._began
        status = self._door.status(job, at_s)
        reply = answer(f"{status.value} {status.phrase}", self._door.headers(status, at_s))
        self.log.append(Asked(job, at_s, status, len(head) + len(HEAD_END) + len(reply)))
        if status is not HTTPStatus.OK:
            send(reply)
            return
        asyncio.get_running_loop().call_later(ANSWERS_AFTER_S, send, reply)
        self._successes.add(job)
        if len(self._successes) == self._jobs:
            self.finished.set()
