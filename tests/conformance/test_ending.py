import pytest
from msgspec.structs import replace

from orchestrator.domain.execution.course import lose_all_steps
from orchestrator.domain.ids import RegionName
from orchestrator.domain.jobs.job import Job, Webhook
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.webhooks.fanout import DeliveryAttempt, DeliveryState, JobDelivery
from orchestrator.ports.store import Accepted, Duplicate, JobFilter, Store
from tests.conformance.stores import Keeper, a_course, again, an_ending, flush, outbox_of
from tests.unit.domain.builders import NOW_MS, a_job

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def two_webhooks(number: int = 1) -> Job:
    hooks = (Webhook(url="https://a.example.com/"), Webhook(url="https://b.example.com/"))
    return a_job(number, webhooks=hooks)


async def test_an_end_is_kept_with_its_run_its_result_and_its_outbox(keeper: Keeper) -> None:
    job = two_webhooks()
    store = await keeper.open()
    await store.jobs.submit(job)
    ending = an_ending(job, course=a_course(job, attempts=3), ended_ms=NOW_MS + 7)
    await store.jobs.end(ending)
    stored = await (await keeper.open()).jobs.load(job.id)
    assert stored is not None
    assert (stored.state, stored.course, stored.result) == (JobState.SUCCESS, ending.course, ending.result)
    assert (stored.ended_ms, stored.deliveries) == (NOW_MS + 7, ending.outbox)
    assert stored.delivery is JobDelivery.PENDING


async def test_a_job_ends_once(store: Store) -> None:
    job = two_webhooks()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job))
    with pytest.raises(RuntimeError, match=f"{job.id} has ended already"):
        await store.jobs.end(an_ending(job, state=JobState.FAILED))
    stored = await store.jobs.load(job.id)
    assert stored is not None
    assert stored.state is JobState.SUCCESS
    assert len(await store.jobs.outbox()) == 2


async def test_a_key_holds_after_the_end(store: Store) -> None:
    job = a_job()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job))
    assert isinstance(await store.jobs.submit(again(job, 2)), Duplicate)


async def test_a_key_is_free_at_once_where_nothing_was_written(store: Store) -> None:
    job = a_job()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job, state=JobState.FAILED, key_freed=True))
    second = again(job, 2)
    assert await store.jobs.submit(second) == Accepted(second)
    third = await store.jobs.submit(again(job, 3))
    assert third == Duplicate(second.id, JobState.QUEUED, payload_mismatch=False)


async def test_how_far_a_job_is_rides_the_next_commit(keeper: Keeper) -> None:
    job = a_job()
    store = await keeper.open()
    await store.jobs.submit(job)
    store.jobs.note_course(job.id, job.customer, JobState.RUNNING, a_course(job))
    stored = await (await keeper.open()).jobs.load(job.id)
    assert stored is not None
    assert (stored.state, stored.course) == (JobState.RUNNING, a_course(job))


async def test_how_far_a_job_is_can_be_waited_for(store: Store) -> None:
    job = a_job()
    await store.jobs.submit(job)
    await store.jobs.save_course(job.id, job.customer, JobState.RUNNING, a_course(job, attempts=2))
    stored = await store.jobs.load(job.id)
    assert stored is not None
    assert (stored.state, stored.course) == (JobState.RUNNING, a_course(job, attempts=2))
    assert (await store.jobs.waiting())[0].state is JobState.RUNNING


async def test_a_late_note_does_not_bring_an_ended_job_back(store: Store) -> None:
    job = a_job()
    await store.jobs.submit(job)
    ending = an_ending(job)
    await store.jobs.end(ending)
    store.jobs.note_course(job.id, job.customer, JobState.RUNNING, a_course(job, attempts=9))
    await store.jobs.save_course(job.id, job.customer, JobState.RUNNING, a_course(job, attempts=9))
    await flush(store)
    stored = await store.jobs.load(job.id)
    assert stored is not None
    assert (stored.state, stored.course, stored.ended_ms) == (JobState.SUCCESS, ending.course, NOW_MS)
    assert await store.jobs.waiting() == []


async def test_an_end_is_not_written_as_how_far_a_job_is(store: Store) -> None:
    job = a_job()
    await store.jobs.submit(job)
    with pytest.raises(ValueError, match="an end is written with its result"):
        store.jobs.note_course(job.id, job.customer, JobState.SUCCESS, a_course(job))
    with pytest.raises(ValueError, match="an end is written with its result"):
        await store.jobs.save_course(job.id, job.customer, JobState.FAILED, a_course(job))
    assert (await store.jobs.waiting())[0].state is JobState.QUEUED


async def test_what_is_learned_after_the_end_joins_the_timeline(store: Store) -> None:
    job = a_job()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job))
    learned = lose_all_steps(a_course(job), crashed=True)
    store.jobs.note_timeline(job.id, job.customer, learned)
    await flush(store)
    stored = await store.jobs.load(job.id)
    assert stored is not None
    assert (stored.state, stored.course) == (JobState.SUCCESS, learned)


async def test_the_timeline_of_a_job_that_goes_on_is_not_the_timelines_to_change(store: Store) -> None:
    job = a_job()
    await store.jobs.submit(job)
    store.jobs.note_timeline(job.id, job.customer, a_course(job))
    await flush(store)
    stored = await store.jobs.load(job.id)
    assert stored is not None
    assert stored.course is None


async def test_the_outbox_lists_what_is_pending_by_its_time(store: Store) -> None:
    first, second = two_webhooks(1), two_webhooks(2)
    for job in (first, second):
        await store.jobs.submit(job)
        await store.jobs.end(an_ending(job))
    late, delivered = outbox_of(first)[0], outbox_of(second)[1]
    await store.jobs.save_delivery(replace(late, next_ms=NOW_MS + HOUR_MS))
    await store.jobs.save_delivery(replace(delivered, state=DeliveryState.DELIVERED))
    assert [entry.id for entry in await store.jobs.outbox()] == [
        outbox_of(second)[0].id,
        outbox_of(first)[1].id,
        late.id,
    ]


async def test_a_delivery_is_kept_with_its_log(keeper: Keeper) -> None:
    job = two_webhooks()
    store = await keeper.open()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job))
    tried = replace(
        outbox_of(job)[1],
        state=DeliveryState.FAILED,
        attempts=2,
        first_ms=NOW_MS + 1,
        next_ms=NOW_MS + 2,
        log=(
            DeliveryAttempt(NOW_MS + 1, 500, 12),
            DeliveryAttempt(NOW_MS + 2, None, 15_000, "timeout: Zoë", RegionName("lax")),
        ),
    )
    await store.jobs.save_delivery(tried)
    stored = await (await keeper.open()).jobs.load(job.id)
    assert stored is not None
    assert stored.deliveries == (outbox_of(job)[0], tried)


async def test_a_key_is_forgotten_a_day_after_the_end(store: Store) -> None:
    job = a_job()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job))
    await store.jobs.purge(NOW_MS + DAY_MS - 1)
    assert isinstance(await store.jobs.submit(again(job, 2)), Duplicate)
    await store.jobs.purge(NOW_MS + DAY_MS)
    assert isinstance(await store.jobs.submit(again(job, 3)), Accepted)


async def test_a_purge_leaves_a_key_to_the_job_that_has_it_now(store: Store) -> None:
    old, new = a_job(), again(a_job(), 2)
    await store.jobs.submit(old)
    await store.jobs.end(an_ending(old, state=JobState.FAILED, key_freed=True))
    await store.jobs.submit(new)
    await store.jobs.purge(NOW_MS + 2 * DAY_MS)
    await store.jobs.purge(NOW_MS + 8 * DAY_MS)
    answer = await store.jobs.submit(again(old, 3))
    assert answer == Duplicate(new.id, JobState.QUEUED, payload_mismatch=False)


async def test_a_job_is_forgotten_a_week_after_its_end(store: Store) -> None:
    job = two_webhooks()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job))
    await store.jobs.purge(NOW_MS + 7 * DAY_MS - 1)
    assert await store.jobs.load(job.id) is not None
    await store.jobs.purge(NOW_MS + 7 * DAY_MS)
    assert await store.jobs.load(job.id) is None
    assert await store.jobs.outbox() == []


async def test_what_is_told_of_a_job_outlives_its_payload(store: Store) -> None:
    job = two_webhooks()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job, state=JobState.FAILED))
    for entry in outbox_of(job):
        await store.jobs.save_delivery(replace(entry, state=DeliveryState.DELIVERED))
    before = await store.history.summary(job.id, NOW_MS)
    assert before is not None
    await store.jobs.purge(NOW_MS + 7 * DAY_MS)
    after = await store.history.summary(job.id, NOW_MS + 7 * DAY_MS)
    assert after == replace(before, forgotten=True)
    assert after.delivery is JobDelivery.DELIVERED
    assert (await store.history.jobs_of(JobFilter(customer=job.customer), now_ms=NOW_MS, most=5)).jobs == (
        after,
    )
    await store.jobs.purge(NOW_MS + 30 * DAY_MS - 1)
    assert await store.history.summary(job.id, NOW_MS) == after
    await store.jobs.purge(NOW_MS + 30 * DAY_MS)
    assert await store.history.summary(job.id, NOW_MS) is None


async def test_a_job_that_has_not_ended_is_never_forgotten(store: Store) -> None:
    job = a_job()
    await store.jobs.submit(job)
    await store.jobs.purge(NOW_MS + 10_000 * DAY_MS)
    assert await store.jobs.load(job.id) is not None
    assert isinstance(await store.jobs.submit(again(job, 2)), Duplicate)
