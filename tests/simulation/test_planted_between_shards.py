"""Bugs between two shards, planted on purpose: the checker has to name each."""

from functools import partial

import pytest
from msgspec.structs import replace

from orchestrator.core.shards.neighbour import IncomingSession
from orchestrator.core.shards.newcomers import Newcomers
from orchestrator.core.shards.remote_jobs import RemoteJobs
from orchestrator.core.shards.remote_targets import RemoteTargets
from orchestrator.core.shards.routers import TargetRouter
from orchestrator.core.targets.dispatcher import Dispatcher
from orchestrator.domain.cluster.in_order import InOrder
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import AttemptId, ShardName, TargetDomain
from orchestrator.messages.types import AttemptDone, Message, RunAttempt
from orchestrator.ports.targets import Targets
from regions.executor import Executor
from regions.node import RegionNode
from regions.session import ShardSession
from tests.simulation.checker import check
from tests.simulation.faults import BETWEEN_SHARDS, Partition
from tests.simulation.planting import Plants, must_be_caught, note_in, one_for_each_invariant
from tests.simulation.scenario import TWO_SHARDS, Scenario, scenario
from tests.simulation.world import simulate

SEEDS_WHOSE_CHILDREN_ARE_ELSEWHERE = (2, 5, 8)


def two_shards(number: int) -> Scenario:
    """Give a scenario with two shards."""
    return scenario(3 * number + TWO_SHARDS)


def parted(number: int) -> Scenario:
    """Part two shards for long, while slow targets are at work for jobs that are cancelled."""
    plan = two_shards(number)
    cut = Partition(BETWEEN_SHARDS, plan.jobs[-1].at_s + 2.0, plan.jobs[-1].at_s + 14.0)
    slow = tuple(replace(t, temper=replace(t.temper, latency_s=(4.5, 4.9))) for t in plan.targets)
    jobs = tuple(replace(job, cancel_s=(cut.at_s + 1.0,)) for job in plan.jobs)
    return replace(plan, targets=slow, jobs=jobs, faults=(cut,), calm_s=max(plan.calm_s, cut.until_s + 5.0))


IN_ONE_SHARD_TOO = ("no_job_is_in_a_loop", "nothing_starts_after_the_end", "nothing_leaks")
"""CI shows these with the bugs of ``test_planted_bugs.py``, which show sooner."""

PLANTS: Plants = {}
breaks = partial(note_in, PLANTS, draw=two_shards)


@breaks("the_pace_is_never_exceeded")
def two_shards_grant_for_one_target(patch: pytest.MonkeyPatch) -> None:
    def own(self: TargetRouter, domain: TargetDomain) -> Targets:
        return next(iter(self._by_shard.values()))

    patch.setattr(TargetRouter, "_at", own)


@breaks("no_job_is_in_a_loop")
def a_heartbeat_of_one_shard_fences_the_other(patch: pytest.MonkeyPatch) -> None:
    join = RegionNode.join

    def share(self: RegionNode, shard: ShardName) -> ShardSession:
        session = join(self, shard)
        session._lease = next(iter(self._sessions.values()))._lease
        return session

    patch.setattr(RegionNode, "join", share)


@breaks("nothing_starts_after_the_end", draw=parted)
def what_a_silent_shard_has_elsewhere_runs_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(IncomingSession, "_watch", lambda self: None)


@breaks("nothing_leaks")
def turns_of_a_lost_session_stay_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RemoteJobs, "_take_turns_back", lambda self, step: step.turns.clear())


@breaks("no_accepted_job_is_lost")
def what_waited_in_a_lost_session_waits_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RemoteTargets, "line_up_anew", lambda self: None)


@breaks("nothing_leaks")
def a_repeated_message_is_taken_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(InOrder, "_is_done", lambda self, number: False)


@breaks("no_accepted_job_is_lost")
def an_announcement_is_lost_and_nobody_looks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RemoteTargets, "announce", lambda self, news: None)
    patch.setattr(Newcomers, "begin", lambda self, found: None)


@breaks("every_receiver_is_told")
def deliveries_are_announced_to_nobody_and_nobody_looks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Newcomers, "deliveries_stored", lambda self, job_id: None)
    patch.setattr(Newcomers, "_take_deliveries", lambda self, entries: None)


@breaks("a_success_was_answered", draw=scenario)
def a_report_from_the_wrong_node_counts(patch: pytest.MonkeyPatch) -> None:
    receive = Executor.receive

    def lie(self: Executor, message: Message) -> None:
        if isinstance(message, RunAttempt):
            shard, _, number = message.attempt.rpartition(".")
            before = AttemptId(f"{shard}.{int(number, 16) - 1:x}")
            self._report(AttemptDone(before, None, HttpResponse(status=200, headers={}, body=b"")))
        receive(self, message)

    patch.setattr(Executor, "receive", lie)
    patch.setattr(Dispatcher, "_reported", lambda self, sender, attempt: self._open.get(attempt))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", one_for_each_invariant(PLANTS, shown_elsewhere=IN_ONE_SHARD_TOO))
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    must_be_caught(PLANTS[name], monkeypatch)


def test_a_lost_announcement_is_made_good_by_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RemoteTargets, "announce", lambda self, news: None)
    for seed in SEEDS_WHOSE_CHILDREN_ARE_ELSEWHERE:
        plan = scenario(seed)
        assert not check(plan, simulate(plan))
