"""Bugs of take-overs, planted on purpose: a shard is stopped, or cut off from its store alone, while another
process waits for it. The checker has to name each.
"""

from functools import partial

import pytest
from msgspec.structs import replace

from orchestrator.adapters.memory.shard import MemoryShard
from orchestrator.adapters.memory.transactions import Transactions
from orchestrator.core.shards.remote_targets import RemoteTargets
from orchestrator.core.targets.marker import Marker
from orchestrator.domain.cluster.lease import LEASE_S, HeldLease
from orchestrator.domain.jobs.policies import Guarantee
from orchestrator.ports.store import OutboxEntry, delivery_of
from tests.simulation.checker import check
from tests.simulation.disk import DiskHandle
from tests.simulation.faults import Actor, CutFromStore, Stall, StandBy
from tests.simulation.planting import Plants, must_be_caught, note_in, one_for_each_invariant
from tests.simulation.scenario import Scenario
from tests.simulation.specs import REGIONS
from tests.simulation.test_planted_between_shards import two_shards
from tests.simulation.world import simulate

LASTS_S = 12.0
TIMES = {Actor.SHARD: 3.0, Actor.OTHER_SHARD: 3.0 + LASTS_S + 4.0}


def taken_over(number: int, how: type[Stall] | type[CutFromStore]) -> Scenario:
    """Let each shard be taken over in turn, while slow targets are at work and many jobs wait."""
    plan = two_shards(number)
    faults = (*(StandBy(*it) for it in TIMES.items()), *(how(*it, LASTS_S) for it in TIMES.items()))
    slow = tuple(replace(t, temper=replace(t.temper, latency_s=(0.5, 3.0))) for t in plan.targets)
    calm_s = max(plan.calm_s, max(TIMES.values()) + LASTS_S + 5.0)
    return replace(plan, targets=slow, faults=faults, calm_s=calm_s)


stopped = partial(taken_over, how=Stall)
cut_off = partial(taken_over, how=CutFromStore)


def stopped_once(number: int) -> Scenario:
    """The same, where nothing may be sent twice."""
    plan = stopped(number)
    once = {"guarantee": Guarantee.AT_MOST_ONCE, "regions": REGIONS[:1], "fallback": None}
    return replace(plan, jobs=tuple(replace(job, spec=replace(job.spec, **once)) for job in plan.jobs))


def committing_slowly(number: int) -> Scenario:
    """Let commits overtake each other, and nothing else go wrong."""
    return replace(two_shards(number), disk_s=(0.02, 0.8), faults=())


PLANTS: Plants = {}
breaks = partial(note_in, PLANTS)


@breaks("every_receiver_is_told", stopped)
def a_commit_goes_through_across_a_take_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryShard, "fenced", property(lambda self: False))


@breaks("the_pace_is_never_exceeded", cut_off)
def a_shard_that_is_cut_off_from_its_store_alone_goes_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HeldLease, "left_s", lambda self, now: LEASE_S)


@breaks("the_pace_is_never_exceeded", stopped)
def a_stale_owner_still_sends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HeldLease, "left_s", lambda self, now: LEASE_S)
    patch.setattr(MemoryShard, "fenced", property(lambda self: False))


@breaks("marks_are_of_the_epoch_in_force", stopped_once)
def a_mark_is_written_under_the_epoch_before(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Marker, "begin", lambda self, epoch: setattr(self, "_epoch", max(1, epoch - 1)))


@breaks("every_receiver_is_told", committing_slowly)
def a_look_misses_a_row_whose_commit_came_late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RemoteTargets, "announce", lambda self, news: None)
    patch.setattr(Transactions, "oldest_open", property(lambda self: self._begun + 1))


@breaks("the_delivery_state_is_true", committing_slowly)
def of_two_votes_that_are_saved_at_once_neither_sees_the_other(patch: pytest.MonkeyPatch) -> None:
    async def without_the_lock(self: DiskHandle, entry: OutboxEntry) -> None:
        # The others' votes are read as the transaction begins.
        others = self._disk.tables.outbox[entry.job_id]
        entries = [entry if other.index == entry.index else other for other in others]

        def write() -> None:
            row = self._disk.tables.rows[entry.job_id]
            self.rows._put_deliveries(row, {entry.index: entry}, delivery_of(row.job, row.state, entries))

        await self._write(write)

    patch.setattr(DiskHandle, "save_delivery", without_the_lock)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", one_for_each_invariant(PLANTS))
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    must_be_caught(PLANTS[name], monkeypatch)


@pytest.mark.parametrize("draw", [stopped, cut_off], ids=["stopped", "cut off"])
def test_every_promise_is_kept_while_both_shards_are_taken_over(draw: partial[Scenario]) -> None:
    plan = draw(0)
    history = simulate(plan)
    assert not check(plan, history)
    assert history.counts["taken over"] == len(TIMES)


def test_what_was_announced_and_lost_is_found_however_late_its_commit_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RemoteTargets, "announce", lambda self, news: None)
    for number in range(2):
        plan = committing_slowly(number)
        assert not check(plan, simulate(plan))
