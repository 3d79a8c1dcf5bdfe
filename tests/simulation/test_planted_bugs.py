"""Bugs planted on purpose, each of which the checker has to name.

The first are those that such a system may have; the others are those that these simulations found in it.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.core.jobs import job_conclusion
from orchestrator.core.jobs.ending import children_of, ending_of
from orchestrator.core.jobs.job_cache import JobCache
from orchestrator.core.jobs.job_queueing import JobQueueing
from orchestrator.core.jobs.job_table import JobTable
from orchestrator.core.jobs.supervisor import JobSupervisor
from orchestrator.core.regions import peer
from orchestrator.core.regions.failure_detector import FailureDetector
from orchestrator.core.regions.peer import Peer
from orchestrator.core.shard import Shard
from orchestrator.core.targets.dispatcher import Dispatcher
from orchestrator.core.targets.step_at_target import StepAtTarget
from orchestrator.domain.execution import fallbacks, outcomes
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.health.routing import FENCED_AFTER_S, SELF_FENCE_AFTER_S
from orchestrator.domain.jobs.job import Job, JobSpec
from orchestrator.domain.jobs.policies import Guarantee
from orchestrator.messages.types import Heartbeat
from orchestrator.ports.store import Accepted, Duplicate, Ending, WaitingJob
from orchestrator.transport.mailbox import Mailbox
from regions.executor import Executor, ShardLease
from tests.simulation.checker import check
from tests.simulation.disk import DiskHandle, at_once
from tests.simulation.faults import Actor, Crash, Direction, Partition, SlowDisk
from tests.simulation.planting import Draw, Plants, must_be_caught, note_in, one_for_each_invariant
from tests.simulation.scenario import NetworkPlan, Scenario, scenario, with_a_region_for_its_own
from tests.simulation.specs import REGIONS
from tests.simulation.world import simulate

NO_PERMIT = -1

PLANTS: Plants = {}
breaks = partial(note_in, PLANTS)


def crashing(*actors: str, every_s: float) -> Draw:
    """Let actors crash in turn while slow targets are at work, over a network on which much is late."""

    def draw(seed: int) -> Scenario:
        plan = scenario(seed)
        crashes = tuple(Crash(actor, 1.7 + every_s * turn, 0.05) for turn, actor in enumerate(actors * 3))
        slow = tuple(replace(t, temper=replace(t.temper, latency_s=(0.5, 4.0))) for t in plan.targets)
        network = replace(plan.network, late=0.3, late_most_s=3.0)
        return replace(plan, targets=slow, faults=crashes, network=network, calm_s=max(plan.calm_s, 15.0))

    return draw


def dying_with_a_slow_disk(seed: int) -> Scenario:
    """Let jobs that may be sent once be asked for, and the shard die again and again while nothing is
    written.
    """
    plan = scenario(seed)
    crashes = [1.5 + 3 * turn for turn in range(4)]
    faults = (*(SlowDisk(at - 1.0, 1.0) for at in crashes), *(Crash(Actor.SHARD, at, 0.05) for at in crashes))
    once = {"guarantee": Guarantee.AT_MOST_ONCE, "regions": REGIONS[:1], "fallback": None}
    jobs = tuple(replace(job, spec=replace(job.spec, **once)) for job in plan.jobs)
    return replace(plan, jobs=jobs, faults=faults, calm_s=max(plan.calm_s, 15.0))


def cut_off(seed: int) -> Scenario:
    """Cut the regions off in turn, for longer than it takes to give them up."""
    plan = scenario(seed)
    cuts = tuple(Partition(region, 1.5 + turn, 5.0 + turn) for turn, region in enumerate(REGIONS))
    return replace(plan, faults=cuts, calm_s=max(plan.calm_s, 8.0))


def with_one_for_its_own(seed: int) -> Scenario:
    """Cut the regions off in turn; one takes only jobs that name it."""
    return with_a_region_for_its_own(cut_off(seed), Random(seed), share=1.0)


def deafened(seed: int) -> Scenario:
    """Let every region be heard and not hear, over a network that is fast when it is mended."""
    plan = scenario(seed)
    cuts = tuple(
        Partition(region, 1.5 + 3 * turn, 4.0 + 3 * turn, Direction.FROM_SHARD)
        for turn, region in enumerate(REGIONS * 2)
    )
    network = NetworkPlan(base_s=tuple((region, 0.0002) for region in REGIONS), jitter_s=0.0002)
    return replace(plan, faults=cuts, network=network, calm_s=max(plan.calm_s, 20.0))


def unreached(seed: int) -> Scenario:
    """Let no batch come to the regions, in turn, while their heartbeats are heard and answered."""
    plan = deafened(seed)
    cuts = tuple(
        Partition(region, 1.5 + 12 * turn, 11.5 + 12 * turn, Direction.BATCHES)
        for turn, region in enumerate(REGIONS)
    )
    return replace(plan, faults=cuts, calm_s=max(plan.calm_s, 45.0))


def refused(seed: int) -> Scenario:
    """Let no batch come to the regions in turn, till their leases are refused, and not till they are down."""
    plan = deafened(seed)
    slow = tuple(replace(t, temper=replace(t.temper, latency_s=(0.5, 4.0))) for t in plan.targets)
    begins = [1.0 + 1.3 * turn for turn in range(8)]
    cuts = tuple(
        Partition(REGIONS[turn % len(REGIONS)], at_s, at_s + 2.4, Direction.BATCHES)
        for turn, at_s in enumerate(begins)
    )
    return replace(plan, targets=slow, faults=cuts)


@breaks("nothing_starts_after_the_end")
def a_cancel_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Dispatcher, "cancel", lambda self, attempt: None)


@breaks("fallbacks_begin_rightly")
def whatever_fails_begins_the_next_fallback(patch: pytest.MonkeyPatch) -> None:
    def next_step(whole: Course, spec: JobSpec, step: int, *_: Any, **__: Any) -> int | None:
        waits = step + 1 < len(spec.steps) and whole.runs[step + 1] is None
        return step + 1 if waits else None

    patch.setattr(fallbacks, "next_step", next_step)
    patch.setattr(outcomes, "next_step", next_step)


@breaks("every_receiver_is_told")
def a_row_of_the_outbox_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    def forget(*args: Any) -> Ending:
        whole = ending_of(*args)
        return replace(whole, outbox=whole.outbox[:-1])

    patch.setattr(job_conclusion, "ending_of", forget)


@breaks("children_are_born_once")
def a_child_is_spawned_twice(patch: pytest.MonkeyPatch) -> None:
    def twice(*args: Any) -> list[tuple[str, Job]]:
        return [*children_of(*args), *((place, _twin(child)) for place, child in children_of(*args))]

    patch.setattr(job_conclusion, "children_of", twice)


@breaks("children_are_born_once")
def a_child_is_born_without_the_body_that_was_set_aside(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(job_conclusion, "spawns", lambda job, state: False)


def _twin(child: Job) -> Job:
    return replace(child, idempotent_key=f"{child.idempotent_key} again")


@breaks("no_accepted_job_is_lost")
def a_job_is_acknowledged_before_its_commit(patch: pytest.MonkeyPatch) -> None:
    async def hurry(self: DiskHandle, job: Job) -> Accepted | Duplicate:
        self._post(lambda: self._disk.submit(self.rows, job) and None)
        return Accepted(job)

    patch.setattr(DiskHandle, "submit", hurry)


@breaks("at_most_once_is_kept")
def an_at_most_once_attempt_is_not_marked(patch: pytest.MonkeyPatch) -> None:
    async def forget(self: DiskHandle, mark: Mark) -> bool:
        return True

    patch.setattr(DiskHandle, "mark", forget)


@breaks("at_most_once_is_kept", dying_with_a_slow_disk)
def an_at_most_once_attempt_goes_before_its_mark(patch: pytest.MonkeyPatch) -> None:
    async def hurry(self: DiskHandle, mark: Mark) -> bool:
        self._post(lambda: at_once(self.rows.mark(mark)) and None)
        return True

    patch.setattr(DiskHandle, "mark", hurry)


@breaks("at_most_once_is_kept")
def a_mark_is_not_read_where_the_job_s_own_row_is_behind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DiskHandle, "note_course", lambda self, job_id, customer, state, course: None)
    recover = JobQueueing.recover

    async def overlook(self: JobQueueing, waiting: WaitingJob, mark: Mark | None = None) -> None:
        await recover(self, waiting, None)

    patch.setattr(JobQueueing, "recover", overlook)


@breaks("attempts_are_numbered_once")
def an_executor_forgets_what_it_ended(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Executor, "_remember", lambda self, attempt, early: None)


@breaks("nothing_fails_unexpectedly")
def an_overdue_job_is_taken_up_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(JobCache, "take", lambda self, job_id: self._jobs.get(job_id, (None,))[0])


@breaks("no_leg_waits_twice", cut_off)
def a_lost_attempt_leaves_its_ticket_behind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StepAtTarget, "take_claim", lambda self, attempt: None)


@breaks("only_what_was_submitted_is_sent")
def a_job_is_sent_without_the_body_that_was_set_aside(patch: pytest.MonkeyPatch) -> None:
    async def overlook(self: JobSupervisor) -> None:
        self.bare = False

    patch.setattr(JobSupervisor, "read_bodies", overlook)


@breaks("no_accepted_job_is_lost")
def a_turn_is_lost_while_a_body_is_read(patch: pytest.MonkeyPatch) -> None:
    async def forget(self: JobTable, supervisor: JobSupervisor, act: Callable[[], None]) -> None:
        await supervisor.read_bodies()

    patch.setattr(JobTable, "_read_and_do", forget)


@breaks("nothing_leaks")
def an_attempt_cancelled_before_its_first_step_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Executor, "_end_unbegun", lambda self, attempt: None)


@breaks("regions_are_kept_to", with_one_for_its_own)
def a_region_for_its_own_stands_in_for_others(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Peer, "only_named", property(lambda self: False, lambda self, value: None), raising=False)


@breaks("the_pace_is_never_exceeded", cut_off)
def a_stale_message_is_obeyed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Executor, "_obeys", lambda self, _start_at, _now: not self.lease_expired)


@breaks("no_job_is_in_a_loop", deafened)
def an_executor_whose_lease_ran_out_is_asked_again_at_once(patch: pytest.MonkeyPatch) -> None:
    # Mostly it shows before: by batches that do not arrive, and by what the executor's heartbeats say.
    patch.setattr(Mailbox, "stuck_s", lambda self: 0.0)
    patch.setattr(Peer, "has_closed_all", lambda self, beat: False)
    patch.setattr(Peer, "doubt", lambda self: None)


@breaks("little_goes_where_nothing_arrives", unreached)
def nobody_notices_that_batches_do_not_arrive(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mailbox, "stuck_s", lambda self: 0.0)


@breaks("little_goes_where_nothing_arrives", unreached)
def a_region_that_is_out_of_reach_is_up_as_soon_as_it_beats(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FailureDetector, "_unreachable", lambda self, peer: False)


@breaks("in_flight_is_never_exceeded", crashing(Actor.SHARD, every_s=4.0))
def a_late_heartbeat_tells_of_a_silence_that_is_over(patch: pytest.MonkeyPatch) -> None:
    def fenced(self: Peer, beat: Heartbeat) -> bool:
        return beat.heard_s is not None and beat.heard_s >= FENCED_AFTER_S

    patch.setattr(Peer, "has_closed_all", fenced)


@breaks("in_flight_is_never_exceeded", crashing(Actor.SHARD, every_s=4.0))
def a_node_counts_as_fenced_before_it_is(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(peer, "FENCED_AFTER_S", SELF_FENCE_AFTER_S / 2)


@breaks("in_flight_is_never_exceeded", crashing(Actor.SHARD, every_s=4.0))
def a_late_heartbeat_says_that_a_node_has_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Peer, "has_left", lambda self, beat: beat.incarnation == self.incarnation)


@breaks("nothing_leaks", refused)
def what_a_node_had_when_it_left_is_not_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FailureDetector, "_lose_what_was_left", lambda self, peer: None)


@breaks("a_leg_is_not_sent_twice")
def what_slept_on_disk_begins_anew(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(JobTable, "_take_up_again", lambda self, stored: self._supervise(stored.job, 0))


@breaks("no_accepted_job_is_lost")
def what_sleeps_on_disk_forgets_when_to_go_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(JobSupervisor, "lie_down", lambda self: self.timers.cancel_all())


@breaks("the_pace_is_never_exceeded")
def a_restart_starts_at_once(patch: pytest.MonkeyPatch) -> None:
    begin = Shard.begin

    async def hurry(self: Shard) -> None:
        await begin(self)
        self.targets.domains._held = False
        for domain in self.targets.domains.values():
            domain.release()

    patch.setattr(Shard, "begin", hurry)


@breaks("in_flight_is_never_exceeded", crashing(Actor.SHARD, every_s=4.0))
def an_executor_goes_on_for_a_dead_shard(patch: pytest.MonkeyPatch) -> None:
    def hear(self: ShardLease, epoch: int, sent: float, lease_s: float | None = None) -> None:
        self._heard_at, self.epoch = sent, epoch
        self.check()

    patch.setattr(ShardLease, "heard", hear)


@breaks("in_flight_is_never_exceeded", crashing(*REGIONS, every_s=1.1))
def a_late_heartbeat_of_a_dead_executor_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Peer, "outlived", lambda self, incarnation: False)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", one_for_each_invariant(PLANTS))
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    must_be_caught(PLANTS[name], monkeypatch)


def test_a_region_that_no_batch_reaches_keeps_every_promise() -> None:
    broken = [
        str(violation)
        for seed in range(10)
        for violation in check(unreached(seed), simulate(unreached(seed)))
    ]
    assert not broken
