"""Watching a job through the gateway: subscribe at its owner, then read; anew at each life of the owner."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from random import Random

import pytest

from orchestrator.adapters.memory.history import MemoryHistory
from orchestrator.core.gateway.gateway import Gateway
from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.core.gateway.watching import READ_EVERY_S, JobFollower
from orchestrator.core.jobs.job_notifier import Watch
from orchestrator.core.views import JobView
from orchestrator.domain.errors import NotFound
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from orchestrator.ports.store import StoredJob
from tests.support.rig import IAD, LAX, ORD, Reply, Rig, RigJobs, in_virtual_time

ACME = CustomerId("cust_acme")
PATIENCE_S = 60.0


class Owner(LocalShard):
    """The rig's shard of the moment. A ``deaf`` one's notices are lost on their way."""

    def __init__(self, rig: Rig, *, deaf: bool = False) -> None:
        super().__init__(rig.shard)
        self._deaf = deaf

    def succeeded_by(self, rig: Rig) -> None:
        """From now on the rig's new shard answers."""
        super().__init__(rig.shard)

    @contextlib.contextmanager
    def watch(self, job_id: JobId) -> Iterator[Watch]:
        if self._deaf:
            yield Watch()
        else:
            with super().watch(job_id) as watch:
                yield watch


class AnyTarget:
    """Lets every target be called."""

    async def refusals(self, urls: Sequence[str]) -> Mapping[str, str]:
        assert urls
        return {}


def gateway_of(rig: Rig, owner: Owner | None = None) -> Gateway:
    return Gateway(
        owner or Owner(rig),
        rig.store,
        rig.clock,
        guard=AnyTarget(),
        random=Random(3),
        bounds=SubmissionBounds(),
        regions=(IAD, LAX, ORD),
    )


async def seen_to_end(follower: JobFollower) -> None:
    with follower:
        while not follower.over:
            await follower.news(PATIENCE_S)


def answering_after(rig: Rig, seconds: float) -> None:
    rig.answer = lambda call: Reply(after_s=seconds)


@in_virtual_time()
async def test_an_end_is_noticed_when_it_is_on_disk(rig: Rig) -> None:
    answering_after(rig, 17.0)
    gateway, job_id = gateway_of(rig), await rig.submit()
    follower = await gateway.jobs.follow(ACME, job_id)
    await asyncio.gather(seen_to_end(follower), gateway.jobs.wait_for_end(ACME, job_id, PATIENCE_S))
    assert follower.stored.state is JobState.SUCCESS
    assert 17.0 <= rig.loop.time() < 17.5


@in_virtual_time()
async def test_what_happens_while_the_row_is_read_for_the_first_time_is_noticed(rig: Rig) -> None:
    answering_after(rig, 1.0)
    gateway, job_id = gateway_of(rig), await rig.submit()
    follower = await gateway.jobs.follow(ACME, job_id)
    look = MemoryHistory.look

    async def slow(history: MemoryHistory, job_id: JobId, reader: CustomerId) -> StoredJob | None:
        stored = await look(history, job_id, reader)
        await asyncio.sleep(2.0)
        return stored

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryHistory, "look", slow)
        await seen_to_end(follower)
    # Read by 2 s, ended at 1 s, and read again at once: not when it is time to read anyway.
    assert rig.loop.time() < 4.5


@in_virtual_time()
async def test_an_end_whose_notice_is_lost_is_seen_when_the_row_is_read_next(rig: Rig) -> None:
    answering_after(rig, 6.0)
    gateway, job_id = gateway_of(rig, Owner(rig, deaf=True)), await rig.submit()
    follower = await gateway.jobs.follow(ACME, job_id)
    await asyncio.gather(seen_to_end(follower), gateway.jobs.wait_for_end(ACME, job_id, PATIENCE_S))
    assert follower.stored.state is JobState.SUCCESS
    assert rig.loop.time() < 11.5


@in_virtual_time()
async def test_the_owners_next_life_is_subscribed_at_anew(rig: Rig) -> None:
    answering_after(rig, 17.0)
    owner = Owner(rig)
    gateway, job_id = gateway_of(rig, owner), await rig.submit()
    follower = await gateway.jobs.follow(ACME, job_id)
    watching = asyncio.ensure_future(
        asyncio.gather(seen_to_end(follower), gateway.jobs.wait_for_end(ACME, job_id, PATIENCE_S))
    )
    await asyncio.sleep(1.0)
    before = rig.shard
    assert len(before.jobs.board) == 1
    await rig.restart()
    owner.succeeded_by(rig)
    await asyncio.sleep(READ_EVERY_S)
    assert (len(before.jobs.board), len(rig.shard.jobs.board)) == (0, 1)
    await watching
    ended_ms = follower.stored.ended_ms or 0
    assert follower.stored.state is JobState.SUCCESS
    assert rig.clock.unix_ms() - ended_ms < 500


@in_virtual_time()
async def test_who_gives_up_waiting_leaves_nothing_behind(rig: Rig) -> None:
    answering_after(rig, 29.0)
    gateway, job_id = gateway_of(rig), await rig.submit()
    await gateway.jobs.wait_for_end(ACME, job_id, 12.0)
    assert rig.loop.time() == pytest.approx(12.0)
    assert len(rig.shard.jobs.board) == 0


@in_virtual_time()
async def test_nothing_is_read_while_nothing_happens_but_every_five_seconds(rig: Rig) -> None:
    answering_after(rig, 29.0)
    gateway, job_id = gateway_of(rig), await rig.submit()
    follower = await gateway.jobs.follow(ACME, job_id)
    await asyncio.sleep(1.0)
    with follower:
        read = [await follower.news(1.0) for _ in range(12)]
    assert read == [True, *[False] * 4, True, *[False] * 4, True, False]


@in_virtual_time()
async def test_another_customers_job_is_not_subscribed_at(rig: Rig) -> None:
    gateway, job_id = gateway_of(rig), await rig.submit()
    other = CustomerId("cust_other")
    with pytest.raises(NotFound):
        await gateway.jobs.wait_for_end(other, job_id, PATIENCE_S)
    with pytest.raises(NotFound):
        await gateway.jobs.follow(other, job_id)
    assert len(rig.shard.jobs.board) == 0


@in_virtual_time()
async def test_a_job_is_shown_as_its_owner_knows_it(
    rig: Rig,
) -> None:
    """What rides the next commit is not on disk yet."""
    answering_after(rig, 5.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RigJobs, "note_course", lambda *_: None)
        job_id = await rig.submit()
        await asyncio.sleep(1.0)
        view = await gateway_of(rig).jobs.show(ACME, job_id)
    assert (await rig.show(job_id)).state is JobState.QUEUED
    assert isinstance(view, JobView)
    assert view.stored.state is JobState.RUNNING
    assert view.stored.course is not None
    assert view.stored.course.made == 1
