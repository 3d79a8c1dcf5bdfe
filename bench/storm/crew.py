"""The client processes of an arm, and how much CPU time they take."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from bench.service import cpu_seconds
from bench.storm.arms import Arm
from bench.storm.orders import ENDED, READY, Order
from bench.strict_server import PATIENCE_S


class Crew:
    """Running client processes."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes

    async def order(self, orders: Sequence[Order]) -> None:
        """Give each its order, and wait until all are ready.

        Raises:
            RuntimeError: One was not.
            TimeoutError: One said nothing.
        """
        for process, order in zip(self._processes, orders, strict=True):
            _write(process, msgspec.json.encode(order))
        for process in self._processes:
            if (line := await asyncio.wait_for(_line(process), PATIENCE_S)) != READY:
                raise RuntimeError(f"a client was not ready: {line!r}")

    def begin(self, at: float) -> None:
        """Tell all the moment to begin at (monotonic s)."""
        for process in self._processes:
            _write(process, str(at).encode())

    async def ended(self) -> None:
        """Wait until every client knows that its jobs have ended.

        Raises:
            RuntimeError: One broke off.
        """
        for process in self._processes:
            if await _line(process) != ENDED:
                raise RuntimeError("a client broke off")

    def cpu_s(self) -> float:
        """Sum their CPU time, in seconds."""
        return sum(cpu_seconds(process.pid) for process in self._processes)


@contextlib.asynccontextmanager
async def running_crew(arm: Arm, environment: Mapping[str, str]) -> AsyncIterator[Crew]:
    """Run an arm's clients until the block ends."""
    async with contextlib.AsyncExitStack() as stack:
        yield Crew([await stack.enter_async_context(_client(arm, environment)) for _ in range(arm.clients)])


@contextlib.asynccontextmanager
async def _client(arm: Arm, environment: Mapping[str, str]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arm.client), stdin=PIPE, stdout=PIPE, env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _write(process: Process, line: bytes) -> None:
    if process.stdin is not None:
        process.stdin.write(line + b"\n")


async def _line(process: Process) -> bytes:
    return await process.stdout.readline() if process.stdout is not None else b""
