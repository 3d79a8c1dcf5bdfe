"""What the harness and its client processes say to each other, line by line, over stdin and stdout.

A client reads its order, writes ``ready``, reads the moment at which everything begins, and writes ``ended``
when it knows that all of its jobs have ended. Whoever is behind it (a service, workers) reads none of it.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import msgspec
import uvloop
from msgspec import Struct

READY, ENDED = b"ready\n", b"ended\n"


class Order(Struct, frozen=True):
    """A client's jobs, as (number, seconds from the beginning)."""

    target_url: str
    due: list[tuple[int, float]]

    def url(self, number: int) -> str:
        """What a job asks for."""
        return f"{self.target_url}/job/{number}"


async def when_due(order: Order, began: float) -> AsyncIterator[list[int]]:
    """Yield the jobs that have come, several where several came while the last ones were taken in."""
    taken = 0
    while taken < len(order.due):
        await asyncio.sleep(began + order.due[taken][1] - time.monotonic())
        now_s = time.monotonic() - began
        first = taken
        while taken < len(order.due) and (taken == first or order.due[taken][1] <= now_s):
            taken += 1
        yield [number for number, _ in order.due[first:taken]]


def run_client(work: Callable[[Order, Callable[[], float]], Coroutine[Any, Any, None]]) -> None:
    """Be a client. ``work(order, begin)`` calls ``begin`` once it is ready, to know the moment to begin at
    (monotonic s), and returns when its jobs have ended.
    """
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    uvloop.run(work(order, _begin))
    say(ENDED)
    # Whoever measures reads this process's CPU time first, and then lets it go.
    sys.stdin.buffer.read()


def say(line: bytes) -> None:
    """Write a line to the harness."""
    sys.stdout.buffer.write(line)
    sys.stdout.flush()


def _begin() -> float:
    say(READY)
    return float(sys.stdin.buffer.readline())
