import asyncio

import pytest
from msgspec.structs import replace

from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.job import RetryPolicy, Webhook
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import Guarantee
from orchestrator.ports.store import Accepted, Duplicate, Store, WaitingJob
from tests.conformance.stores import Keeper, again, an_ending
from tests.unit.domain.builders import ACME, IAD, LAX, NOW_MS, a_job

BETA = CustomerId("cust_beta")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_job_is_kept_as_it_was_submitted(store: Store) -> None:
    job = a_job(
        method="POST",
        headers=(("X-A", "1"), ("X-B", "Zoë")),
        body="",
        metadata={"deep": [1, 2.5, None, {"ok": True}]},
        webhooks=(Webhook(url="https://hooks.example.com/", regions=(LAX,), has_quorum_vote=False),),
        regions=(IAD, LAX),
        retry_policy=RetryPolicy(max_retries=0),
        guarantee=Guarantee.AT_LEAST_ONCE,
        cost=2.5,
    )
    assert await store.jobs.submit(job) == Accepted(job)
    stored = await store.jobs.load(job.id)
    assert stored is not None
    assert stored.job == job
    assert (stored.state, stored.course, stored.result) == (JobState.QUEUED, None, None)
    assert (stored.ended_ms, stored.deliveries) == (None, ())


async def test_the_same_job_in_another_trace_is_the_same_job(store: Store) -> None:
    job = a_job()
    await store.jobs.submit(job)
    taken = await store.jobs.submit(replace(again(job, 2), traceparent=TRACEPARENT))
    assert isinstance(taken, Duplicate)
    assert not taken.payload_mismatch


async def test_a_job_outlives_the_store(keeper: Keeper) -> None:
    job = replace(a_job(body="kept"), traceparent=TRACEPARENT)
    await (await keeper.open()).jobs.submit(job)
    stored = await (await keeper.open()).jobs.load(job.id)
    assert stored is not None
    assert stored.job == job


async def test_an_unknown_job_is_none(store: Store) -> None:
    assert await store.jobs.load(JobId("job_1_1")) is None


async def test_a_known_key_answers_with_the_first_job_and_stores_nothing(store: Store) -> None:
    first = a_job()
    await store.jobs.submit(first)
    second = again(first, 2)
    assert await store.jobs.submit(second) == Duplicate(first.id, JobState.QUEUED, payload_mismatch=False)
    assert await store.jobs.load(second.id) is None


@pytest.mark.parametrize("change", [{"body": "other"}, {"metadata": {"a": 1}}, {"priority": 9}])
async def test_a_known_key_with_another_payload_is_a_duplicate_that_differs(
    store: Store, change: dict[str, object]
) -> None:
    first = a_job()
    await store.jobs.submit(first)
    answer = await store.jobs.submit(again(first, 2, **change))
    assert answer == Duplicate(first.id, JobState.QUEUED, payload_mismatch=True)


async def test_payloads_are_compared_after_a_restart_too(keeper: Keeper) -> None:
    first = a_job()
    await (await keeper.open()).jobs.submit(first)
    store = await keeper.open()
    assert await store.jobs.submit(again(first, 2)) == Duplicate(
        first.id, JobState.QUEUED, payload_mismatch=False
    )


async def test_a_duplicate_names_the_state_that_the_first_is_in(store: Store) -> None:
    first = a_job(retry_at=NOW_MS + 1)
    await store.jobs.submit(first)
    answer = await store.jobs.submit(again(first, 2))
    assert answer == Duplicate(first.id, JobState.SCHEDULED, payload_mismatch=False)
    await store.jobs.end(an_ending(first, state=JobState.FAILED))
    answer = await store.jobs.submit(again(first, 3))
    assert answer == Duplicate(first.id, JobState.FAILED, payload_mismatch=False)


async def test_customers_do_not_share_keys(store: Store) -> None:
    await store.jobs.submit(a_job(1, key="same"))
    assert isinstance(await store.jobs.submit(a_job(2, key="same", customer=BETA)), Accepted)


async def test_equal_submissions_in_parallel_become_one_job(store: Store) -> None:
    first = a_job()
    answers = await asyncio.gather(*(store.jobs.submit(again(first, number)) for number in range(1, 60)))
    (accepted,) = [answer.job.id for answer in answers if isinstance(answer, Accepted)]
    duplicates = {answer.job_id for answer in answers if isinstance(answer, Duplicate)}
    assert duplicates == {accepted}
    assert [waiting.id for waiting in await store.jobs.waiting()] == [accepted]


async def test_different_submissions_in_parallel_are_all_kept(store: Store) -> None:
    jobs = [a_job(number) for number in range(1, 200)]
    answers = await asyncio.gather(*(store.jobs.submit(job) for job in jobs))
    assert answers == [Accepted(job) for job in jobs]
    assert len(await store.jobs.waiting()) == len(jobs)


async def test_what_waits_is_listed_in_the_order_of_its_keys(store: Store) -> None:
    late, urgent, early, soon = (
        a_job(1, accepted_ms=NOW_MS + 5),
        a_job(2, accepted_ms=NOW_MS + 9, priority=9),
        a_job(3, accepted_ms=NOW_MS),
        a_job(4, accepted_ms=NOW_MS, retry_at=NOW_MS + 2),
    )
    for job in (late, urgent, early, soon):
        await store.jobs.submit(job)
    assert [waiting.id for waiting in await store.jobs.waiting()] == [urgent.id, early.id, soon.id, late.id]


async def test_a_waiting_job_is_an_index_entry(store: Store) -> None:
    job = a_job(retry_at=NOW_MS + 500)
    await store.jobs.submit(job)
    assert await store.jobs.waiting() == [
        WaitingJob(
            id=job.id,
            customer=ACME,
            domain=job.domain,
            state=JobState.SCHEDULED,
            order_key=job.order_key,
            not_before_ms=NOW_MS + 500,
        )
    ]


async def test_what_has_ended_waits_no_more(store: Store) -> None:
    ended, open_ = a_job(1), a_job(2)
    await store.jobs.submit(ended)
    await store.jobs.submit(open_)
    await store.jobs.end(an_ending(ended))
    assert [waiting.id for waiting in await store.jobs.waiting()] == [open_.id]


async def test_jobs_past_their_deadline_are_listed_the_longest_overdue_first(store: Store) -> None:
    jobs = [a_job(number, deadline_ms=deadline_ms) for number, deadline_ms in enumerate((300, 100, 200), 1)]
    for job in jobs:
        await store.jobs.submit(job)
    assert await store.jobs.overdue(NOW_MS + 99, 10) == []
    assert await store.jobs.overdue(NOW_MS + 100, 10) == [jobs[1].id]
    assert await store.jobs.overdue(NOW_MS + 300, 10) == [jobs[1].id, jobs[2].id, jobs[0].id]
    assert await store.jobs.overdue(NOW_MS + 300, 2) == [jobs[1].id, jobs[2].id]


async def test_a_job_that_ended_is_not_overdue(store: Store) -> None:
    job = a_job(deadline_ms=1)
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job))
    assert await store.jobs.overdue(NOW_MS + 1_000, 10) == []


async def test_many_jobs_are_stored_at_once_each_unless_its_key_is_known(keeper: Keeper) -> None:
    store = await keeper.open()
    known, jobs = a_job(0), [a_job(number) for number in range(1, 400)]
    await store.jobs.submit(known)
    taken = await store.jobs.submit_many([*jobs, again(known, 900), again(jobs[0], 901)])
    assert list(taken[:-2]) == [Accepted(job) for job in jobs]
    assert [(t.job_id, t.payload_mismatch) for t in taken[-2:] if isinstance(t, Duplicate)] == [
        (known.id, False),
        (jobs[0].id, False),
    ]
    assert await store.jobs.submit_many([]) == []
    assert len(await (await keeper.open()).jobs.waiting()) == 400


async def test_a_known_key_is_found_without_storing_anything(store: Store) -> None:
    job = a_job(1)
    await store.jobs.submit(job)
    same, other_body, new = again(job, 2), again(job, 3, body="other"), a_job(4)
    found = await store.jobs.duplicates_of([same, other_body, new])
    assert found == [
        Duplicate(job.id, JobState.QUEUED, False),
        Duplicate(job.id, JobState.QUEUED, True),
        None,
    ]
    assert [waiting.id for waiting in await store.jobs.waiting()] == [job.id]
