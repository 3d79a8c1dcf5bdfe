"""What is read for somebody to look at: nothing large, unless it is asked for."""

import asyncio
import threading

import pytest

from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.ids import CustomerId
from orchestrator.ports.store import Store
from tests.conformance.stores import SqliteKeeper, add_key, an_ending
from tests.unit.domain.builders import ACME, NOW_MS, a_job

LARGE = b"x" * (LARGE_BYTES + 1)
BETA = CustomerId("cust_beta")


@pytest.mark.parametrize("reader", [None, ACME])
async def test_a_large_result_is_left_out_and_read_by_itself(store: Store, reader: CustomerId | None) -> None:
    job = a_job()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job, result=LARGE))

    seen = await store.history.look(job.id, reader)

    assert seen is not None
    assert (seen.job, seen.result) == (job, None)
    assert seen.result_bytes >= len(LARGE)
    assert await store.history.result(job.id, reader) == LARGE


async def test_a_small_result_comes_along(store: Store) -> None:
    job = a_job()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job, result=b"{}"))

    seen = await store.history.look(job.id, ACME)

    assert seen is not None
    assert seen.result == b"{}"


async def test_who_has_not_ended_has_no_result(store: Store) -> None:
    job = a_job()
    await store.jobs.submit(job)

    seen = await store.jobs.look(job.id)

    assert seen is not None
    assert (seen.result, seen.result_bytes, await store.jobs.result(job.id)) == (None, 0, None)
    assert await store.jobs.look(a_job(2).id) is None
    assert await store.jobs.result(a_job(2).id) is None


class Held:
    """A read that lasts until it may end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.begun = asyncio.Event()
        self.may_end = threading.Event()

    def __call__(self, _db: object) -> None:
        self._loop.call_soon_threadsafe(self.begun.set)
        self.may_end.wait(20)


async def test_what_customers_look_at_holds_up_neither_keys_nor_jobs(
    directory: SqliteKeeper, on_disk: SqliteStore
) -> None:
    job, (key, _) = a_job(), await add_key(directory, BETA)
    await on_disk.jobs.submit(job)
    held = Held(asyncio.get_running_loop())
    looking = asyncio.ensure_future(on_disk.database.lanes.shown(ACME, held))
    await held.begun.wait()

    try:
        async with asyncio.timeout(20):
            assert await on_disk.customers.caller_of(key, NOW_MS) is not None
            assert await on_disk.jobs.load(job.id) is not None
            assert await on_disk.customers.secrets(BETA) is None
        assert not looking.done()
    finally:
        held.may_end.set()
        await looking


async def test_who_looks_a_hundred_times_waits_for_himself_alone(on_disk: SqliteStore) -> None:
    job = a_job()
    await on_disk.jobs.submit(job)
    held = Held(asyncio.get_running_loop())
    first = asyncio.ensure_future(on_disk.database.lanes.shown(ACME, held))
    await held.begun.wait()
    seen: list[CustomerId] = []

    async def look(reader: CustomerId) -> None:
        await on_disk.history.look(job.id, reader)
        seen.append(reader)

    looks = [asyncio.ensure_future(look(reader)) for reader in [ACME] * 100 + [BETA]]
    await asyncio.sleep(0)
    held.may_end.set()
    await asyncio.gather(first, *looks)

    assert seen.index(BETA) <= 1
