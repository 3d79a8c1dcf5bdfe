"""What an executor reports of an attempt."""

import asyncio
import math

from orchestrator.domain.exchange import HttpRequest, HttpResponse
from orchestrator.domain.ids import AttemptId
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.egress import Gate
from orchestrator.wire.messages import AttemptDone, Message, RunAttempt
from regions.executor import Executor

SHARD_AHEAD_S = 1_000.0


class Prompt:
    """An egress that answers as soon as its gate has opened."""

    async def exchange(self, request: HttpRequest, gate: Gate) -> HttpResponse:
        await gate()
        return HttpResponse(status=200, headers={}, body=b"")

    async def close(self) -> None:
        """Nothing is held."""


async def test_start_and_answer_are_told_in_the_shards_time() -> None:
    clock, reports = SystemClock(), asyncio.Queue[Message]()
    executor = Executor(Prompt(), clock, reports.put_nowait)
    executor.clock_offset_s = SHARD_AHEAD_S
    executor.unfence(math.inf)
    began = clock.now() + SHARD_AHEAD_S

    executor.receive(RunAttempt(AttemptId("1"), began, HttpRequest(method="GET", url="http://a.example/")))
    done = await reports.get()

    assert isinstance(done, AttemptDone)
    assert done.started_at is not None
    assert done.answered_at is not None
    assert began <= done.started_at <= done.answered_at <= clock.now() + SHARD_AHEAD_S
    await executor.close()
