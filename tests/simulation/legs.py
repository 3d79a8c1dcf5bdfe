"""What has to hold of a job's steps, legs and attempts: what went out, when, and what is told of it."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from orchestrator.domain.execution.retry import DEFAULT_POLICY
from orchestrator.domain.execution.run import LegState
from orchestrator.domain.health.routing import HEARTBEAT_EVERY_S, SUSPECT_AFTER_S
from orchestrator.domain.ids import JobId, TargetDomain, attempt_origin, shard_of_attempt, target_domain
from orchestrator.domain.jobs.job import Job, JobSpec, Trigger, TriggerKind
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import Guarantee, RegionPolicy
from orchestrator.ports.store import StoredJob
from tests.simulation.faults import Crash, Partition, Restart
from tests.simulation.history import History, TargetRequest
from tests.simulation.scenario import Scenario

ENOUGH_JOBS = 3
"""So many jobs that fail in a row open a breaker here."""
GRANTS_MOST = 60
"""A job that was let out more often than this is in a loop; faults explain some ten."""
NOTICED_WITHIN_S = SUSPECT_AFTER_S + HEARTBEAT_EVERY_S + 0.2
"""That what was sent to a region does not arrive, where nothing is late."""
ROUNDING_S = 0.002
"""Unix ms are rounded down, on both ends of an interval."""

Place = tuple[int, int]
"""A step and a leg of it."""


def only_what_was_submitted_is_sent(scenario: Scenario, history: History) -> Iterator[str]:
    """Each request belongs to a job, and is what one of its steps asks for."""
    for request in history.requests:
        job = history.submitted.get(request.job_id)
        spec = job and _spec_of(job, request)
        if spec is None:
            yield f"{shown(request)} called {request.url}, which nobody asked for"
            continue
        body = None if spec.body is None else spec.body.encode()
        if (request.method, request.body) != (spec.method, body):
            yield f"{shown(request)} sent {request.method} with another body than its spec says"


def skipped_legs_were_not_sent(scenario: Scenario, history: History) -> Iterator[str]:
    """A leg shows as skipped exactly where no target saw it."""
    if not scenario.one_shard:
        return
    for stored in history.ended():
        seen = {request.number for request in history.requests_of(stored.job.id)}
        places = _places(stored)
        sent = {place for number, place in places.items() if number in seen}
        for place, state in _leg_states(stored).items():
            if state is LegState.SKIPPED and place in sent:
                yield f"leg {place} of {stored.job.id} was sent and shows as skipped"
            if state is LegState.CANCELLED and place not in places.values():
                yield f"leg {place} of {stored.job.id} was never tried and shows as cancelled"


def attempts_are_numbered_once(scenario: Scenario, history: History) -> Iterator[str]:
    """Where the shard does not crash, a job's requests carry different numbers, as its timeline does."""
    if not scenario.one_shard:
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
        attempts = stored.course.attempts if stored.course else []
        told = {attempt.number: attempt.region for attempt in attempts}
        for request in history.requests_of(stored.job.id):
            if told.get(request.number) != request.region:
                yield f"{shown(request)} is told as {told.get(request.number)}"
        if stored.course and stored.course.made != len(told):
            yield f"{stored.job.id} made {stored.course.made} attempts and tells of {len(told)}"


def a_leg_is_not_sent_twice(scenario: Scenario, history: History) -> Iterator[str]:
    """Without faults a leg goes out again only when its last request was over, and was no success."""
    if not scenario.faultless:
        return
    for stored in history.ended():
        for first, second in _repeats(stored, history):
            if first.closed_at is None or first.closed_at > second.first_byte_at:
                yield f"{shown(second)} went out while {shown(first)} was under way"
            if first.succeeded:
                yield f"{shown(second)} went out after {shown(first)} had succeeded"


def at_most_once_is_kept(scenario: Scenario, history: History) -> Iterator[str]:
    """Such a step is written again only where its last request was answered with a retry code. While messages
    arrive, it is known where nothing was written.
    """
    for stored in history.final.values():
        unknown = b'"code":"unknown_outcome"' in (stored.result or b"")
        if scenario.faultless and unknown and not history.requests_of(stored.job.id):
            yield f"{stored.job.id} ended as unknown, and no target saw it"
        by_step: defaultdict[int, list[TargetRequest]] = defaultdict(list)
        for request in history.requests_of(stored.job.id):
            by_step[_step_of(stored.job, request)].append(request)
        for step, requests in by_step.items():
            spec = stored.job.spec.steps[step]
            if spec.guarantee is Guarantee.AT_MOST_ONCE:
                codes = (spec.retry_policy or DEFAULT_POLICY).retry_codes
                for first, second in pairwise(requests):
                    if first.status not in codes:
                        yield f"{shown(second)} repeats {shown(first)}, which ended with {first.status}"


def marks_are_of_the_epoch_in_force(scenario: Scenario, history: History) -> Iterator[str]:
    """A mark is committed in the epoch of whoever has its target then, and of that one's attempt."""
    for written in history.marks:
        mark, owner = written.mark, written.owner
        if mark.epoch != owner.epoch or attempt_origin(mark.attempt) != (owner.shard, owner.epoch):
            yield f"{mark} was written at {written.at:.3f} s, when {owner} had its target"


def retry_after_is_kept(scenario: Scenario, history: History) -> Iterator[str]:
    """A leg does not go out again before the time that its target asked for, where the shard heard it."""
    if not scenario.one_shard:
        return
    heard = {(answer.job_id, answer.number) for answer in history.answers}
    for stored in history.final.values():
        for first, second in _repeats(stored, history):
            asked = (first.job_id, first.number) in heard and first.retry_after_s is not None
            due_s = (first.answered_at or 0.0) + (first.retry_after_s or 0.0) if asked else 0.0
            if second.first_byte_at < due_s - ROUNDING_S:
                yield f"{shown(second)} started before {due_s:.3f} s"


def fallbacks_begin_rightly(scenario: Scenario, history: History) -> Iterator[str]:
    """A fallback goes out only after what its trigger waits for."""
    for stored in history.final.values():
        begun: set[int] = {0}
        for request in history.requests_of(stored.job.id):
            step = _step_of(stored.job, request)
            if step not in begun and not _was_triggered(stored.job, step, request, history):
                yield f"{shown(request)} began step {step} by {stored.job.spec.triggers[step - 1]}"
            begun.add(step)


def regions_are_kept_to(scenario: Scenario, history: History) -> Iterator[str]:
    """A strict step stays in its regions, and only such a one fails because they are down. A region that
    takes only what names it stands in for no other.
    """
    for request in history.requests:
        job = history.submitted.get(request.job_id)
        spec = job and _spec_of(job, request)
        if spec and spec.region_policy is RegionPolicy.STRICT and request.region not in spec.regions:
            yield f"{shown(request)} left {spec.regions}"
        if spec and request.region in scenario.only_named and request.region not in spec.regions:
            yield f"{shown(request)} went to {request.region}, which it does not name"
    for stored in history.ended():
        strict = any(spec.region_policy is RegionPolicy.STRICT for spec in stored.job.spec.steps)
        if not strict and b'"code":"regions_down"' in (stored.result or b""):
            yield f"{stored.job.id} failed for its regions, and might have left them"


def little_goes_where_nothing_arrives(scenario: Scenario, history: History) -> Iterator[str]:
    """Where what a shard sends to a region does not arrive it notices, and sends it nothing more."""
    if any(isinstance(fault, Crash | Restart) for fault in scenario.faults):
        return
    for cut in scenario.faults:
        if not isinstance(cut, Partition) or not cut.direction.stops(to_shard=False, answer=False):
            continue
        for shard in scenario.shards:
            if cut.shard in (None, shard):
                yield from _sent_into(cut, shard, scenario, history)


def _sent_into(cut: Partition, shard: str, scenario: Scenario, history: History) -> Iterator[str]:
    behind = (grant for grant in history.grants if grant.region == cut.region and grant.at > cut.at_s)
    sent = [grant for grant in behind if shard_of_attempt(grant.attempt) == shard]
    first = min((grant.at for grant in sent), default=cut.until_s)
    unnoticed_s = NOTICED_WITHIN_S + scenario.network.late_most_s
    for grant in sent:
        # A shard that gets no time to run hears nobody, and blames nobody for that.
        awake_s = grant.at - first - history.frozen_s(shard, first, grant.at)
        if awake_s > unnoticed_s and grant.at < cut.until_s:
            late = f"{grant.at:.3f} s, where nothing had arrived since {cut.at_s:.3f} s"
            yield f"{grant.attempt} went to {cut.region} at {late}"


def children_are_born_once(scenario: Scenario, history: History) -> Iterator[str]:
    """A job's end spawns the child for that end: once, and no other. A cancelled job spawns none."""
    parents = Counter[JobId]()
    for stored in history.ended():
        told = stored.course.children if stored.course else ()
        parents.update(child.job_id for child in told if not child.known)
        expected = _place_of_child(stored)
        if [child.place for child in told] != expected:
            yield f"{stored.job.id} ended as {stored.state}, is to spawn {expected}, and tells of {told}"
        yield from (
            f"{stored.job.id} tells of {child}, which is nowhere"
            for child in told
            if child.job_id not in history.submitted
        )
        yield from (
            f"{child} is not what {stored.job.id} is to spawn"
            for child in told
            if (born := history.submitted.get(child.job_id)) is not None
            and not child.known
            and born.spec != getattr(stored.job.spec, child.place)
        )
    planned = {plan.spec.metadata["name"] for plan in scenario.jobs}
    for job in history.submitted.values():
        if job.spec.metadata["name"] not in planned and parents[job.id] != 1:
            yield f"{job.id} ({job.idempotent_key}) is told of by {parents[job.id]} parents"


def no_job_is_in_a_loop(scenario: Scenario, history: History) -> Iterator[str]:
    """No job is let out again and again for nothing."""
    let_out: defaultdict[JobId, int] = defaultdict(int)
    for grant in history.grants:
        let_out[grant.job_id] += 1
    for job_id, count in let_out.items():
        requests = len(history.requests_of(job_id))
        if count > GRANTS_MOST + 2 * requests:
            yield f"{job_id} was let out {count} times for {requests} requests"


def shown(request: TargetRequest) -> str:
    """Name a request in a message."""
    number, region = request.number, request.region
    return f"attempt {number} of {request.job_id} in {region} at {request.first_byte_at:.3f} s"


def _place_of_child(stored: StoredJob) -> list[str]:
    """Name the child that a job's end spawns, if it has one."""
    spec = stored.job.spec
    if stored.state is JobState.SUCCESS and spec.on_success is not None:
        return ["on_success"]
    if stored.state is JobState.FAILED and spec.on_failure is not None:
        return ["on_failure"]
    return []


def _spec_of(job: Job, request: TargetRequest) -> JobSpec | None:
    return next((spec for spec in job.spec.steps if spec.url == request.url), None)


def _step_of(job: Job, request: TargetRequest) -> int:
    return next(step for step, spec in enumerate(job.spec.steps) if spec.url == request.url)


def _places(stored: StoredJob) -> dict[int, Place]:
    runs = enumerate(stored.course.runs) if stored.course else ()
    return {a.number: (step, a.leg) for step, run in runs if run is not None for a in run.attempts}


def _leg_states(stored: StoredJob) -> dict[Place, LegState]:
    runs = enumerate(stored.course.runs) if stored.course else ()
    return {
        (step, index): leg.state
        for step, run in runs
        if run is not None
        for index, leg in enumerate(run.legs)
    }


def _repeats(stored: StoredJob, history: History) -> Iterator[tuple[TargetRequest, TargetRequest]]:
    """List each request with the one before it of the same leg."""
    places = _places(stored)
    by_place = defaultdict(list)
    for request in history.requests_of(stored.job.id):
        by_place[places.get(request.number)].append(request)
    for requests in by_place.values():
        yield from pairwise(requests)


def _may_be_shut(job: Job, step: int, request: TargetRequest, history: History) -> bool:
    """Whether the job may have come here from an earlier step whose target was shut. That is any: a trigger
    that does not match what opened the breakers is passed over, and so is its step.
    """
    domains = {target_domain(earlier.url) for earlier in job.spec.steps[:step]}
    trigger, until = job.spec.triggers[step - 1], request.first_byte_at
    return any(_may_have_shut(domain, trigger, until, history) for domain in domains)


def _may_have_shut(domain: TargetDomain, trigger: Trigger, until: float, history: History) -> bool:
    """Whether breakers may have been open on the way to a target: enough jobs failed there, one of them with
    a code that the trigger waits for.
    """
    succeeded = {(r.job_id, r.number) for r in history.requests if r.succeeded}
    tried = [grant for grant in history.grants if grant.domain == domain and grant.at <= until]
    failed = {grant.job_id for grant in tried if (grant.job_id, grant.number) not in succeeded}
    codes = {r.status for r in history.requests if r.domain == domain and r.first_byte_at <= until}
    fits = trigger.kind is not TriggerKind.ON_ERROR or bool(codes & trigger.codes)
    return fits and len(failed) >= ENOUGH_JOBS


def _was_triggered(job: Job, step: int, request: TargetRequest, history: History) -> bool:
    trigger = job.spec.triggers[step - 1]
    requests = history.requests_of(job.id)
    before = [r for r in requests if _step_of(job, r) < step and r.first_byte_at <= request.first_byte_at]
    failed = [r for r in before if not r.succeeded and (r.closed_at or 0.0) <= request.first_byte_at]
    if _may_be_shut(job, step, request, history):
        return True
    match trigger.kind:
        case TriggerKind.ON_ERROR:
            return any(r.status in trigger.codes for r in failed)
        case TriggerKind.ON_TIMEOUT:
            waited_s = trigger.timeout_ms / 1000 - ROUNDING_S
            late = any(r.first_byte_at + waited_s <= request.first_byte_at for r in before)
            return late or _unanswered(job, step, history)
        case TriggerKind.ANY:
            strict = any(spec.region_policy is RegionPolicy.STRICT for spec in job.spec.steps[:step])
            return strict or bool(failed) or _unanswered(job, step, history)


def _unanswered(job: Job, step: int, history: History) -> bool:
    """Whether an attempt of an earlier step ended without an answer; most of those no target saw."""
    answered = {(r.job_id, r.number) for r in history.requests if r.status is not None}
    urls = {spec.url for spec in job.spec.steps[:step]}
    return any(
        grant.url in urls and (grant.job_id, grant.number) not in answered
        for grant in history.grants
        if grant.job_id == job.id
    )
