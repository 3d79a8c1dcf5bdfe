"""A target that takes as long as it has drawn, and keeps a log: ``python -m bench.race.target PORT``.

``/play/WORKLOAD/SEED/JOBS`` says what to play, ``/job/NUMBER`` is what jobs ask for, and ``/log`` gives what
was asked for since it was last read.
"""

import asyncio
import sys
import time
from http import HTTPStatus

import msgspec
import uvloop
from msgspec import Struct

from bench.race.workloads import WORKLOADS, Workload
from bench.raw_http import HEAD_END, answer

PACE = "X-EZTHROTTLE-RPS: 100000\r\nX-EZTHROTTLE-MAX-CONCURRENT: 1000\r\n"
REGION = b"\r\nx-ezthrottle-region: "


class Asked(Struct):
    """A request, by monotonic s: answered, or its connection was closed before, or neither yet."""

    job: int
    region: str
    at: float
    due_at: float
    status: int
    answered_at: float | None = None
    closed_at: float | None = None


class Play(Struct):
    """What is played, and what was asked for meanwhile."""

    workload: Workload = WORKLOADS["constant"]
    seed: int = 0
    jobs: int = 1
    log: list[Asked] = msgspec.field(default_factory=list)


class Connection(asyncio.Protocol):
    """One connection: one request at a time, as the service makes them."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._buffer = b""
        self._asked: Asked | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not registered

    def data_received(self, data: bytes) -> None:
        """Take a request once its head is whole: none has a body."""
        self._buffer += data
        head, end, rest = self._buffer.partition(HEAD_END)
        if end:
            self._buffer = rest
            self._take(head)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why does not matter
        """The other side has closed it: what it waited for is wanted no more."""
        if self._timer is not None and self._asked is not None:
            self._timer.cancel()
            self._asked.closed_at = time.monotonic()

    def _take(self, head: bytes) -> None:
        match head.split(b" ", 2)[1].decode().split("/")[1:]:
            case ["job", number]:
                self._ask(int(number), head)
            case ["play", workload, seed, jobs]:
                self._play.workload = WORKLOADS[workload]
                self._play.seed, self._play.jobs = int(seed), int(jobs)
                self._transport.write(answer("200 OK"))
            case ["log"]:
                log, self._play.log = self._play.log, []
                self._transport.write(answer("200 OK", body=msgspec.json.encode(log)))
            case _:
                self._transport.write(answer("404 Not Found"))

    def _ask(self, job: int, head: bytes) -> None:
        lower = head.lower()
        at = lower.index(REGION) + len(REGION)
        region = lower[at:].split(b"\r\n", 1)[0].decode()
        drawn = self._play.workload.drawn(self._play.seed, job, self._play.jobs, region)
        now = time.monotonic()
        self._asked = Asked(job, region, now, now + drawn.after_s, drawn.status)
        self._play.log.append(self._asked)
        self._timer = asyncio.get_running_loop().call_later(drawn.after_s, self._answer)

    def _answer(self) -> None:
        if self._asked is not None:
            status = HTTPStatus(self._asked.status)
            self._asked.answered_at, self._timer = time.monotonic(), None
            self._transport.write(answer(f"{status.value} {status.phrase}", PACE))


async def serve(port: int) -> None:
    """Answer until the process ends."""
    play = Play()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(play), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
