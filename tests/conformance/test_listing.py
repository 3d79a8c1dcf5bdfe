"""Pages of a customer's jobs, newest first."""

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from orchestrator.adapters.sqlite import listing
from orchestrator.adapters.sqlite.data_dir import DATABASE
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
from orchestrator.domain.jobs.job import Webhook
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.retention import Retention
from orchestrator.domain.webhooks.fanout import DeliveryState, JobDelivery
from orchestrator.ports.store import JobCount, JobCursor, JobFilter, JobPage, Store
from tests.conformance.stores import SqliteKeeper, an_ending, outbox_of, rows_of, submit_all
from tests.unit.domain.builders import ACME, NOW_MS, a_job

BETA = CustomerId("cust_beta")
HOOKS = (Webhook(url="https://a.example/"), Webhook(url="https://b.example/", has_quorum_vote=False))


async def page(
    store: Store,
    *,
    state: JobState | None = None,
    before: JobCursor | None = None,
    most: int = 50,
    **filters: Any,
) -> JobPage:
    states = frozenset([state] if state else [])
    wanted = JobFilter(**{"customer": ACME, "states": states} | filters)
    return await store.history.jobs_of(wanted, now_ms=NOW_MS + 60_000, most=most, before=before)


def ids(found: JobPage) -> list[JobId]:
    return [job.id for job in found.jobs]


async def test_the_newest_comes_first_and_other_customers_jobs_do_not(store: Store) -> None:
    jobs = [a_job(number, accepted_ms=NOW_MS + number // 2) for number in range(5)]
    await submit_all(store, [*jobs, a_job(9, customer=BETA)])
    found = await page(store)
    assert ids(found) == [job.id for job in reversed(jobs)]
    assert found.next is None


async def test_all_customers_jobs_are_listed_together_within_their_time(store: Store) -> None:
    at_ms = [NOW_MS, NOW_MS + 1, NOW_MS + 2, NOW_MS + 3]
    jobs = [
        replace(
            a_job(number, customer=(ACME, BETA)[number % 2], accepted_ms=ms),
            id=JobId(f"job_{ms}_{number:012d}"),
        )
        for number, ms in enumerate(at_ms)
    ]
    await submit_all(store, jobs)
    await store.jobs.end(an_ending(jobs[1]))
    newest_first = [job.id for job in reversed(jobs)]
    whole = await page(store, customer=None)
    assert (ids(whole), whole.next) == (newest_first, None)
    assert [job.customer for job in whole.jobs] == [BETA, ACME, BETA, ACME]
    seen: list[JobId] = []
    place, more = None, True
    while more:
        found = await page(store, customer=None, most=1, before=place)
        seen += ids(found)
        place, more = found.next, found.next is not None
    assert seen == newest_first
    between = await page(store, customer=None, since_ms=at_ms[1], until_ms=at_ms[3])
    assert ids(between) == newest_first[1:3]
    assert ids(await page(store, customer=None, state=JobState.SUCCESS)) == [jobs[1].id]


async def test_one_of_all_customers_jobs_that_fits_is_found_far_back(
    on_disk: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOKED_THROUGH_MOST", 3)
    jobs = [a_job(number) for number in range(11)]
    await submit_all(on_disk, jobs)
    failed = b'{"error":{"code":"deadline","message":""}}'
    await on_disk.jobs.end(an_ending(jobs[0], state=JobState.FAILED, result=failed, code="deadline"))
    assert ids(await page(on_disk, customer=None, code="deadline")) == [jobs[0].id]
    assert ids(await page(on_disk, customer=None, code="status")) == []


async def test_pages_go_on_where_the_one_before_ended_whatever_is_submitted_meanwhile(store: Store) -> None:
    jobs = [a_job(number, accepted_ms=NOW_MS + number // 3) for number in range(7)]
    await submit_all(store, jobs)
    seen: list[JobId] = []
    place, more = None, True
    while more:
        found = await page(store, most=3, before=place)
        seen += ids(found)
        place, more = found.next, found.next is not None
        await store.jobs.submit(a_job(100 + len(seen), accepted_ms=NOW_MS + 1000))
    assert seen == [job.id for job in reversed(jobs)]


async def test_a_state_is_picked_out(store: Store) -> None:
    await submit_all(store, jobs := [a_job(number) for number in range(4)])
    await store.jobs.end(an_ending(jobs[1]))
    await store.jobs.end(an_ending(jobs[2], state=JobState.FAILED))
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
        await store.jobs.end(an_ending(job))
    voter, _ = outbox_of(jobs[0])
    await store.jobs.save_delivery(replace(voter, state=DeliveryState.DELIVERED))
    found = {job.id: job for job in (await page(store)).jobs}
    assert found[jobs[0].id].delivery is JobDelivery.QUORUM_MET
    assert found[jobs[1].id].delivery is JobDelivery.PENDING
    assert found[jobs[2].id].delivery is JobDelivery.PENDING
    assert found[jobs[0].id].ended_ms == NOW_MS
    assert (await page(store, most=1)).jobs[0].idempotent_key == "key-2"


async def test_several_states_are_picked_out_at_once(store: Store) -> None:
    await submit_all(store, jobs := [a_job(number) for number in range(5)])
    await store.jobs.end(an_ending(jobs[1]))
    await store.jobs.end(an_ending(jobs[2], state=JobState.FAILED))
    await store.jobs.end(an_ending(jobs[3], state=JobState.CANCELLED))
    wanted = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.SUCCESS})
    assert ids(await page(store, states=wanted)) == [jobs[number].id for number in (3, 2, 1)]


async def test_a_domain_a_time_a_code_and_a_key_are_picked_out(store: Store) -> None:
    jobs = [
        a_job(number, accepted_ms=NOW_MS + number, url=f"https://{'ab'[number % 2]}.example/")
        for number in range(6)
    ]
    await submit_all(store, jobs)
    for number in (0, 3):
        await store.jobs.end(an_ending(jobs[number], state=JobState.FAILED, code="deadline"))
    await store.jobs.end(an_ending(jobs[4], state=JobState.FAILED, code="status"))
    assert ids(await page(store, domain=TargetDomain("b.example"))) == [jobs[n].id for n in (5, 3, 1)]
    assert ids(await page(store, since_ms=NOW_MS + 2, until_ms=NOW_MS + 4)) == [jobs[n].id for n in (3, 2)]
    assert ids(await page(store, code="deadline")) == [jobs[n].id for n in (3, 0)]
    assert ids(await page(store, code="deadline", since_ms=NOW_MS + 1)) == [jobs[3].id]
    assert ids(await page(store, code="deadline", domain=TargetDomain("a.example"))) == [jobs[0].id]
    assert ids(await page(store, code="poison")) == []
    assert ids(await page(store, idempotent_key="key-4")) == [jobs[4].id]
    assert ids(await page(store, idempotent_key="key-4", code="status")) == [jobs[4].id]
    assert ids(await page(store, idempotent_key="key-4", code="deadline")) == []
    assert ids(await page(store, idempotent_key="key-4", until_ms=NOW_MS + 4)) == []
    assert ids(await page(store, state=JobState.FAILED, domain=TargetDomain("a.example"))) == [
        jobs[number].id for number in (4, 0)
    ]


async def test_a_key_that_was_freed_finds_both_of_its_jobs(store: Store) -> None:
    first = a_job(1)
    await store.jobs.submit(first)
    await store.jobs.end(an_ending(first, state=JobState.CANCELLED, key_freed=True))
    second = replace(a_job(2), idempotent_key=first.idempotent_key)
    await store.jobs.submit(second)
    assert ids(await page(store, idempotent_key=first.idempotent_key)) == [second.id, first.id]


DELIVERIES: dict[JobDelivery, list[list[DeliveryState]]] = {
    JobDelivery.DELIVERED: [[DeliveryState.DELIVERED, DeliveryState.DELIVERED]],
    JobDelivery.QUORUM_MET: [
        [DeliveryState.DELIVERED, DeliveryState.PENDING],
        [DeliveryState.DELIVERED, DeliveryState.FAILED],
    ],
    JobDelivery.PENDING: [
        [DeliveryState.PENDING, DeliveryState.DELIVERED],
        [DeliveryState.PENDING, DeliveryState.FAILED],
    ],
    JobDelivery.FAILED: [
        [DeliveryState.FAILED, DeliveryState.DELIVERED],
        [DeliveryState.FAILED, DeliveryState.FAILED],
        [DeliveryState.FAILED, DeliveryState.PENDING],
    ],
}


@pytest.mark.parametrize("forgotten", [False, True])
async def test_how_deliveries_stand_is_picked_out(store: Store, *, forgotten: bool) -> None:
    expected: dict[JobDelivery, list[JobId]] = {delivery: [] for delivery in JobDelivery}
    number = 0
    for delivery, stands in DELIVERIES.items():
        for states in stands:
            job = a_job(number := number + 1, accepted_ms=NOW_MS + number, webhooks=HOOKS)
            await store.jobs.submit(job)
            await store.jobs.end(an_ending(job))
            for entry, state in zip(outbox_of(job), states, strict=True):
                await store.jobs.save_delivery(replace(entry, state=state))
            expected[delivery].insert(0, job.id)
    await submit_all(store, [quiet := a_job(50, accepted_ms=NOW_MS + 50)])
    await store.jobs.end(an_ending(quiet))
    expected[JobDelivery.NONE].insert(0, quiet.id)
    if forgotten:
        await store.jobs.purge(NOW_MS + Retention().payload_ms + 1)
    else:
        await store.jobs.submit(waiting := a_job(60, accepted_ms=NOW_MS + 60, webhooks=HOOKS))
        expected[JobDelivery.PENDING].insert(0, waiting.id)
    found = {each: ids(await page(store, deliveries=frozenset({each}))) for each in JobDelivery}
    assert found == expected
    both = frozenset({JobDelivery.FAILED, JobDelivery.NONE})
    assert {*ids(await page(store, deliveries=both))} == {job for each in both for job in expected[each]}


EXAMPLES = itertools.count(1)
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "states": st.frozensets(st.sampled_from([JobState.FAILED, JobState.QUEUED])),
        "code": st.sampled_from(["deadline", "status"]),
        "since_ms": st.integers(NOW_MS, NOW_MS + 9),
        "until_ms": st.integers(NOW_MS, NOW_MS + 9),
    },
)


@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_page_is_full_where_there_is_more_and_the_last_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    monkeypatch.setattr(listing, "LOOKED_THROUGH_MOST", data.draw(st.integers(1, 7)))
    number = next(EXAMPLES)
    customer = CustomerId(f"cust_{number}")
    stamps = data.draw(st.lists(st.integers(0, 5), max_size=25))
    jobs = [a_job(n, customer=customer, accepted_ms=NOW_MS + n // 3) for n, _ in enumerate(stamps)]
    jobs = [replace(job, id=JobId(f"{job.id}{number:06d}")) for job in jobs]
    await submit_all(store, jobs)
    for job, stamp in zip(jobs, stamps, strict=True):
        if stamp > 2:
            await store.jobs.end(
                an_ending(job, state=JobState.FAILED, code=("deadline", "status")[stamp % 2])
            )
    wanted = data.draw(FILTERS)
    whole = ids(await page(store, most=100, customer=customer, **wanted))
    most = data.draw(st.integers(1, 6))
    pages, place = [], None
    while True:
        found = await page(store, most=most, before=place, customer=customer, **wanted)
        pages.append(ids(found))
        if (place := found.next) is None:
            break
    assert [id_ for each in pages for id_ in each] == whole
    assert [len(each) for each in pages[:-1]] == [most] * (len(pages) - 1)
    assert whole == sorted(whole, reverse=True)
    assert pages[-1] or not whole


async def test_what_is_rare_among_a_hundred_thousand_is_found_while_others_read(
    directory: SqliteKeeper, on_disk: SqliteStore
) -> None:
    crowd(directory.data_dir / DATABASE, 100_000)
    for wanted, found in [
        ({"states": frozenset({JobState.FAILED, JobState.SUCCESS})}, 21),
        ({"domain": TargetDomain("rare.example")}, 21),
        ({"deliveries": frozenset({JobDelivery.FAILED})}, 0),
        ({"states": frozenset({JobState.SUCCESS}), "deliveries": frozenset({JobDelivery.NONE})}, 0),
    ]:
        with looks_at(on_disk) as looked:
            assert len((await page(on_disk, **wanted)).jobs) == found
        # In steps: nobody else's read waits for more than one of them.
        assert len(looked) >= 100_000 // listing.LOOKED_THROUGH_MOST


@pytest.mark.parametrize("customer", [ACME, None])
async def test_what_failed_among_a_hundred_thousand_is_looked_for_among_what_failed(
    directory: SqliteKeeper, on_disk: SqliteStore, customer: CustomerId | None
) -> None:
    crowd(directory.data_dir / DATABASE, 100_000)
    for wanted, found in [
        ({"states": frozenset({JobState.FAILED})}, 21),
        ({"states": frozenset({JobState.FAILED}), "domain": TargetDomain("often.example")}, 0),
        ({"states": frozenset({JobState.FAILED, JobState.CANCELLED}), "code": "status"}, 21),
        ({"code": "deadline"}, 0),
    ]:
        with looks_at(on_disk) as looked:
            assert len((await page(on_disk, customer=customer, **wanted)).jobs) == found
        assert len(looked) == 1


@pytest.mark.parametrize("customer", [ACME, None])
async def test_the_few_jobs_that_have_not_ended_are_looked_for_among_those(
    on_disk: SqliteStore, monkeypatch: pytest.MonkeyPatch, customer: CustomerId | None
) -> None:
    monkeypatch.setattr(listing, "LOOKED_THROUGH_MOST", 2)
    jobs = [a_job(number) for number in range(20)]
    await submit_all(on_disk, [*jobs, a_job(30, customer=BETA)])
    for job in jobs[3:]:
        await on_disk.jobs.end(an_ending(job))
    others = [] if customer else [a_job(30, customer=BETA).id]
    wanted: dict[str, Any] = {"customer": customer, "states": frozenset({JobState.QUEUED, JobState.RUNNING})}
    with looks_at(on_disk) as looked:
        assert ids(await page(on_disk, **wanted)) == [*others, jobs[2].id, jobs[1].id, jobs[0].id]
    assert len(looked) == 1
    monkeypatch.setattr(listing, "FEW_OPEN", 2)
    with looks_at(on_disk) as looked:
        assert ids(await page(on_disk, **wanted)) == [*others, jobs[2].id, jobs[1].id, jobs[0].id]
    assert len(looked) > 3, "among many that are open there is nothing to gain"


async def test_a_page_whose_time_is_over_says_where_to_look_on(
    on_disk: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOKED_THROUGH_MOST", 3)
    jobs = [a_job(number, url=f"https://{'ab'[number == 1]}.example/") for number in range(11)]
    await submit_all(on_disk, jobs)
    wanted = JobFilter(customer=ACME, domain=TargetDomain("b.example"))
    seen: list[JobId] = []
    place, pages = None, 0
    while pages == 0 or place is not None:
        found = await on_disk.history.jobs_of(wanted, now_ms=NOW_MS, most=5, before=place, within_s=0.0)
        seen, place, pages = [*seen, *ids(found)], found.next, pages + 1
    assert (seen, pages) == ([jobs[1].id], 4)
    counted = await on_disk.history.count_jobs(wanted, now_ms=NOW_MS, most=5, within_s=0.0)
    assert counted == JobCount(0, more=True)


async def test_jobs_are_counted_as_far_as_is_asked_for(store: Store) -> None:
    await submit_all(store, jobs := [a_job(number, webhooks=HOOKS) for number in range(7)])
    await store.jobs.end(an_ending(jobs[0], state=JobState.FAILED, code="status"))

    async def count(most: int, **wanted: Any) -> JobCount:
        fitting = JobFilter(**{"customer": ACME, **wanted})
        return await store.history.count_jobs(fitting, now_ms=NOW_MS, most=most)

    assert await count(10) == JobCount(7, more=False)
    assert (await count(5)).jobs == 5
    assert await count(10, customer=None) == JobCount(7, more=False)
    assert await count(10, states=frozenset({JobState.FAILED})) == JobCount(1, more=False)
    assert await count(10, code="deadline") == JobCount(0, more=False)
    assert await count(10, deliveries=frozenset({JobDelivery.PENDING})) == JobCount(7, more=False)


@contextlib.contextmanager
def looks_at(store: SqliteStore) -> Iterator[list[str]]:
    """Note who looks for something, once for each time that others may go in between."""
    looked: list[str] = []
    shown = store.history._shown

    async def noting(reader: str, read: Any) -> Any:
        looked.append(reader)
        return await shown(reader, read)

    store.history._shown = noting
    yield looked
    store.history._shown = shown


def crowd(database: Path, count: int) -> None:
    """Fill the table as a customer with many jobs does, 21 of the oldest of which failed."""
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        db.execute(
            """WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
               INSERT INTO jobs (id, customer, domain, state, order_key, not_before_ms, accepted_ms,
                                 deadline_ms, ended_ms, idem_key, idem_holds, fingerprint, request)
               SELECT 'job_' || (? + i) || '_' || i, ?, iif(i < 21, 'rare.example', 'often.example'),
                      iif(i < 21, 'failed', 'queued'), i, 0, ? + i, 0, iif(i < 21, 1, NULL), 'k' || i,
                      1, x'', x''
               FROM n""",
            (count, NOW_MS, ACME, NOW_MS),
        )
        db.execute(
            "INSERT INTO failures SELECT id, customer, 'status', accepted_ms FROM jobs WHERE state = 'failed'"
        )


FILTERED = {
    "jobs_listed": {},
    "failures_by_code": {"code": "status"},
    "failures_listed": {"state": JobState.FAILED},
    "jobs_key": {"idempotent_key": "key-1"},
}


@pytest.mark.parametrize("index", FILTERED)
async def test_a_page_is_read_from_its_index(on_disk: SqliteStore, index: str) -> None:
    steps: list[str] = []
    on_disk.database.lanes._shown._connection.set_trace_callback(steps.append)
    await page(on_disk, most=5, **FILTERED[index])
    on_disk.database.lanes._shown._connection.set_trace_callback(None)
    plans = [line[-1] for sql in steps for line in await rows_of(on_disk, f"EXPLAIN QUERY PLAN {sql}")]
    assert any(f"INDEX {index}" in line for line in plans)
    assert not any("SCAN" in line and "jobs" in line for line in plans)
    if index != "jobs_key":
        assert not any("TEMP B-TREE" in line for line in plans)
