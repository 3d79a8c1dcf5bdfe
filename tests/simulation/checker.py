"""What has to hold of every history. Each invariant is a function that yields what breaks it."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.domain.ids import JobId
from orchestrator.domain.job import Guarantee
from orchestrator.domain.lifecycle import JobState
from orchestrator.domain.retry import DEFAULT_POLICY
from orchestrator.domain.routing import SELF_FENCE_AFTER_S
from orchestrator.domain.run import LegState
from orchestrator.ports.store import StoredJob
from tests.simulation.deliveries import (
    every_receiver_is_told,
    the_delivery_state_is_true,
    the_same_body_goes_to_all,
)
from tests.simulation.history import History, TargetRequest
from tests.simulation.paces import (
    every_start_was_granted,
    in_flight_is_never_exceeded,
    the_pace_is_never_exceeded,
)
from tests.simulation.scenario import EPOCH_MS, Actor, Scenario

BOUND_S = 0.1
"""For the last turn of an event loop and the rounding of Unix ms."""
SWEEP_S = 2.0
"""A time limit is noticed within this: the sweep runs every second."""
GRANTS_MOST = 60
"""A job that was let out more often than this is in a loop; faults explain some ten."""

Invariant = Callable[[Scenario, History], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Violation:
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
        stored = history.final.get(acknowledged.job_id)
        if stored is None or not stored.state.ended:
            state = stored.state if stored else "not on disk"
            yield f"{acknowledged.job_id} is {state} at {history.ended_at:.1f} s"


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


def only_what_was_submitted_is_sent(scenario: Scenario, history: History) -> Iterator[str]:
    """Each request belongs to a job, and is what its spec asks for."""
    for request in history.requests:
        job = history.submitted.get(request.job_id)
        if job is None:
            yield f"{request.url} was called for {request.job_id}, which nobody submitted"
            continue
        body = None if job.spec.body is None else job.spec.body.encode()
        if (request.method, request.url, request.body) != (job.spec.method, job.spec.url, body):
            sent = f"{request.method} {request.url}"
            yield f"{request.job_id} asked for {job.spec.method} {job.spec.url}, sent {sent}"


def a_success_was_answered(scenario: Scenario, history: History) -> Iterator[str]:
    """A success has a 2xx in its target's log, and says so to its receivers."""
    for stored in history.ended():
        if stored.state is not JobState.SUCCESS:
            continue
        answered = [r for r in history.requests_of(stored.job.id) if r.status and 200 <= r.status < 300]
        if not answered:
            yield f"{stored.job.id} is a success that no target answered with 2xx"
        if b'"status_code":2' not in (stored.result or b"").split(b'"responses"')[0]:
            yield f"{stored.job.id} is a success whose result shows no 2xx"


def nothing_starts_after_the_end(scenario: Scenario, history: History) -> Iterator[str]:
    """When a job has ended, what is still under way is closed, and nothing new starts."""
    bound_s = _reach_s(scenario) + BOUND_S
    for stored in history.ended():
        end_s = _end_s(stored)
        for request in history.requests_of(stored.job.id):
            if request.first_byte_at > end_s + bound_s:
                yield f"{_shown(request)} started {request.first_byte_at - end_s:.3f} s after its job's end"
            closed_at = request.closed_at if request.closed_at is not None else history.ended_at
            frozen_s = history.frozen_s(request.region, end_s, closed_at)
            if closed_at > end_s + bound_s + frozen_s:
                yield f"{_shown(request)} was closed {closed_at - end_s:.3f} s after its job's end"


def skipped_legs_were_not_sent(scenario: Scenario, history: History) -> Iterator[str]:
    """A leg shows as skipped exactly where no target saw it."""
    if scenario.crashes(Actor.SHARD):
        return
    for stored in history.ended():
        run = stored.course and stored.course.runs[0]
        if run is None or run.made > len(run.attempts):
            continue
        seen = {request.number for request in history.requests_of(stored.job.id)}
        sent = {attempt.leg for attempt in run.attempts if attempt.number in seen}
        tried = {attempt.leg for attempt in run.attempts}
        for index, leg in enumerate(run.legs):
            if leg.state is LegState.SKIPPED and index in sent:
                yield f"leg {index} of {stored.job.id} was sent and shows as skipped"
            if leg.state is LegState.CANCELLED and index not in tried:
                yield f"leg {index} of {stored.job.id} was never tried and shows as cancelled"


def attempts_are_numbered_once(scenario: Scenario, history: History) -> Iterator[str]:
    """Where the shard does not crash, a job's requests carry different numbers, as its timeline does."""
    if scenario.crashes(Actor.SHARD):
        return
    for job_id in history.submitted:
        numbers = [request.number for request in history.requests_of(job_id)]
        if len(numbers) != len(set(numbers)):
            yield f"{job_id} was sent with the numbers {sorted(numbers)}"


def the_timeline_is_true(scenario: Scenario, history: History) -> Iterator[str]:
    """In a run without faults, the timeline tells exactly what the targets saw."""
    if not scenario.faultless:
        return
    for stored in history.ended():
        told = {a.number: a.region for a in stored.course.attempts} if stored.course else {}
        for request in history.requests_of(stored.job.id):
            if told.get(request.number) != request.region:
                yield f"{_shown(request)} is told as {told.get(request.number)}"
        if stored.course and stored.course.made != len(told):
            yield f"{stored.job.id} made {stored.course.made} attempts and tells of {len(told)}"


def a_leg_is_not_sent_twice(scenario: Scenario, history: History) -> Iterator[str]:
    """Without faults a leg goes out again only when its last request was over, and was no success."""
    if not scenario.faultless:
        return
    for stored in history.ended():
        legs = {a.number: a.leg for a in stored.course.attempts} if stored.course else {}
        before: dict[int, TargetRequest] = {}
        for request in history.requests_of(stored.job.id):
            last = before.get(legs.get(request.number, -1))
            if last is not None and (last.closed_at is None or last.closed_at > request.first_byte_at):
                yield f"{_shown(request)} went out while {_shown(last)} was under way"
            if last is not None and last.status == 200:
                yield f"{_shown(request)} went out after {_shown(last)} had succeeded"
            before[legs.get(request.number, -1)] = request


def at_most_once_is_kept(scenario: Scenario, history: History) -> Iterator[str]:
    """Such a job is written again only where its last request was answered with a retry code."""
    for stored in history.final.values():
        spec = stored.job.spec
        if spec.guarantee is not Guarantee.AT_MOST_ONCE:
            continue
        codes = (spec.retry_policy or DEFAULT_POLICY).retry_codes
        requests = history.requests_of(stored.job.id)
        for first, second in pairwise(requests):
            if first.status not in codes:
                yield f"{_shown(second)} repeats {_shown(first)}, which ended with {first.status}"


def retry_after_is_kept(scenario: Scenario, history: History) -> Iterator[str]:
    """A leg does not go out again before the time that its target asked for, where the shard heard it."""
    if scenario.crashes(Actor.SHARD):
        return
    heard = {(answer.job_id, answer.number) for answer in history.answers}
    for stored in history.final.values():
        legs = {a.number: a.leg for a in stored.course.attempts} if stored.course else {}
        waits: dict[int, float] = {}
        for request in history.requests_of(stored.job.id):
            leg = legs.get(request.number, -1)
            if request.first_byte_at < waits.get(leg, 0.0) - 0.002:
                yield f"{_shown(request)} started before {waits[leg]:.3f} s"
            asked = (request.job_id, request.number) in heard
            if asked and request.answered_at is not None and request.retry_after_s is not None:
                waits[leg] = request.answered_at + request.retry_after_s


def time_limits_are_kept(scenario: Scenario, history: History) -> Iterator[str]:
    """A job ends when its time is over, or when the shard is there again."""
    for stored in history.ended():
        limit_s = max(
            (stored.job.deadline_at_ms - EPOCH_MS) / 1000, scenario.calm_s if scenario.faults else 0
        )
        if _end_s(stored) > limit_s + SWEEP_S:
            yield f"{stored.job.id} ended {_end_s(stored) - limit_s:.3f} s after its time was over"


def no_job_is_in_a_loop(scenario: Scenario, history: History) -> Iterator[str]:
    """No job is let out again and again for nothing."""
    let_out: defaultdict[JobId, int] = defaultdict(int)
    for grant in history.grants:
        let_out[grant.job_id] += 1
    for job_id, count in let_out.items():
        if count > GRANTS_MOST + 2 * len(history.requests_of(job_id)):
            yield f"{job_id} was let out {count} times for {len(history.requests_of(job_id))} requests"


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
    every_start_was_granted,
    the_pace_is_never_exceeded,
    in_flight_is_never_exceeded,
    nothing_starts_after_the_end,
    skipped_legs_were_not_sent,
    attempts_are_numbered_once,
    the_timeline_is_true,
    a_leg_is_not_sent_twice,
    at_most_once_is_kept,
    retry_after_is_kept,
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
    return stored.state is not JobState.SUCCESS and not any(
        attempt.written for attempt in (stored.course.attempts if stored.course else ())
    )


def _end_s(stored: StoredJob) -> float:
    return ((stored.ended_ms or EPOCH_MS) - EPOCH_MS) / 1000


def _reach_s(scenario: Scenario) -> float:
    """How long a cancel may take: the way there; where faults keep it, the executor's own fence."""
    network = scenario.network
    way_s = max(delay for _, delay in network.base_s) + network.jitter_s
    if scenario.faultless:
        return way_s
    return SELF_FENCE_AFTER_S + 1.0 + network.late_most_s + way_s


def _shown(request: TargetRequest) -> str:
    return (
        f"attempt {request.number} of {request.job_id} in {request.region} at {request.first_byte_at:.3f} s"
    )
