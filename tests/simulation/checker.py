"""What has to hold of every history. Each invariant is a function that yields what breaks it."""

from collections import defaultdict
from collections.abc import Callable, Iterator

from msgspec import Struct

from orchestrator.domain.health.routing import FENCED_AFTER_S, SELF_FENCE_AFTER_S
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.store import StoredJob
from tests.simulation.bounds import (
    a_pause_binds_whom_it_is_meant_for,
    a_told_pace_binds_who_heard_it,
    quotas_are_kept,
)
from tests.simulation.deliveries import (
    every_receiver_is_told,
    the_delivery_state_is_true,
    the_same_body_goes_to_all,
)
from tests.simulation.fairness import (
    first_legs_go_before_further_ones,
    no_leg_waits_twice,
    nobody_is_passed_over,
    shares_keep_together,
    the_lowest_key_goes_first,
)
from tests.simulation.history import History
from tests.simulation.legs import (
    a_leg_is_not_sent_twice,
    at_most_once_is_kept,
    attempts_are_numbered_once,
    children_are_born_once,
    fallbacks_begin_rightly,
    little_goes_where_nothing_arrives,
    marks_are_of_the_epoch_in_force,
    no_job_is_in_a_loop,
    only_what_was_submitted_is_sent,
    regions_are_kept_to,
    retry_after_is_kept,
    shown,
    skipped_legs_were_not_sent,
    the_timeline_is_true,
)
from tests.simulation.network import SHARDS_APART_S
from tests.simulation.paces import (
    every_start_was_granted,
    in_flight_is_never_exceeded,
    the_pace_is_never_exceeded,
)
from tests.simulation.scenario import Scenario
from tests.simulation.specs import EPOCH_MS
from tests.simulation.troubles import (
    a_job_lowers_a_rate_once,
    an_answer_ends_trouble,
    classes_in_trouble_share_a_fiftieth,
    trouble_binds_nobody_else,
    trouble_has_its_reasons,
    what_trouble_explains_is_taken_back,
)

BOUND_S = 0.1
"""For the last turn of an event loop and the rounding of Unix ms."""
SWEEP_S = 2.0
"""A time limit is noticed within this: the sweep runs every second."""

Invariant = Callable[[Scenario, History], Iterator[str]]


class Violation(Struct, frozen=True):
    """An invariant that does not hold."""

    invariant: str
    message: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.message}"


def check(scenario: Scenario, history: History) -> list[Violation]:
    """Judge a history by every invariant."""
    return [
        Violation(invariant.__name__, message)
        for invariant in INVARIANTS
        for message in invariant(scenario, history)
    ]


def nothing_fails_unexpectedly(scenario: Scenario, history: History) -> Iterator[str]:
    """No exception goes unhandled, and no shard gives up."""
    yield from history.troubles


def no_accepted_job_is_lost(scenario: Scenario, history: History) -> Iterator[str]:
    """Whoever asks is answered, and what was acknowledged comes to an end."""
    yield from (f"{what} were never acknowledged" for what in history.unanswered)
    for acknowledged in history.acknowledged:
        if acknowledged.job_id not in history.submitted:
            yield f"{acknowledged.job_id} was acknowledged and is not on disk"
    for job_id in history.submitted:
        stored = history.final.get(job_id)
        if stored is None or not stored.state.ended:
            yield f"{job_id} is {stored.state if stored else 'gone'} at {history.ended_at:.1f} s"


def an_end_is_final(scenario: Scenario, history: History) -> Iterator[str]:
    """A job has one terminal state and never leaves it."""
    ends: dict[JobId, JobState] = {}
    for commit in history.commits:
        end = ends.get(commit.job_id)
        if end is not None and commit.state is not end:
            yield f"{commit.job_id} went from {end} to {commit.state} at {commit.at:.3f} s"
        if commit.state.ended:
            ends[commit.job_id] = commit.state


def one_key_gives_one_job(scenario: Scenario, history: History) -> Iterator[str]:
    """Equal submissions get one job id, unless the first ended with nothing written and freed its key."""
    by_key = defaultdict(list)
    for acknowledged in history.acknowledged:
        by_key[acknowledged.customer, acknowledged.key].append(acknowledged.job_id)
    for (customer, key), job_ids in by_key.items():
        holders = [id_ for id_ in dict.fromkeys(job_ids) if not _frees_its_key(history, id_)]
        if len(holders) > 1:
            yield f"{customer}'s {key[:12]} gave {holders}"


def a_success_was_answered(scenario: Scenario, history: History) -> Iterator[str]:
    """A success has a 2xx in its target's log, and says so to its receivers."""
    for stored in history.ended():
        if stored.state is not JobState.SUCCESS:
            continue
        answered = [r for r in history.requests_of(stored.job.id) if r.succeeded]
        if not answered:
            yield f"{stored.job.id} is a success that no target answered with 2xx"
        if b'"status_code":2' not in (stored.result or b"").split(b'"responses"')[0]:
            yield f"{stored.job.id} is a success whose result shows no 2xx"


def a_cancel_is_true(scenario: Scenario, history: History) -> Iterator[str]:
    """Who was told that a job is cancelled finds it so; who was told that it is too late finds it ended."""
    for cancel in history.cancels:
        ends = [c for c in history.commits if c.job_id == cancel.job_id and c.state.ended]
        if cancel.took and ends and ends[-1].state is not JobState.CANCELLED:
            yield f"{cancel.job_id} was called cancelled and is {ends[-1].state}"
        if not cancel.took and not ends:
            yield f"{cancel.job_id} was called ended at {cancel.at:.3f} s and never was"


def nothing_starts_after_the_end(scenario: Scenario, history: History) -> Iterator[str]:
    """When a job has ended, what is still under way is closed, and nothing new starts."""
    bound_s = _reach_s(scenario) + BOUND_S
    for stored in history.ended():
        end_s = _end_s(stored)
        for request in history.requests_of(stored.job.id):
            if request.first_byte_at > end_s + bound_s:
                yield f"{shown(request)} started {request.first_byte_at - end_s:.3f} s after its job's end"
            closed_at = request.closed_at if request.closed_at is not None else history.ended_at
            frozen_s = history.frozen_s(request.region, end_s, closed_at)
            if closed_at > end_s + bound_s + frozen_s:
                yield f"{shown(request)} was closed {closed_at - end_s:.3f} s after its job's end"


def time_limits_are_kept(scenario: Scenario, history: History) -> Iterator[str]:
    """A job ends when its time is over, or when the shard is there again."""
    for stored in history.ended():
        limit_s = max(
            (stored.job.deadline_at_ms - EPOCH_MS) / 1000, scenario.calm_s if scenario.faults else 0
        )
        if _end_s(stored) > limit_s + SWEEP_S:
            yield f"{stored.job.id} ended {_end_s(stored) - limit_s:.3f} s after its time was over"


def nothing_leaks(scenario: Scenario, history: History) -> Iterator[str]:
    """When all jobs have ended, the shard and the executors hold nothing for them."""
    yield from history.leaks


INVARIANTS: tuple[Invariant, ...] = (
    nothing_fails_unexpectedly,
    no_accepted_job_is_lost,
    an_end_is_final,
    one_key_gives_one_job,
    only_what_was_submitted_is_sent,
    a_success_was_answered,
    a_cancel_is_true,
    every_start_was_granted,
    the_pace_is_never_exceeded,
    in_flight_is_never_exceeded,
    quotas_are_kept,
    a_pause_binds_whom_it_is_meant_for,
    a_told_pace_binds_who_heard_it,
    trouble_has_its_reasons,
    an_answer_ends_trouble,
    trouble_binds_nobody_else,
    classes_in_trouble_share_a_fiftieth,
    a_job_lowers_a_rate_once,
    what_trouble_explains_is_taken_back,
    nobody_is_passed_over,
    shares_keep_together,
    the_lowest_key_goes_first,
    first_legs_go_before_further_ones,
    no_leg_waits_twice,
    nothing_starts_after_the_end,
    skipped_legs_were_not_sent,
    attempts_are_numbered_once,
    the_timeline_is_true,
    a_leg_is_not_sent_twice,
    at_most_once_is_kept,
    marks_are_of_the_epoch_in_force,
    retry_after_is_kept,
    fallbacks_begin_rightly,
    children_are_born_once,
    regions_are_kept_to,
    little_goes_where_nothing_arrives,
    time_limits_are_kept,
    no_job_is_in_a_loop,
    every_receiver_is_told,
    the_same_body_goes_to_all,
    the_delivery_state_is_true,
    nothing_leaks,
)


def _frees_its_key(history: History, job_id: JobId) -> bool:
    stored = history.final.get(job_id)
    if stored is None or not stored.state.ended:
        return False
    return stored.state is not JobState.SUCCESS and not (stored.course and stored.course.written)


def _end_s(stored: StoredJob) -> float:
    return ((stored.ended_ms or EPOCH_MS) - EPOCH_MS) / 1000


def _reach_s(scenario: Scenario) -> float:
    """How long a cancel may take: the way there; where faults keep it, the executor's own fence, and before
    that the one of a target's shard.
    """
    network = scenario.network
    way_s = max(delay for _, delay in network.base_s) + network.jitter_s
    further = len(scenario.shards) - 1
    if scenario.faultless:
        return way_s + further * (SHARDS_APART_S + network.jitter_s)
    return SELF_FENCE_AFTER_S + 1.0 + network.late_most_s + way_s + further * FENCED_AFTER_S
