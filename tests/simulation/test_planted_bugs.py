"""Bugs planted on purpose, each of which the checker has to name.

The first are those that such a system may have; the others are those that these simulations found in it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core import supervisor
from orchestrator.core.dispatcher import Dispatcher
from orchestrator.core.ending import children_of, ending_of
from orchestrator.core.payloads import FreshJobs
from orchestrator.core.peers import PeerBook
from orchestrator.core.shard import Shard
from orchestrator.core.supervisor import JobSupervisor
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.job import Job
from orchestrator.domain.signals import Signal
from orchestrator.domain.steering import Steering
from orchestrator.domain.throttle import Throttle
from orchestrator.ports.store import Accepted, Duplicate, Ending
from regions.executor import Executor
from tests.simulation.checker import check
from tests.simulation.disk import DiskHandle
from tests.simulation.scenario import scenario
from tests.simulation.world import simulate

NO_PERMIT = -1
SEEDS_MOST = 400

Plant = Callable[[pytest.MonkeyPatch], None]
PLANTS: dict[str, tuple[str, Plant, int]] = {}
"""What each planted bug breaks, by the bug's name, and the seed to begin with: rare ones show late."""


def breaks(invariant: str, *, first_seed: int = 0) -> Callable[[Plant], Plant]:
    def note(plant: Plant) -> Plant:
        PLANTS[plant.__name__] = (invariant, plant, first_seed)
        return plant

    return note


@breaks("the_pace_is_never_exceeded")
def a_retry_skips_its_permit(patch: pytest.MonkeyPatch) -> None:
    queue = JobSupervisor._queue

    def skip(self: JobSupervisor, step: int, leg: int, *, spends: bool = False) -> None:
        region = self._place(step, leg)
        if self._leg(step, leg).repeats and region is not None:
            self._send(step, leg, NO_PERMIT, region)
        else:
            queue(self, step, leg, spends=spends)

    patch.setattr(JobSupervisor, "_queue", skip)


@breaks("nothing_starts_after_the_end")
def a_cancel_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Dispatcher, "cancel", lambda self, attempt: None)


@breaks("every_receiver_is_told")
def a_row_of_the_outbox_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    def forget(*args: Any) -> Ending:
        whole = ending_of(*args)
        return replace(whole, outbox=whole.outbox[:-1])

    patch.setattr(supervisor, "ending_of", forget)


@breaks("the_pace_is_never_exceeded")
def a_lowered_pace_is_ignored(patch: pytest.MonkeyPatch) -> None:
    tell = Steering._tell

    def ignore(self: Steering, signal: Signal, customer: CustomerId, now: float) -> bool:
        raised = signal.rps is not None and signal.rps >= self.state.pace.rps
        return raised and tell(self, signal, customer, now)

    patch.setattr(Steering, "_tell", ignore)


@breaks("retry_after_is_kept")
def a_pause_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Dispatcher, "_retry_after", lambda self, message: 0.0)
    patch.setattr(Throttle, "pause", lambda self, until, now: None)


@breaks("children_are_born_once")
def a_child_is_spawned_twice(patch: pytest.MonkeyPatch) -> None:
    def twice(*args: Any) -> list[tuple[str, Job]]:
        return [*children_of(*args), *((place, _twin(child)) for place, child in children_of(*args))]

    patch.setattr(supervisor, "children_of", twice)


def _twin(child: Job) -> Job:
    return replace(child, idempotent_key=f"{child.idempotent_key} again")


@breaks("no_accepted_job_is_lost")
def a_job_is_acknowledged_before_its_commit(patch: pytest.MonkeyPatch) -> None:
    async def hurry(self: DiskHandle, job: Job) -> Accepted | Duplicate:
        self._post(lambda: self._disk.submit(job) and None)
        return Accepted(job)

    patch.setattr(DiskHandle, "submit", hurry)


@breaks("at_most_once_is_kept")
def an_at_most_once_attempt_is_not_marked(patch: pytest.MonkeyPatch) -> None:
    async def forget(self: DiskHandle, *_: Any) -> None:
        return None

    patch.setattr(DiskHandle, "save_course", forget)


@breaks("attempts_are_numbered_once")
def an_executor_forgets_what_it_ended(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Executor, "_remember", lambda self, attempt, early: None)


@breaks("nothing_fails_unexpectedly")
def an_overdue_job_is_taken_up_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FreshJobs, "take", lambda self, job_id: self._jobs.get(job_id))


@breaks("nothing_leaks")
def an_attempt_cancelled_before_its_first_step_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Executor, "_end_unbegun", lambda self, attempt: None)


@breaks("nothing_starts_after_the_end")
def a_stale_message_is_obeyed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Executor, "_obeys", lambda self, start_at: not self.deaf)


@breaks("no_job_is_in_a_loop", first_seed=700)
def an_executor_out_of_earshot_is_asked_again_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PeerBook, "doubt", lambda self, peer: None)


@breaks("the_pace_is_never_exceeded")
def a_restart_starts_at_once(patch: pytest.MonkeyPatch) -> None:
    begin = Shard.begin

    async def hurry(self: Shard) -> None:
        await begin(self)
        self._held = False
        for domain in self.domains.values():
            domain.release()

    patch.setattr(Shard, "begin", hurry)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    invariant, plant, first_seed = PLANTS[name]
    plant(monkeypatch)
    found: set[str] = set()
    for seed in range(first_seed, first_seed + SEEDS_MOST):
        history = simulate(scenario(seed))
        found |= {violation.invariant for violation in check(scenario(seed), history)}
        if invariant in found:
            return
    pytest.fail(f"{invariant} was kept in {SEEDS_MOST} seeds from {first_seed} on; broken: {found}")
