"""Strict servers on loopback: each refuses what is past its own limit, and writes down what it saw.

All run on one event loop in a thread of its own. A limit changes by the server's own plan, after so many
requests, so that nobody has to tell it when.
"""

import asyncio
import contextlib
import functools
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import uvloop

from bench.figures import percentile
from bench.ports import fresh_listener
from bench.raw_http import RawServer, answer
from bench.strict_rules import RULES, Dialect, Kind, Limit, state

PATIENCE_S = 30.0
LOOKS_EVERY_S = 0.005
TOO_LATE_S = 0.05
"""At the 99.9th percentile: what comes is counted in a later window than that in which it was sent."""
HELD_S = (0.8, 1.2)
"""How long a server that counts places takes to answer: on average a second, so that places are a rate."""

Send = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Phase:
    """A limit, and how many requests are met under it before the next one."""

    limit: Limit
    requests: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a server is: how it limits, in which headers it says so, and its limits one after the other."""

    kind: Kind
    dialect: Dialect
    phases: tuple[Phase, ...]

    @property
    def name(self) -> str:
        """Name it by its first limit."""
        return f"{self.kind} {self.phases[0].limit.rps:g}"

    @property
    def jobs(self) -> int:
        """How many jobs it takes to go through all phases."""
        return sum(phase.requests for phase in self.phases)


@dataclass(slots=True)
class Arrival:
    """A request that came in, under which phase, and which phase's limit its answer told.

    Times are monotonic seconds. ``attempt`` counts from 1 for each job.
    """

    at: float
    phase: int
    job: str
    attempt: int
    admitted: bool
    told: int = -1
    answered_at: float = float("inf")


class StrictServer:
    """One server, listening from its making on; ``running_servers`` makes it answer."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.listener = fresh_listener(backlog=1024)
        self.arrivals: list[Arrival] = []
        self.succeeded = 0
        self.done = threading.Event()
        """As many requests succeeded as its plan has."""
        self._phase = 0
        self._met_in_phase = 0
        self._rule = RULES[plan.kind](plan.phases[0].limit)
        self._random = random.Random(plan.name)

    @property
    def domain(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def meet(self, head: bytes, send: Send) -> None:
        """Take a request, and answer it at once or later."""
        now = time.monotonic()
        self._follow_plan()
        admitted = self._rule.admit(now)
        job, attempt = _field(head, b"x-ezthrottle-job-id:"), _field(head, b"x-ezthrottle-attempt:")
        arrival = Arrival(now, self._phase, job, int(attempt or 1), admitted)
        self.arrivals.append(arrival)
        if admitted and self.plan.kind is Kind.CONCURRENCY:
            held_s = self._random.uniform(*HELD_S)
            asyncio.get_running_loop().call_later(held_s, self._answer, arrival, send)
        else:
            self._answer(arrival, send)

    def _follow_plan(self) -> None:
        if self._met_in_phase >= self.plan.phases[self._phase].requests and not self._is_last_phase:
            self._phase += 1
            self._met_in_phase = 0
            self._rule = self._rule.follow(self.plan.phases[self._phase].limit)
        self._met_in_phase += 1

    @property
    def _is_last_phase(self) -> bool:
        return self._phase == len(self.plan.phases) - 1

    def _answer(self, arrival: Arrival, send: Send) -> None:
        arrival.answered_at, arrival.told = time.monotonic(), self._phase
        if arrival.admitted:
            self._rule.leave()
            self.succeeded += 1
            if self.succeeded == self.plan.jobs:
                self.done.set()
        left = self._rule.left(arrival.answered_at)
        told = state(self.plan.dialect, self.plan.kind, self.plan.phases[self._phase].limit, left)
        headers = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        send(answer("200 OK" if arrival.admitted else "429 Too Many Requests", headers))


class Host(Protocol):
    """What can be listened for: a server that answers at once or later."""

    @property
    def listener(self) -> socket.socket:
        """Where it is called."""

    def meet(self, head: bytes, send: Send) -> None:
        """Take a request, and send its answer."""


class _Connection(RawServer):
    """Hands each request to the server, with the way back."""

    def __init__(self, server: Host, connections: "set[_Connection]") -> None:
        super().__init__(lambda _head, _body: b"")
        self._server = server
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why it went is no matter
        self._connections.discard(self)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        for head, _ in self._parser.feed(data):
            self._server.meet(head, self._send)

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


@dataclass(slots=True)
class Punctuality:
    """How late the servers' loop was, in seconds, each time that it was due: so late may it write down what
    came.
    """

    late_s: list[float] = field(default_factory=list)

    @property
    def too_late(self) -> bool:
        """Whether the loop was so late that what it saw is no matter of the pace."""
        return percentile(self.late_s, 0.999) > TOO_LATE_S

    async def watch(self) -> None:
        """Look at the clock now and then, for ever."""
        while True:
            due = time.monotonic() + LOOKS_EVERY_S
            await asyncio.sleep(LOOKS_EVERY_S)
            self.late_s.append(time.monotonic() - due)


@contextlib.contextmanager
def running_servers(servers: Sequence[Host]) -> Iterator[Punctuality]:
    """Let the servers answer until the block ends."""
    stop: Future[Callable[[], object]] = Future()
    watch = Punctuality()
    run = _serve(servers, watch, stop)
    thread = threading.Thread(target=lambda: uvloop.run(run), name="strict servers")
    thread.start()
    try:
        yield watch
    finally:
        stop.result(PATIENCE_S)()
        thread.join(PATIENCE_S)


async def _serve(servers: Sequence[Host], watch: Punctuality, stop: "Future[Callable[[], object]]") -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    connections: set[_Connection] = set()
    listening = [
        await loop.create_server(functools.partial(_Connection, server, connections), sock=server.listener)
        for server in servers
    ]
    watching = loop.create_task(watch.watch())
    stop.set_result(lambda: loop.call_soon_threadsafe(stopping.set))
    await stopping.wait()
    watching.cancel()
    for each in listening:
        each.close()
    while connections:
        for connection in list(connections):
            connection.hang_up()
        await asyncio.sleep(LOOKS_EVERY_S)


def _field(head: bytes, name: bytes) -> str:
    at = head.lower().find(name)
    return head[at + len(name) :].partition(b"\r\n")[0].decode().strip() if at >= 0 else ""
