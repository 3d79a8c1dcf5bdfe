"""What a job's end spawns is stored with it, or not at all."""

import pytest
from msgspec.structs import replace

from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.store import Accepted, Duplicate, Store
from tests.conformance.stores import Keeper, again, an_ending
from tests.unit.domain.builders import NOW_MS, a_job


async def test_children_are_stored_with_their_parents_end(keeper: Keeper) -> None:
    parent, first, second = a_job(1), a_job(2), a_job(3, retry_at=NOW_MS + 500)
    store = await keeper.open()
    await store.jobs.submit(parent)
    answers = await store.jobs.end(an_ending(parent, children=(first, second)))
    assert list(answers) == [Accepted(first), Accepted(second)]
    store = await keeper.open()
    waiting = {entry.id: entry.state for entry in await store.jobs.waiting()}
    assert waiting == {first.id: JobState.QUEUED, second.id: JobState.SCHEDULED}
    stored = await store.jobs.load(first.id)
    assert stored is not None
    assert stored.job == first


async def test_a_child_whose_key_is_known_is_not_stored_and_names_the_first_job(store: Store) -> None:
    parent, known = a_job(1), a_job(2)
    await store.jobs.submit(parent)
    await store.jobs.submit(known)
    child = again(known, 3, body="other")
    (answer,) = await store.jobs.end(an_ending(parent, children=(child,)))
    assert answer == Duplicate(known.id, JobState.QUEUED, payload_mismatch=True)
    assert await store.jobs.load(child.id) is None


async def test_of_two_children_with_one_key_the_first_is_stored(store: Store) -> None:
    parent, first = a_job(1), a_job(2)
    twin = again(first, 3)
    await store.jobs.submit(parent)
    answers = await store.jobs.end(an_ending(parent, children=(first, twin)))
    assert list(answers) == [Accepted(first), Duplicate(first.id, JobState.QUEUED, payload_mismatch=False)]


async def test_a_child_may_take_the_key_that_its_parent_frees(store: Store) -> None:
    parent = a_job(1)
    child = again(parent, 2)
    await store.jobs.submit(parent)
    (answer,) = await store.jobs.end(an_ending(parent, key_freed=True, children=(child,)))
    assert answer == Accepted(child)


async def test_an_end_that_comes_twice_spawns_once(store: Store) -> None:
    parent, child = a_job(1), a_job(2)
    await store.jobs.submit(parent)
    await store.jobs.end(an_ending(parent, children=(child,)))
    with pytest.raises(RuntimeError, match="has ended already"):
        await store.jobs.end(an_ending(parent, children=(again(child, 3),)))
    assert [entry.id for entry in await store.jobs.waiting()] == [child.id]


async def test_an_end_whose_child_cannot_be_stored_is_no_end(on_disk: SqliteStore) -> None:
    parent, other = a_job(1), a_job(2)
    await on_disk.jobs.submit(parent)
    await on_disk.jobs.submit(other)
    impostor = replace(a_job(3), id=other.id)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await on_disk.jobs.end(an_ending(parent, children=(impostor,)))
    stored = await on_disk.jobs.load(parent.id)
    assert stored is not None
    assert stored.state is JobState.QUEUED
