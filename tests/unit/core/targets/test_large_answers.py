"""Large answers come as the shard has room for them: a real shard and real executors, in virtual time."""

import asyncio
from collections.abc import Sequence

from orchestrator.core.targets.answer_intake import ANSWERS_BYTES
from orchestrator.domain.byte_budget import LARGE_BYTES, MIB
from orchestrator.domain.execution.run import LegState
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.messages.types import SendAnswer
from orchestrator.ports.store import Accepted, Duplicate, Ending
from regions.held_answers import HELD_FOR_S
from tests.support.rig import IAD, LAX, ORD, Reply, Rig, RigJobs, in_virtual_time

LARGE = b"x" * (5 * MIB)
OTHERS_URL = "https://other.example.com/"


def everybody_answers_largely(rig: Rig) -> None:
    rig.answer = lambda _: Reply(body=LARGE)


class SlowDisk(RigJobs):
    """A disk that takes a second to write an end."""

    begun = 0
    written = 0

    async def end(self, ending: Ending) -> Sequence[Accepted | Duplicate]:
        self.begun += 1
        await asyncio.sleep(1.0)
        self.written += 1
        return await super().end(ending)


@in_virtual_time()
async def test_a_large_answer_is_asked_for_and_comes_whole(rig: Rig) -> None:
    everybody_answers_largely(rig)

    stored = await rig.run()

    assert stored.state is JobState.SUCCESS
    assert len(stored.result or b"") > len(LARGE)
    assert rig.received[SendAnswer] == 1
    assert rig.shard.answers.used == 0


@in_virtual_time()
async def test_a_small_answer_is_not_asked_for(rig: Rig) -> None:
    rig.answer = lambda _: Reply(body=b"x" * LARGE_BYTES)

    stored = await rig.run()

    assert stored.state is JobState.SUCCESS
    assert rig.received[SendAnswer] == 0


@in_virtual_time()
async def test_one_of_many_headers_is_large(rig: Rig) -> None:
    rig.answer = lambda _: Reply(headers={f"x-{number}": "" for number in range(1_000)})

    stored = await rig.run()

    assert b'"x-999":""' in (stored.result or b"")
    assert rig.received[SendAnswer] == 1
    assert rig.shard.answers.used == 0


@in_virtual_time()
async def test_no_more_comes_than_the_disk_takes(rig: Rig) -> None:
    rig.store.jobs = disk = SlowDisk(rig.store.tables)
    await rig.restart()
    everybody_answers_largely(rig)
    most = 0

    jobs = [await rig.submit() for _ in range(60)]
    while disk.written < len(jobs):
        await asyncio.sleep(0.1)
        most = max(most, rig.shard.answers.used)

    assert {(await rig.ended(job)).state for job in jobs} == {JobState.SUCCESS}
    assert 0 < most <= ANSWERS_BYTES
    assert rig.shard.answers.used == 0


@in_virtual_time()
async def test_one_customers_large_answers_hold_up_nobody_elses(rig: Rig) -> None:
    rig.store.jobs = disk = SlowDisk(rig.store.tables)
    await rig.restart()
    everybody_answers_largely(rig)
    theirs: list[JobId] = [await rig.submit() for _ in range(100)]
    await asyncio.sleep(0.5)

    began = rig.loop.time()
    await rig.run(customer="cust_beta", url=OTHERS_URL)

    assert rig.loop.time() - began < 2.5
    assert disk.written < len(theirs)


@in_virtual_time()
async def test_the_answers_of_a_region_that_goes_down_are_not_waited_for(rig: Rig) -> None:
    everybody_answers_largely(rig)
    rig.shard.answers._room.budget.take("cust_else", ANSWERS_BYTES // 2)
    rig.shard.answers._room.budget.take("cust_more", ANSWERS_BYTES // 2 - MIB)
    job = await rig.submit(regions=(IAD, LAX, ORD))
    await asyncio.sleep(1)
    rig.alive.discard(IAD)
    await asyncio.sleep(5)
    rig.alive.add(IAD)
    await asyncio.sleep(5)
    rig.shard.answers._room.give_back("cust_else", ANSWERS_BYTES // 2)

    stored = await rig.ended(job)

    assert stored.state is JobState.SUCCESS
    rig.shard.answers._room.give_back("cust_more", ANSWERS_BYTES // 2 - MIB)
    await asyncio.sleep(HELD_FOR_S)
    assert rig.shard.answers.used == 0
    assert all(not executor._answers for executor in rig._executors.values())


@in_virtual_time()
async def test_a_loser_whose_large_answer_waits_is_over_when_the_race_is(rig: Rig) -> None:
    rig.answer = lambda call: Reply(body=LARGE, after_s=0.01 if call.region == IAD else 0.02)

    stored = await rig.run(regions=(IAD, LAX))
    await asyncio.sleep(2)

    course = (await rig.show(stored.job.id)).course
    assert course is not None
    run = course.runs[0]
    assert run is not None
    assert {leg.state for leg in run.legs} == {LegState.WON, LegState.CANCELLED}
    assert all(attempt.closed_ms is not None or attempt.ended_ms is not None for attempt in run.attempts)
    assert all(not executor._answers for executor in rig._executors.values())
