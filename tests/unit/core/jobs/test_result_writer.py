"""A customer's large results are written one after the other, each until it is on disk."""

import asyncio
import time

import pytest

from orchestrator.core.jobs.result_writer import ResultWriter, UnsavedResult
from orchestrator.core.targets.answer_intake import COPIES, AnswerIntake
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.execution.course import PRIMARY, Course
from orchestrator.domain.execution.run import Answer
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.results.report import webhook_body
from tests.unit.domain.builders import ACME, IAD, UnderWay, a_job, a_spec

BETA = CustomerId("cust_beta")

JOB = a_job()
COURSE = Course((UnderWay(a_spec()).run,))


class Stage:
    def __init__(self) -> None:
        self.intake = AnswerIntake(lambda work: work.close())
        self.writer = ResultWriter(time.monotonic, self.intake)
        self.disk = asyncio.Event()
        self.written: list[int] = []

    def ends(self, size: int, job: Job = JOB) -> tuple[UnsavedResult, Answer]:
        answer = Answer(IAD, HttpResponse(status=200, headers={}, body=b"x" * size))
        result = self.writer.begin(job, COURSE, JobState.SUCCESS, step=PRIMARY, answer=answer, failure=None)
        return result, answer

    async def save(self, result: UnsavedResult) -> None:
        self.written.append(len(await result.write()))
        await self.disk.wait()
        result.saved()


async def test_a_second_large_result_is_not_written_before_the_first_is_on_disk() -> None:
    stage = Stage()
    results = [stage.ends(2 * LARGE_BYTES)[0] for _ in range(3)]
    saving = [asyncio.ensure_future(stage.save(result)) for result in results]
    while not stage.written:  # noqa: ASYNC110  # it takes some turns of the loop, and nothing tells
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(stage.written) == 1
    stage.disk.set()
    await asyncio.gather(*saving)
    assert len(stage.written) == 3


async def test_another_customers_result_does_not_wait_for_it() -> None:
    stage = Stage()
    jobs = [a_job(number, customer=customer) for number, customer in enumerate((ACME, ACME, BETA))]
    saving = [asyncio.ensure_future(stage.save(stage.ends(2 * LARGE_BYTES, job)[0])) for job in jobs]
    while len(stage.written) < 2:  # noqa: ASYNC110  # as above
        await asyncio.sleep(0)
    stage.disk.set()
    await asyncio.gather(*saving)
    assert len(stage.written) == 3


async def test_a_result_counts_until_it_is_on_disk() -> None:
    stage = Stage()
    result, _ = stage.ends(2 * LARGE_BYTES)
    assert stage.intake.used == 2 * LARGE_BYTES * COPIES
    saving = asyncio.ensure_future(stage.save(result))
    while not stage.written:  # noqa: ASYNC110  # as above
        await asyncio.sleep(0)
    assert stage.intake.used == stage.written[0] * COPIES
    stage.disk.set()
    await saving
    assert stage.intake.used == 0


@pytest.mark.parametrize("size", [1, LARGE_BYTES, LARGE_BYTES + 1, 3 * LARGE_BYTES])
async def test_a_result_is_the_same_however_it_is_written(size: int) -> None:
    stage = Stage()
    result, answer = stage.ends(size)
    whole = webhook_body(JOB, COURSE, JobState.SUCCESS, step=PRIMARY, answer=answer, failure=None)
    body = await result.write() if result.body is None else result.body
    assert body == whole
