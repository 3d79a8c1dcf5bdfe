"""Bugs of paces, queues and budgets, planted on purpose: the checker has to name each."""

from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.core.jobs.step_orders import claim_of
from orchestrator.core.jobs.supervisor import JobSupervisor
from orchestrator.core.targets import dispatcher
from orchestrator.core.targets.gates import Gates
from orchestrator.core.targets.permits_out import PermitsOut
from orchestrator.domain.execution.step_plan import StepPlan
from orchestrator.domain.headers.budgets import Budget
from orchestrator.domain.headers.signals import Signal
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.job import JobSpec, RetryPolicy
from orchestrator.domain.pace.aimd import TriedRate
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing import fairness
from orchestrator.domain.queueing.fairness import Apart, Closed, FairQueue, Gone, Weight, _Rotation
from orchestrator.domain.queueing.lanes import Lane
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering import refusals, troubles
from orchestrator.domain.steering.account_paces import AccountPaces
from orchestrator.domain.steering.quota import Quota
from orchestrator.domain.steering.refusal_judge import RefusalJudge
from orchestrator.domain.steering.refusals import Finding
from orchestrator.domain.steering.steering import Steering
from orchestrator.domain.steering.throttle import Throttle
from orchestrator.domain.steering.told_pace import ToldPace
from orchestrator.domain.steering.troubles import Troubles
from orchestrator.ports.targets import Turn
from tests.simulation.planting import Plants, must_be_caught, note_in, one_for_each_invariant
from tests.simulation.scenario import (
    CALM,
    CUSTOMERS,
    Mood,
    NetworkPlan,
    QuotaPlan,
    Scenario,
    Temper,
    scenario,
    with_accounts,
)
from tests.simulation.specs import CREDENTIALS, REGIONS

NO_PERMIT = -1

PLANTS: Plants = {}
breaks = partial(note_in, PLANTS)


def metered(seed: int) -> Scenario:
    """Let everybody ask in one name, at targets that count what that costs."""
    plan = with_accounts(scenario(seed), Random(seed))
    targets = tuple(replace(t, temper=CALM, quota=QuotaPlan(8.0, 6, 40.0)) for t in plan.targets)
    jobs = tuple(replace(job, spec=replace(job.spec, headers=CREDENTIALS[0])) for job in plan.jobs)
    return replace(plan, targets=targets, jobs=jobs)


def metered_from_afar(seed: int) -> Scenario:
    """Let connections to such targets take so long that many a permit comes back."""
    plan = metered(seed)
    network = NetworkPlan(base_s=tuple((region, 0.05) for region in REGIONS), jitter_s=0.2)
    return replace(
        plan, targets=tuple(replace(t, slow_connect=0.5) for t in plan.targets), network=network, faults=()
    )


def told_to_be_slow(seed: int) -> Scenario:
    """Let one customer alone call targets that ask for less, for longer than a minute."""
    plan = scenario(seed)
    asking = {"temper": CALM, "signals": 1.0, "paces": ((0.25, 20),)}
    targets = tuple(replace(target, **asking) for target in plan.targets)
    jobs = tuple(replace(job, customer=CUSTOMERS[0]) for job in plan.jobs)
    return replace(plan, targets=targets, jobs=jobs, pace=Pace(20, 8), faults=())


def told_each_its_own(seed: int) -> Scenario:
    """Let everybody ask in one name, at targets that tell each account to be slow."""
    plan = told_to_be_slow(seed)
    targets = tuple(replace(target, account_queues=True) for target in plan.targets)
    jobs = tuple(replace(job, spec=replace(job.spec, headers=CREDENTIALS[0])) for job in plan.jobs)
    return replace(plan, targets=targets, jobs=jobs)


def with_a_broken_method(seed: int) -> Scenario:
    """Let a target refuse whatever is PUT there, and answer all the rest, for half a minute."""
    plan = scenario(seed)
    target = replace(plan.targets[0], temper=CALM, broken=("PUT",))
    jobs = tuple(replace(job, spec=_steps_at(target.host, job.spec)) for job in plan.jobs)
    return replace(plan, targets=(target,), jobs=jobs, pace=Pace(20, 8), faults=(), calm_s=30.0)


def seldom_reached(seed: int) -> Scenario:
    """Let so few connections to a target with a broken method come about that its breakers open."""
    plan = with_a_broken_method(seed)
    temper = Temper(moods=((Mood.OK, 1.0), (Mood.REFUSED, 4.0)), latency_s=(0.002, 0.1))
    return replace(plan, targets=(replace(plan.targets[0], temper=temper),))


def refusing_everything(seed: int) -> Scenario:
    """Let a target refuse whatever it is asked, for half a minute."""
    plan = with_a_broken_method(seed)
    return replace(plan, targets=(replace(plan.targets[0], broken=("GET", "POST", "PUT")),))


def failing_now_and_then(seed: int) -> Scenario:
    """Let a target with a low pace fail every second request, of jobs that repeat until one succeeds."""
    plan = scenario(seed)
    temper = replace(CALM, moods=((Mood.OK, 1.0), (Mood.ERROR, 1.0)))
    target = replace(plan.targets[0], temper=temper, signals=0.0, broken=())
    jobs = tuple(replace(job, spec=_steps_at(target.host, job.spec)) for job in plan.jobs)
    return replace(plan, targets=(target,), jobs=jobs, pace=Pace(4, 8), faults=())


def _steps_at(host: str, spec: JobSpec) -> JobSpec:
    """Let a job alone call one host, again and again, and nothing follow it."""
    url = f"http://{host}/{spec.url.partition('://')[2].partition('/')[2]}"
    alone = {"fallback": None, "on_success": None, "on_failure": None, "on_failure_timeout_ms": None}
    return replace(spec, url=url, retry_policy=RetryPolicy(max_retries=20), **alone)


@breaks("the_pace_is_never_exceeded", told_each_its_own)
def what_an_account_was_told_is_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AccountPaces, "tell", lambda self, account, pace, now: False)


@breaks("the_pace_is_never_exceeded", failing_now_and_then)
def a_retry_skips_its_permit(patch: pytest.MonkeyPatch) -> None:
    enqueue = JobSupervisor._enqueue

    def skip(self: JobSupervisor, step: int, leg: int, *, spends: bool = False) -> None:
        if self.course.run_of(step).legs[leg].repeats:
            claim = claim_of(self.job, self.course, step, leg)
            self.turn(Turn(claim.domain, claim.ticket, NO_PERMIT))
        else:
            enqueue(self, step, leg, spends=spends)

    patch.setattr(JobSupervisor, "_enqueue", skip)


@breaks("the_pace_is_never_exceeded")
def a_lowered_pace_is_ignored(patch: pytest.MonkeyPatch) -> None:
    tell = Steering._tell

    def ignore(self: Steering, signal: Signal, customer: CustomerId, now: float) -> bool:
        raised = signal.rps is not None and signal.rps >= self.state.pace.rps
        return raised and tell(self, signal, customer, now)

    patch.setattr(Steering, "_tell", ignore)


@breaks("retry_after_is_kept")
def a_pause_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dispatcher, "_retry_after_s", lambda message, unix_ms: 0.0)
    patch.setattr(Throttle, "pause", lambda self, until, now: None)


@breaks("nobody_is_passed_over")
def the_first_account_is_served_for_ever(patch: pytest.MonkeyPatch) -> None:
    take = _Rotation.take

    def keep(self: _Rotation, lane: Lane) -> Ticket:
        ticket = take(self, lane)
        if self._old and self._old[-1] is lane.turn:
            self._old.rotate(1)
        return ticket

    patch.setattr(_Rotation, "take", keep)


@breaks("shares_keep_together")
def a_turn_has_no_end(patch: pytest.MonkeyPatch) -> None:
    init = _Rotation.__init__

    def generous(self: _Rotation, weight: Weight, **kind: bool) -> None:
        init(self, lambda customer: 10 * weight(customer), **kind)

    patch.setattr(_Rotation, "__init__", generous)


@breaks("the_lowest_key_goes_first")
def first_come_is_first_served(patch: pytest.MonkeyPatch) -> None:
    in_order = SimpleNamespace(
        heappush=list.append, heappop=lambda heap: heap.pop(0), heapify=lambda heap: None
    )
    patch.setattr(fairness, "heapq", in_order)


@breaks("first_legs_go_before_further_ones")
def a_further_leg_takes_a_first_legs_turn(patch: pytest.MonkeyPatch) -> None:
    peek = FairQueue.peek

    def spare_first(self: FairQueue, closed: Closed, gone: Gone, apart: Apart | None = None) -> Ticket | None:
        self._first, self._spare = self._spare, self._first
        shown = peek(self, closed, gone, apart)
        self._first, self._spare = self._spare, self._first
        return shown

    patch.setattr(FairQueue, "peek", spare_first)


@breaks("first_legs_go_before_further_ones")
def a_further_leg_counts_as_a_first_one_once_it_ran(patch: pytest.MonkeyPatch) -> None:
    is_further = StepPlan.is_further

    def fresh(self: StepPlan, leg: int) -> bool:
        return is_further(self, leg) and leg not in self.sent

    patch.setattr(StepPlan, "is_further", fresh)


@breaks("quotas_are_kept", metered)
def a_quota_is_not_spent_from(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Quota, "spend", lambda self, now, cost: None)


@breaks("quotas_are_kept", metered)
def every_request_costs_one_token(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Quota, "_amount", lambda self, cost: 1.0)


@breaks("quotas_are_kept", metered_from_afar)
def a_quota_forgets_what_was_let_out_before_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PermitsOut, "count_in", lambda self, throttle: None)


@breaks("quotas_are_kept", metered_from_afar)
def a_quota_is_told_by_whichever_answer_is_heard_last(patch: pytest.MonkeyPatch) -> None:
    learn = Throttle.learn

    def hear(self: Throttle, budget: Budget, now: float, *, told_at: float, own_cost: float | None) -> None:
        learn(self, budget, now, told_at=0.0 * told_at, own_cost=own_cost)

    patch.setattr(Throttle, "learn", hear)


@breaks("a_pause_binds_whom_it_is_meant_for")
def an_account_is_never_held_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gates, "closed", lambda self, ticket, now, *, alone=False: None)


@breaks("a_told_pace_binds_who_heard_it", told_to_be_slow)
def a_told_pace_is_forgotten_with_the_domains(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ToldPace, "tell", lambda self, *told, **until: None)


@breaks("trouble_binds_nobody_else", with_a_broken_method)
def a_class_in_trouble_binds_others(patch: pytest.MonkeyPatch) -> None:
    judge = RefusalJudge.judge

    def heed(self: RefusalJudge, *args: Any, **options: Any) -> Finding:
        finding = judge(self, *args, **options)
        return Finding.LOWERS if finding is Finding.CONTAINED else finding

    patch.setattr(RefusalJudge, "judge", heed)


@breaks("trouble_binds_nobody_else", seldom_reached)
def a_probe_of_a_class_in_trouble_binds_others(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RefusalJudge, "contains", lambda self, heard: False)


@breaks("trouble_has_its_reasons", with_a_broken_method)
def a_class_is_in_trouble_for_a_single_refusal(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(refusals, "TROUBLED_FROM", 1)


@breaks("trouble_has_its_reasons", refusing_everything)
def a_class_is_in_trouble_without_contrast(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(refusals, "_mostly_answered", lambda requests: True)


@breaks("an_answer_ends_trouble", with_a_broken_method)
def an_answer_lets_no_class_out_of_trouble(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Troubles, "heard_answer", lambda self, account, path: None)


@breaks("classes_in_trouble_share_a_fiftieth", with_a_broken_method)
def a_class_in_trouble_gets_a_tenth(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(troubles, "SHARE", 0.1)


@breaks("a_job_lowers_a_rate_once", refusing_everything)
def a_refusal_counts_twice_for_one_job(patch: pytest.MonkeyPatch) -> None:
    note_cut = TriedRate._note_cut

    def forget(self: TriedRate, job: JobId, now: float) -> None:
        note_cut(self, job, now)
        self._counted.clear()

    patch.setattr(TriedRate, "_note_cut", forget)


@breaks("what_trouble_explains_is_taken_back", with_a_broken_method)
def a_withdrawn_refusal_stays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Throttle, "withdraw", lambda self, job: None)


@breaks("no_accepted_job_is_lost", with_a_broken_method)
def whoever_waits_for_the_place_of_a_class_in_trouble_is_not_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gates, "_wake_what_waits_for_a_place", lambda self: None)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", one_for_each_invariant(PLANTS))
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    must_be_caught(PLANTS[name], monkeypatch)
