"""Several shards over one store, as a database server has it: commits that take their time, row locks, and
rows that one shard writes for another. Each test says when a commit comes through.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.adapters.memory.history import MemoryHistory
from orchestrator.adapters.memory.jobs import MemoryJobs
from orchestrator.adapters.memory.tables import Row, Tables
from orchestrator.adapters.memory.transactions import GivenUp, LockMode, Transaction, Transactions
from orchestrator.domain.cluster.lease import Beat
from orchestrator.domain.cluster.slots import SLOTS, slot_of
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.ids import AttemptId, JobId, ShardName, TargetDomain
from orchestrator.domain.jobs.job import Job, Webhook
from orchestrator.domain.jobs.policies import Guarantee
from orchestrator.domain.pace.overruling import Overruling, Pause
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.steering.learned import Learned
from orchestrator.domain.webhooks.fanout import DeliveryState, JobDelivery
from orchestrator.ports.store import Accepted, Duplicate, Fenced, StillBeating
from tests.conformance.stores import an_ending, an_entry, outbox_of
from tests.unit.domain.builders import ACME, IAD, NOW_MS, a_job

EAST, WEST = ShardName("east"), ShardName("west")
AT_EAST, AT_WEST = TargetDomain("api0.example.com"), TargetDomain("api2.example.com")
OWNERS = dict.fromkeys(range(SLOTS), EAST) | {slot_of(AT_WEST): WEST}
HOOKS = tuple(Webhook(url=f"https://{host}/", has_quorum_vote=True) for host in (AT_EAST, AT_WEST))


class Handle(MemoryJobs):
    """A shard's; what it commits comes through when the test lets it."""

    def __init__(self, tables: Tables, shard: ShardName) -> None:
        super().__init__(tables, shard, held_by_lock=False, commit_takes=self._come_through)
        self._comes_through = asyncio.Event()
        self._comes_through.set()
        self.under_way = 0

    async def _come_through(self) -> None:
        self.under_way += 1
        await self._comes_through.wait()
        self.under_way -= 1

    def hold_up(self) -> None:
        self._comes_through.clear()

    def let_through(self) -> None:
        self._comes_through.set()


class Stage:
    """One store, a shard in the east and one in the west."""

    def __init__(self) -> None:
        self.tables = Tables(OWNERS)
        self.east, self.west = Handle(self.tables, EAST), Handle(self.tables, WEST)
        self.history = MemoryHistory(self.tables)

    async def begin(self) -> None:
        await self.east.begin_epoch()
        await self.west.begin_epoch()


@pytest.fixture
async def stage() -> Stage:
    made = Stage()
    await made.begin()
    return made


@asynccontextmanager
async def held_up(handle: Handle, work: Any) -> AsyncIterator["asyncio.Task[Any]"]:
    """Begin something whose commit is on its way within the block, and comes through behind it."""
    handle.hold_up()
    before = handle.under_way
    task = asyncio.ensure_future(work)
    while handle.under_way == before and not task.done():  # noqa: ASYNC110  # it may end without a commit
        await asyncio.sleep(0)
    yield task
    handle.let_through()
    await asyncio.wait([task])


async def as_far_as_it_goes(work: Any) -> "asyncio.Task[Any]":
    task = asyncio.ensure_future(work)
    for _ in range(20):
        await asyncio.sleep(0)
    return task


def at(domain: TargetDomain, number: int = 1, **fields: Any) -> Job:
    return a_job(number, **({"url": f"https://{domain}/"} | fields))


def ids(found: Sequence[Any]) -> list[JobId]:
    return [each.id for each in found]


async def test_who_takes_a_shard_over_waits_for_a_commit_on_its_way_and_reads_it(
    stage: Stage,
) -> None:
    successor = Handle(stage.tables, EAST)
    async with held_up(stage.east, stage.east.submit(job := at(AT_EAST))) as submitting:
        taking = await as_far_as_it_goes(successor.begin_epoch())
        assert not taking.done()
    assert submitting.result() == Accepted(job)
    assert await taking == 2
    assert ids(await successor.waiting()) == [job.id]


async def test_what_comes_after_a_take_over_has_begun_is_fenced_when_that_is_committed(stage: Stage) -> None:
    successor = Handle(stage.tables, EAST)
    async with held_up(successor, successor.begin_epoch()):
        late = await as_far_as_it_goes(stage.east.submit(at(AT_EAST)))
        assert not late.done()
    with pytest.raises(Fenced):
        await late
    assert await successor.waiting() == []


async def test_a_take_over_that_is_given_up_fences_nobody(stage: Stage) -> None:
    successor = Handle(stage.tables, EAST)
    successor.hold_up()
    taking = await as_far_as_it_goes(successor.begin_epoch())
    late = await as_far_as_it_goes(stage.east.submit(job := at(AT_EAST)))
    taking.cancel()
    assert await late == Accepted(job)


async def test_a_beat_that_is_on_its_way_keeps_the_shard(stage: Stage) -> None:
    successor = Handle(stage.tables, EAST)
    seen = await successor.last_beat()
    async with held_up(stage.east, stage.east.beat()):
        taking = await as_far_as_it_goes(successor.begin_epoch(seen))
        assert not taking.done()
    with pytest.raises(StillBeating):
        await taking
    assert await stage.east.last_beat() == Beat(1, 1)


async def test_shards_do_not_wait_for_each_other(stage: Stage) -> None:
    async with held_up(stage.east, stage.east.submit(at(AT_EAST))):
        assert isinstance(await stage.west.submit(at(AT_WEST, 2)), Accepted)
        assert await Handle(stage.tables, WEST).begin_epoch() == 2


async def test_a_mark_is_written_under_the_epoch_of_the_target_s_shard(stage: Stage) -> None:
    job = at(AT_EAST, method="POST", guarantee=Guarantee.AT_MOST_ONCE)
    await stage.east.submit(job)
    fallback = Mark(
        job=job.id, attempt=AttemptId("west:1.1"), step=1, region=IAD, slot=slot_of(AT_WEST), epoch=1
    )
    await Handle(stage.tables, WEST).begin_epoch()
    with pytest.raises(Fenced):
        await stage.west.mark(fallback)
    assert await stage.east.marks() == {}
    assert stage.east.fenced is False, "the job's own shard is as it was"


async def test_each_shard_has_what_is_in_its_slots(stage: Stage) -> None:
    jobs = {EAST: at(AT_EAST, 1, webhooks=HOOKS), WEST: at(AT_WEST, 2, webhooks=HOOKS)}
    for handle, job in zip((stage.east, stage.west), jobs.values(), strict=True):
        await handle.submit(job)
        handle.note_pace(job.domain, Learned(pace=Pace(5.0, 3)))
        await handle.save_overruling(job.domain, Overruling(pause=Pause(at_ms=1, by="key")), an_entry())
        assert ids(await handle.waiting()) == [job.id]
        assert await handle.overdue(2**62, 10) == [job.id]
        assert list(await handle.paces()) == list(await handle.overrulings()) == [job.domain]
    await stage.east.end(an_ending(jobs[EAST]))
    for handle, domain in ((stage.east, AT_EAST), (stage.west, AT_WEST)):
        assert [entry.endpoint for entry in await handle.outbox()] == [domain]


async def test_what_one_writes_for_another_is_news_there(stage: Stage) -> None:
    await stage.east.submit(parent := at(AT_EAST, 1, webhooks=HOOKS))
    child = at(AT_WEST, 2)
    await stage.east.end(an_ending(parent, children=(child,)))
    news = await stage.west.news()
    assert (ids(news.jobs), [entry.endpoint for entry in news.deliveries]) == ([child.id], [AT_WEST])
    again = await stage.west.news()
    assert (again.jobs, again.deliveries) == ([], [])


async def test_what_has_ended_or_was_delivered_meanwhile_is_no_news(stage: Stage) -> None:
    await stage.east.submit(parent := at(AT_EAST, 1, webhooks=HOOKS))
    await stage.east.end(an_ending(parent, children=(child := at(AT_WEST, 2),)))
    await stage.west.end(an_ending(child))
    await stage.west.save_delivery(replace(outbox_of(parent)[1], state=DeliveryState.DELIVERED))
    news = await stage.west.news()
    assert (news.jobs, news.deliveries) == ([], [])


async def test_a_row_whose_commit_comes_late_is_news_all_the_same(stage: Stage) -> None:
    async with held_up(stage.east, stage.east.submit(early := at(AT_WEST, 1))):
        await stage.west.submit(later := at(AT_WEST, 2))
        assert ids((await stage.west.news()).jobs) == [later.id]
    assert early.id in ids((await stage.west.news()).jobs)


async def test_a_row_that_was_on_its_way_at_a_take_over_is_news(stage: Stage) -> None:
    async with held_up(stage.east, stage.east.submit(job := at(AT_WEST))):
        successor = Handle(stage.tables, WEST)
        await successor.begin_epoch()
        assert await successor.waiting() == []
    assert ids((await successor.news()).jobs) == [job.id]


class ByTheLatestNumber(Handle):
    """Looks for rows behind the latest that it has seen: the bug that ``oldest_open`` is there for."""

    latest = 0

    async def look(self) -> list[JobId]:
        rows: list[Row] = [row for row in self._ours() if row.inserted_by > self.latest]
        self.latest = max([self.latest, *(row.inserted_by for row in rows)])
        return [row.job.id for row in rows]


async def test_a_look_by_the_latest_number_would_miss_it(stage: Stage) -> None:
    looker = ByTheLatestNumber(stage.tables, WEST)
    async with held_up(stage.east, stage.east.submit(at(AT_WEST, 1))):
        await stage.west.submit(later := at(AT_WEST, 2))
        assert await looker.look() == [later.id]
    assert await looker.look() == []


async def test_of_two_submissions_with_one_key_the_second_waits_for_the_first_and_duplicates_it(
    stage: Stage,
) -> None:
    first, second = at(AT_EAST, 1, key="k"), at(AT_EAST, 2, key="k")
    async with held_up(stage.east, stage.east.submit(first)) as submitting:
        waiting = await as_far_as_it_goes(stage.west.submit(second))
        assert not waiting.done()
    assert submitting.result() == Accepted(first)
    found = await waiting
    assert isinstance(found, Duplicate)
    assert (found.job_id, found.payload_mismatch) == (first.id, False)


async def test_where_the_first_is_given_up_the_second_is_taken(stage: Stage) -> None:
    first, second = at(AT_EAST, 1, key="k"), at(AT_EAST, 2, key="k")
    stage.east.hold_up()
    submitting = await as_far_as_it_goes(stage.east.submit(first))
    waiting = await as_far_as_it_goes(stage.west.submit(second))
    submitting.cancel()
    assert await waiting == Accepted(second)


async def test_where_an_end_that_is_on_its_way_frees_a_key_who_waits_for_it_is_taken(stage: Stage) -> None:
    first, second = at(AT_EAST, 1, key="k"), at(AT_EAST, 2, key="k")
    await stage.east.submit(first)
    async with held_up(stage.east, stage.east.end(an_ending(first, key_freed=True))):
        waiting = await as_far_as_it_goes(stage.west.submit(second))
        assert not waiting.done()
    assert await waiting == Accepted(second)


async def test_groups_that_share_keys_in_any_order_do_not_wait_for_each_other_for_ever(stage: Stage) -> None:
    keys = [f"k{number}" for number in range(6)]
    groups = [
        [at(AT_EAST, 10 * turn + number, key=key) for number, key in enumerate(order)]
        for turn, order in enumerate((keys, keys[::-1], keys[3:] + keys[:3]))
    ]
    handles = (stage.east, stage.west, Handle(stage.tables, EAST))
    taken = await asyncio.wait_for(
        asyncio.gather(*(h.submit_many(group) for h, group in zip(handles, groups, strict=True))), 5.0
    )
    accepted = [answer for answers in taken for answer in answers if isinstance(answer, Accepted)]
    assert len(accepted) == len(keys) == len(stage.tables.rows)


async def two_votes(stage: Stage, west: Handle) -> JobDelivery:
    """Let two receivers in two shards be told at once, each with a vote, where both votes are needed."""
    await stage.east.submit(job := at(AT_EAST, webhooks=HOOKS, webhook_quorum=2))
    await stage.east.end(an_ending(job))
    delivered = [replace(entry, state=DeliveryState.DELIVERED) for entry in outbox_of(job)]
    async with held_up(stage.east, stage.east.save_delivery(delivered[0])):
        second = await as_far_as_it_goes(west.save_delivery(delivered[1]))
    await second
    line = await stage.history.summary(job.id, NOW_MS)
    assert line is not None
    return line.delivery


async def test_two_votes_that_are_saved_at_once_are_both_counted(stage: Stage) -> None:
    assert await two_votes(stage, stage.west) is JobDelivery.DELIVERED


class WithoutTheLock(Handle):
    """Reads the other deliveries without locking their job's row: the bug that the lock is there for."""

    async def _lock_job(self, transaction: Transaction, job_id: JobId) -> Row:
        return self._tables.rows[job_id]


async def test_without_the_lock_one_of_two_votes_would_be_lost(stage: Stage) -> None:
    west = WithoutTheLock(stage.tables, WEST)
    assert await two_votes(stage, west) is JobDelivery.PENDING


async def test_a_customer_is_one_whichever_shard_asks(stage: Stage) -> None:
    await stage.east.submit(at(AT_EAST, 1))
    await stage.west.submit(at(AT_WEST, 2))
    found = [await handle.duplicates_of([at(AT_EAST, 3, key="key-1")]) for handle in (stage.east, stage.west)]
    assert all(isinstance(first, Duplicate) for (first,) in found)
    assert {row.job.customer for row in stage.tables.rows.values()} == {ACME}


async def test_locks_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    transactions, order = Transactions(), []

    async def hold(name: str, mode: LockMode) -> None:
        transaction = transactions.begin()
        await transaction.lock("row", mode)
        order.append(name)
        await asyncio.sleep(0)
        transaction.end()

    shared, alone = LockMode.SHARED, LockMode.ALONE
    asked = (("a", shared), ("b", shared), ("c", alone), ("d", shared), ("e", alone))
    await asyncio.gather(*(hold(name, mode) for name, mode in asked))
    assert order == ["a", "b", "c", "d", "e"]
    assert not transactions.locks._locks


async def test_what_was_given_up_is_not_written() -> None:
    transactions, written = Transactions(), []
    transaction = transactions.begin()
    transaction.write(lambda: written.append(1))
    transaction.end()
    with pytest.raises(GivenUp):
        transaction.commit()
    assert written == []


async def test_whoever_waits_for_a_row_is_told_when_its_transaction_is_given_up() -> None:
    transactions = Transactions()
    first, second = transactions.begin(), transactions.begin()
    await first.lock("row", LockMode.ALONE)
    waiting = await as_far_as_it_goes(second.lock("row", LockMode.ALONE))
    second.end()
    with pytest.raises(GivenUp):
        await waiting
    first.end()
    assert not transactions.locks._locks
