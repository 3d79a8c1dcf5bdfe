from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.ids import CustomerId, DeliveryId, TargetDomain
from orchestrator.domain.jobs.job import Job, Webhook
from orchestrator.domain.webhooks.fanout import DeliveryState
from orchestrator.ports.store import DeadFilter, DeadLetterCursor, OutboxEntry, Store
from tests.conformance.stores import an_ending, outbox_of, rows_of
from tests.unit.domain.builders import ACME, NOW_MS, a_job

BETA = CustomerId("cust_beta")
HOOKS = (Webhook(url="https://a.example.com/x"), Webhook(url="http://b.example.com:8443/y"))


async def ended(store: Store, number: int, *, customer: CustomerId = ACME) -> Job:
    job = a_job(number, customer=customer, webhooks=HOOKS)
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job))
    return job


async def fail(store: Store, job: Job, index: int, at_ms: int) -> OutboxEntry:
    entry = replace(outbox_of(job)[index], state=DeliveryState.FAILED, next_ms=at_ms)
    await store.jobs.save_delivery(entry)
    return entry


async def dead(
    store: Store, most: int = 10, before: DeadLetterCursor | None = None, **wanted: object
) -> list[str]:
    fields = {"customer": ACME, **wanted}
    return [e.id for e in await store.history.dead_deliveries(DeadFilter(**fields), most=most, before=before)]


async def test_failed_deliveries_are_listed_newest_first(store: Store) -> None:
    first, second = await ended(store, 1), await ended(store, 2)
    old = await fail(store, first, 0, NOW_MS + 1)
    new = await fail(store, second, 1, NOW_MS + 2)
    assert await dead(store) == [new.id, old.id]


async def test_what_is_pending_or_delivered_is_not_dead(store: Store) -> None:
    job = await ended(store, 1)
    await store.jobs.save_delivery(replace(outbox_of(job)[0], state=DeliveryState.DELIVERED))
    assert await dead(store) == []


async def test_they_are_the_customers_own(store: Store) -> None:
    await fail(store, await ended(store, 1, customer=BETA), 0, NOW_MS)
    assert await dead(store) == []
    assert len(await dead(store, customer=BETA)) == 1


async def test_they_can_be_chosen_by_endpoint_time_and_id(store: Store) -> None:
    job = await ended(store, 1)
    first, second = await fail(store, job, 0, NOW_MS + 10), await fail(store, job, 1, NOW_MS + 20)
    assert await dead(store, endpoint=TargetDomain("b.example.com:8443")) == [second.id]
    assert await dead(store, endpoint=TargetDomain("b.example.com")) == []
    assert await dead(store, since_ms=NOW_MS + 11) == [second.id]
    assert await dead(store, until_ms=NOW_MS + 20) == [first.id]
    assert await dead(store, id=first.id) == [first.id]


async def test_a_page_goes_on_where_the_last_one_ended(store: Store) -> None:
    jobs = [await ended(store, number) for number in range(1, 4)]
    made = [await fail(store, job, index, NOW_MS + 5) for job in jobs for index in (0, 1)]
    seen: list[str] = []
    before = None
    while page := await dead(store, most=4, before=before):
        seen += page
        before = DeadLetterCursor(NOW_MS + 5, next(entry.id for entry in made if entry.id == page[-1]))
    assert seen == sorted((entry.id for entry in made), reverse=True)


@pytest.mark.parametrize("wanted", ["nonsense", "msg__0", "msg_job_1_1_x", "msg_job_1_1", "msg_job_1_99999"])
async def test_an_id_that_is_none_finds_nothing(store: Store, wanted: str) -> None:
    await fail(store, await ended(store, 1), 0, NOW_MS)
    assert await dead(store, id=wanted) == []


@pytest.mark.parametrize(
    ("wanted", "by"),
    [
        ({}, "INDEX deliveries_dead (customer=?"),
        ({"endpoint": TargetDomain("a.example.com")}, "INDEX deliveries_dead_at (customer=? AND endpoint=?"),
        ({"id": DeliveryId("msg_job_1_1_0")}, "PRIMARY KEY (job_id=? AND position=?)"),
    ],
)
async def test_however_they_are_chosen_an_index_finds_them(
    on_disk: SqliteStore, wanted: dict[str, Any], by: str
) -> None:
    read: list[str] = []
    on_disk.database.lanes._shown._connection.set_trace_callback(read.append)
    await dead(on_disk, **wanted)
    (query,) = (text for text in read if text.startswith("SELECT"))
    plan = await rows_of(on_disk, f"EXPLAIN QUERY PLAN {query}")
    assert by in plan[0][-1]
    assert "SCAN" not in str(plan)
    assert "TEMP B-TREE" not in str(plan) or "id" in wanted
