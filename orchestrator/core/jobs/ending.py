"""What a job's end writes in one transaction: its result, its outbox, and the jobs that it spawns."""

from collections.abc import Sequence
from random import Random

from msgspec.structs import replace

from orchestrator.domain.execution.course import Child, Course
from orchestrator.domain.execution.course_answers import without_answers
from orchestrator.domain.execution.settling import Failure, FailureCode
from orchestrator.domain.ids import DeliveryId, new_job_id, target_domain
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.store import Accepted, Duplicate, Ending, OutboxEntry


def ending_of(
    job: Job,
    state: JobState,
    course: Course,
    body: bytes,
    now_ms: int,
    children: Sequence[Job],
    failure: Failure | None = None,
) -> Ending:
    """Write down a job's end; its key is free again where no attempt was written. Answers stand in the
    result, and nowhere else.
    """
    return Ending(
        job_id=job.id,
        customer=job.customer,
        state=state,
        course=without_answers(course),
        result=body,
        ended_ms=now_ms,
        outbox=_outbox_of(job, now_ms),
        key_freed=not course.written,
        children=tuple(children),
        code=failure.code if failure else None,
        marked=job.spec.guarantee.once,
    )


def _outbox_of(job: Job, now_ms: int) -> tuple[OutboxEntry, ...]:
    return tuple(
        OutboxEntry(
            id=DeliveryId(f"msg_{job.id}_{index}"),
            job_id=job.id,
            customer=job.customer,
            index=index,
            endpoint=target_domain(webhook.url),
            next_ms=now_ms,
        )
        for index, webhook in enumerate(job.spec.webhooks)
    )


def children_of(
    job: Job, state: JobState, now_ms: int, random: Random, traceparent: str | None
) -> list[tuple[str, Job]]:
    """Make the child that this end spawns, with its place: none, or one. It belongs to the job's trace."""
    places = {
        JobState.SUCCESS: ("on_success", job.spec.on_success),
        JobState.FAILED: ("on_failure", job.spec.on_failure),
    }
    place, born = places.get(state, ("", None))
    if born is None:
        return []
    child = Job(
        id=new_job_id(now_ms, random),
        customer=job.customer,
        domain=target_domain(born.url),
        idempotent_key=born.idempotent_key or f"{job.id}/{place}",
        accepted_ms=now_ms,
        spec=born,
        traceparent=traceparent,
    )
    return [(place, child)]


def with_children(course: Course, born: Sequence[tuple[str, Job]]) -> Course:
    """Note which children a job's end spawns."""
    return replace(course, children=tuple(Child(place, job.id, known=False) for place, job in born))


def known_children(children: Sequence[Child], taken: Sequence[Accepted | Duplicate]) -> tuple[Child, ...]:
    """Name the first job of a key, where a child's own key was known."""
    return tuple(
        replace(child, job_id=found.job_id, known=True) if isinstance(found, Duplicate) else child
        for child, found in zip(children, taken, strict=True)
    )


def out_of_time(job: Job) -> Failure:
    """Say that a job's time is over."""
    limit = "on_failure_timeout_ms" if job.times_out else "deadline_ms"
    code = FailureCode.TIMEOUT if job.times_out else FailureCode.DEADLINE
    return Failure(code, f"the job's {limit} passed before it succeeded")
