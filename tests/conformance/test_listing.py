"""Pages of a customer's jobs, newest first."""

from dataclasses import replace

import pytest

from orchestrator.adapters.store import listing
from orchestrator.adapters.store.sqlite import SqliteStore
from orchestrator.domain.fanout import DeliveryState, JobDelivery
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.job import Webhook
from orchestrator.domain.lifecycle import JobState
from orchestrator.ports.store import JobCursor, JobPage, Store
from tests.conformance.stores import an_ending, outbox_of, submit_all
from tests.unit.domain.builders import ACME, NOW_MS, a_job

BETA = CustomerId("cust_beta")
HOOKS = (Webhook(url="https://a.example/"), Webhook(url="https://b.example/", has_quorum_vote=False))


async def page(
    store: Store, *, state: JobState | None = None, before: JobCursor | None = None, most: int = 50
) -> JobPage:
    return await store.jobs_of(ACME, now_ms=NOW_MS + 60_000, most=most, state=state, before=before)


def ids(found: JobPage) -> list[JobId]:
    return [job.id for job in found.jobs]


async def test_the_newest_comes_first_and_other_customers_jobs_do_not(store: Store) -> None:
    jobs = [a_job(number, accepted_ms=NOW_MS + number // 2) for number in range(5)]
    await submit_all(store, [*jobs, a_job(9, customer=BETA)])
    found = await page(store)
    assert ids(found) == [job.id for job in reversed(jobs)]
    assert found.next is None


async def test_pages_go_on_where_the_one_before_ended_whatever_is_submitted_meanwhile(store: Store) -> None:
    jobs = [a_job(number, accepted_ms=NOW_MS + number // 3) for number in range(7)]
    await submit_all(store, jobs)
    seen: list[JobId] = []
    place, more = None, True
    while more:
        found = await page(store, most=3, before=place)
        seen += ids(found)
        place, more = found.next, found.next is not None
        await store.submit(a_job(100 + len(seen), accepted_ms=NOW_MS + 1000))
    assert seen == [job.id for job in reversed(jobs)]


async def test_a_state_is_picked_out(store: Store) -> None:
    await submit_all(store, jobs := [a_job(number) for number in range(4)])
    await store.end(an_ending(jobs[1]))
    await store.end(an_ending(jobs[2], state=JobState.FAILED))
    assert ids(await page(store, state=JobState.FAILED)) == [jobs[2].id]
    assert ids(await page(store, state=JobState.QUEUED)) == [jobs[3].id, jobs[0].id]
    assert ids(await page(store, state=JobState.CANCELLED)) == []


async def test_a_scheduled_job_counts_as_queued_once_its_time_has_come(store: Store) -> None:
    later, due = a_job(1, retry_at=NOW_MS + 3_600_000), a_job(2, retry_at=NOW_MS + 1_000)
    await submit_all(store, [later, due])
    assert ids(await page(store, state=JobState.SCHEDULED)) == [later.id]
    assert ids(await page(store, state=JobState.QUEUED)) == [due.id]


async def test_a_line_tells_how_the_deliveries_stand(store: Store) -> None:
    await submit_all(store, jobs := [a_job(number, webhooks=HOOKS) for number in range(3)])
    for job in jobs[:2]:
        await store.end(an_ending(job))
    voter, _ = outbox_of(jobs[0])
    await store.save_delivery(replace(voter, state=DeliveryState.DELIVERED))
    found = {job.id: job for job in (await page(store)).jobs}
    assert found[jobs[0].id].delivery is JobDelivery.QUORUM_MET
    assert found[jobs[1].id].delivery is JobDelivery.PENDING
    assert found[jobs[2].id].delivery is JobDelivery.PENDING
    assert found[jobs[0].id].ended_ms == NOW_MS
    assert (await page(store, most=1)).jobs[0].idempotent_key == "key-2"


async def test_a_rare_state_is_looked_for_in_bounded_steps(
    on_disk: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOKED_THROUGH_MOST", 4)
    await submit_all(on_disk, jobs := [a_job(number, accepted_ms=NOW_MS + number) for number in range(10)])
    await on_disk.end(an_ending(jobs[0], state=JobState.FAILED))
    pages = [await page(on_disk, state=JobState.FAILED)]
    while pages[-1].next is not None:
        pages.append(await page(on_disk, state=JobState.FAILED, before=pages[-1].next))
    assert [ids(found) for found in pages] == [[], [], [jobs[0].id]]


async def test_a_page_is_read_from_its_index(on_disk: SqliteStore) -> None:
    plan = await on_disk._read(
        "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE customer = ? AND (accepted_ms, id) < (?, ?) "
        "ORDER BY accepted_ms DESC, id DESC LIMIT 5",
        ACME,
        NOW_MS,
        "job",
    )
    assert "jobs_newest" in plan[0][-1]
    assert not any("TEMP B-TREE" in line[-1] for line in plan)
