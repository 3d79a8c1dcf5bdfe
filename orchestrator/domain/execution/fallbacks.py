"""Which fallback of a job begins, and when: by how the step before it went."""

from collections.abc import Collection

from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.course import Course, begin_step, with_run
from orchestrator.domain.execution.run import LegState, Run, leave
from orchestrator.domain.health.breaker import Cause
from orchestrator.domain.jobs.job import JobSpec, TriggerKind

TIMEOUTS = (Fault.TIMEOUT, Fault.CONNECT_TIMEOUT)


def timeout_after(course: Course, spec: JobSpec, step: int) -> tuple[int, int] | None:
    """Say which step begins when ``step`` is late, and how late in ms; None where none does."""
    for candidate, trigger in enumerate(spec.triggers[step:], step + 1):
        if course.runs[candidate] is not None:
            break
        if trigger.kind is TriggerKind.ON_TIMEOUT:
            return candidate, trigger.timeout_ms
    return None


def leave_shut_step(course: Course, spec: JobSpec, step: int, cause: Cause) -> tuple[Course, int | None]:
    """Every breaker on the way to a step's target is open: go on to the fallback whose trigger matches
    what opened them, as if the target had answered so. Gives its step; None where the job has to wait.
    """
    run = course.run_of(step)
    busy = any(leg.state in (LegState.UNDER_WAY, LegState.WON) for leg in run.legs)
    if busy or _repeats_left(run, spec.steps[step], cause):
        return course, None
    following = next_step(course, spec, step, {cause.status}, timed_out=cause.fault in TIMEOUTS)
    if following is None:
        return course, None
    return begin_step(with_run(course, step, leave(run)), spec, following), following


def next_step(
    course: Course, spec: JobSpec, step: int, codes: Collection[int | None], *, timed_out: bool
) -> int | None:
    """Find the first fallback after ``step`` whose trigger matches; a trigger that does not match
    passes the same outcome on to the fallback after it. What comes after one that has begun is judged by how
    that one goes.
    """
    for candidate, trigger in enumerate(spec.triggers[step:], step + 1):
        if course.runs[candidate] is not None:
            break
        if trigger.meets(codes, timed_out=timed_out):
            return candidate
    return None


def codes_after(course: Course, spec: JobSpec, step: int) -> frozenset[int]:
    """List the statuses that fallbacks after ``step`` wait for, as far as they are judged by how it goes."""
    codes: frozenset[int] = frozenset()
    for candidate, trigger in enumerate(spec.triggers[step:], step + 1):
        # What takes every failure, or has begun: what lies behind is never judged by how this step went.
        if trigger.kind is TriggerKind.ANY or course.runs[candidate] is not None:
            break
        codes |= trigger.codes
    return codes


def _repeats_left(run: Run, spec: JobSpec, cause: Cause) -> bool:
    """Whether the job's own policy lists the code, and is not spent."""
    policy = spec.retry_policy
    if policy is None or cause.status not in policy.retry_codes | policy.reroute_codes:
        return False
    rerouting = cause.status not in policy.retry_codes
    return run.retries < policy.max_retries or (rerouting and run.reroutes < policy.max_reroutes)
