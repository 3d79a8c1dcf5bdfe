"""What a job says to its targets, written from its spec and its course."""

from orchestrator.domain.execution.course import PRIMARY, Course
from orchestrator.domain.execution.run import Attempt
from orchestrator.domain.execution.step_plan import plan_of
from orchestrator.domain.execution.target_request import target_request
from orchestrator.domain.ids import TargetDomain, target_domain
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.accounts import account_of
from orchestrator.ports.targets import Claim, RunStep, SendAttempt, Turn, Withdraw


def target_of(job: Job, step: int) -> TargetDomain:
    """Name the target of a step."""
    return job.domain if step == PRIMARY else target_domain(job.spec.steps[step].url)


def targets_of(job: Job) -> list[TargetDomain]:
    """Name the targets of all steps."""
    if job.spec.fallback is None:
        return [job.domain]
    return [target_of(job, step) for step in range(len(job.spec.steps))]


def claim_of(job: Job, course: Course, step: int, leg: int) -> Claim:
    """Claim a permit for a leg of a step that has begun."""
    spec = job.spec.steps[step]
    account = account_of(job.customer, spec.account, spec.headers, spec.url)
    ticket = Ticket(job.order_key, job.id, leg, job.customer, step, account, spec.cost, spec.path_class)
    spare = plan_of(course.run_of(step), spec).is_spare(leg)
    return Claim(target_of(job, step), ticket, spare, may_leave=spec.fallback is not None)


def run_order(job: Job, course: Course, turn: Turn) -> RunStep:
    """Use a turn for its step as that stands."""
    spec = job.spec.steps[turn.ticket.step]
    plan = plan_of(course.run_of(turn.ticket.step), spec)
    return RunStep(turn, plan, turn.ticket.path or spec.path_class, may_leave=spec.fallback is not None)


def send_order(job: Job, step: int, attempt: Attempt, traceparent: str | None) -> SendAttempt:
    """Send the request of an attempt, which belongs to a trace or to none."""
    once = job.spec.guarantee.once
    return SendAttempt(job.id, step, attempt.id, target_request(job, step, attempt, traceparent), once)


def withdrawals(job: Job, course: Course) -> list[Withdraw]:
    """Withdraw every step that has begun."""
    return [withdrawal(job, course, step) for step, run in enumerate(course.runs) if run is not None]


def withdrawal(job: Job, course: Course, step: int) -> Withdraw:
    """Withdraw a step that has begun."""
    # Of a step of which nothing went out its target may not know: it waits as an index entry.
    claim = None if course.run_of(step).made else claim_of(job, course, step, 0)
    return Withdraw(target_of(job, step), job.id, step, job.spec.steps[step].regions, claim)
