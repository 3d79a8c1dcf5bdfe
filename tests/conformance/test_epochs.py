"""A shard has one owner: what it writes is written in its epoch, or not at all."""

from collections.abc import Awaitable, Callable

import pytest

from orchestrator.domain.access.usage import DayUsage
from orchestrator.domain.cluster.lease import Beat
from orchestrator.domain.cluster.slots import slot_of
from orchestrator.domain.execution.course import begin_course
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.ids import AttemptId
from orchestrator.domain.jobs.job import Job, Webhook
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import Guarantee
from orchestrator.domain.pace.overruling import Overruling
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.steering.learned import Learned
from orchestrator.ports.store import Fenced, JobStore, StillBeating, Store, StoreFailure
from tests.conformance.stores import Keeper, a_course, an_ending, an_entry, outbox_of
from tests.unit.domain.builders import ACME, IAD, NOW_MS, a_job

OPEN = a_job(1, method="POST", guarantee=Guarantee.AT_MOST_ONCE)
ENDED = a_job(2, webhooks=(Webhook(url="https://a.example.com/"),))
MARK = Mark(
    job=OPEN.id, attempt=AttemptId("shard-0:1.1"), step=0, region=IAD, slot=slot_of(OPEN.domain), epoch=1
)
WRITES: dict[str, Callable[[JobStore], Awaitable[object]]] = {
    "a submission": lambda jobs: jobs.submit(a_job(3)),
    "several submissions": lambda jobs: jobs.submit_many([a_job(3), a_job(4)]),
    "a course": lambda jobs: jobs.save_course(OPEN.id, ACME, JobState.RUNNING, a_course(OPEN)),
    "a mark": lambda jobs: jobs.mark(MARK),
    "an end": lambda jobs: jobs.end(an_ending(OPEN)),
    "a delivery": lambda jobs: jobs.save_delivery(outbox_of(ENDED)[0]),
    "deliveries": lambda jobs: jobs.reopen_deliveries(outbox_of(ENDED)),
    "what an operator says": lambda jobs: jobs.save_overruling(OPEN.domain, Overruling(), an_entry()),
    "a beat": lambda jobs: jobs.beat(),
}
"""All that a shard writes and waits for."""


@pytest.fixture
async def owner(keeper: Keeper) -> Store:
    """A shard that has its epoch, and an open job and one that has ended."""
    store = await keeper.open()
    await store.jobs.begin_epoch()
    await store.jobs.submit(OPEN)
    await store.jobs.submit(ENDED)
    await store.jobs.end(an_ending(ENDED))
    return store


async def contents(store: Store) -> tuple[object, ...]:
    jobs = store.jobs
    return (
        await jobs.waiting(),
        await jobs.load(OPEN.id),
        await jobs.load(ENDED.id),
        await jobs.marks(),
        await jobs.outbox(),
        await jobs.paces(),
        await jobs.overrulings(),
        await store.history.domains_of(ACME, 10),
        await store.history.usage_of(ACME, 0),
    )


@pytest.mark.parametrize("what", WRITES)
async def test_what_was_taken_over_writes_nothing_any_more(keeper: Keeper, owner: Store, what: str) -> None:
    other = await keeper.open_another()
    assert await other.jobs.begin_epoch() == 2
    before = await contents(other)
    with pytest.raises(Fenced, match="was taken over"):
        await WRITES[what](owner.jobs)
    assert await contents(other) == before
    assert owner.lost is not None
    assert "taken over" in owner.lost
    await WRITES[what](other.jobs)


async def test_notes_of_what_was_taken_over_are_lost(keeper: Keeper, owner: Store) -> None:
    other = await keeper.open_another()
    await other.jobs.begin_epoch()
    before = await contents(other)
    owner.jobs.note_course(OPEN.id, ACME, JobState.RUNNING, a_course(OPEN))
    owner.jobs.note_timeline(ENDED.id, ACME, begin_course(ENDED.spec))
    owner.jobs.note_pace(OPEN.domain, Learned(pace=Pace(1.0, 1)))
    owner.jobs.note_domain(ACME, OPEN.domain)
    owner.jobs.note_usage(ACME, DayUsage(day=1, accepted=1))
    with pytest.raises(StoreFailure):
        await owner.jobs.beat()
    assert await contents(other) == before


async def test_whoever_takes_a_shard_reads_all_that_was_committed_before(
    keeper: Keeper, owner: Store
) -> None:
    await owner.jobs.mark(MARK)
    other = await keeper.open_another()
    await other.jobs.begin_epoch()
    assert await other.jobs.marks() == {OPEN.id: MARK}
    assert [waiting.id for waiting in await other.jobs.waiting()] == [OPEN.id]


async def test_epochs_count_on_from_one_owner_to_the_next(keeper: Keeper, owner: Store) -> None:
    assert await owner.jobs.last_beat() == Beat(1, 0)
    await owner.jobs.beat()
    other = await keeper.open_another()
    assert await other.jobs.last_beat() == Beat(1, 1)
    assert await other.jobs.begin_epoch(Beat(1, 1)) == 2
    await other.jobs.beat()
    assert await other.jobs.last_beat() == Beat(2, 2)


async def test_who_has_beaten_since_one_looked_is_not_taken_over(keeper: Keeper, owner: Store) -> None:
    other = await keeper.open_another()
    seen = await other.jobs.last_beat()
    await owner.jobs.beat()
    with pytest.raises(StillBeating):
        await other.jobs.begin_epoch(seen)
    await owner.jobs.beat()
    assert await owner.jobs.last_beat() == Beat(1, 2)
    assert owner.lost is None


async def test_who_was_taken_over_meanwhile_is_not_taken_over_again(keeper: Keeper, owner: Store) -> None:
    first, second = await keeper.open_another(), await keeper.open_another()
    seen = await first.jobs.last_beat()
    assert await first.jobs.begin_epoch(seen) == 2
    with pytest.raises(StillBeating):
        await second.jobs.begin_epoch(seen)


async def test_a_store_that_nobody_had_has_no_beat(store: Store) -> None:
    assert await store.jobs.last_beat() == Beat(0, 0)
    job: Job = a_job()
    await store.jobs.submit(job)
    assert job.accepted_ms == NOW_MS, "what takes no epoch is no shard, and is not fenced"
