"""What may be sent once is marked by a row of its own, before it is sent."""

from msgspec.structs import replace

from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.cluster.slots import slot_of
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.ids import AttemptId
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import Guarantee
from orchestrator.ports.store import Store
from tests.conformance.stores import Keeper, a_course, an_ending, rows_of
from tests.unit.domain.builders import IAD, a_job


def a_mark(job: Job, number: int = 1) -> Mark:
    attempt = AttemptId(f"shard-0:1.{number:x}")
    return Mark(job=job.id, attempt=attempt, step=0, region=IAD, slot=slot_of(job.domain), epoch=1)


def once(number: int = 1) -> Job:
    return a_job(number, method="POST", guarantee=Guarantee.AT_MOST_ONCE)


async def test_a_mark_is_kept(keeper: Keeper) -> None:
    store = await keeper.open()
    await store.jobs.submit(job := once())
    assert await store.jobs.mark(a_mark(job))
    assert await (await keeper.open()).jobs.marks() == {job.id: a_mark(job)}


async def test_a_job_has_one_mark_of_its_latest_attempt(store: Store) -> None:
    for job in (jobs := [once(1), once(2)]):
        await store.jobs.submit(job)
        assert await store.jobs.mark(a_mark(job))
    later = replace(a_mark(jobs[0], 2), step=1, epoch=2)
    assert await store.jobs.mark(later)
    assert await store.jobs.marks() == {jobs[0].id: later, jobs[1].id: a_mark(jobs[1])}


async def test_what_has_ended_is_not_marked_any_more_and_nothing_of_it_may_go(store: Store) -> None:
    await store.jobs.submit(job := once())
    await store.jobs.mark(a_mark(job))
    await store.jobs.end(an_ending(job, marked=True))
    assert await store.jobs.marks() == {}
    assert not await store.jobs.mark(a_mark(job, 2))
    assert await store.jobs.marks() == {}


async def test_a_mark_leaves_the_row_of_its_job_as_it_is(store: Store) -> None:
    await store.jobs.submit(job := once())
    before = await store.jobs.load(job.id)
    await store.jobs.mark(a_mark(job))
    assert await store.jobs.load(job.id) == before


async def test_what_was_noted_of_a_job_is_on_disk_with_its_mark(on_disk: SqliteStore) -> None:
    await on_disk.jobs.submit(job := once())
    on_disk.jobs.note_course(job.id, job.customer, JobState.RUNNING, a_course(job))
    await on_disk.jobs.mark(a_mark(job))
    assert await rows_of(on_disk, "SELECT state, run IS NOT NULL FROM jobs") == [("running", 1)]
