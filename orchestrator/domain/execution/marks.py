"""Marks of what may be sent once, and what a job's recovery may conclude from them.

A job that may be sent once has one attempt at a time. Its target's shard writes the mark of that attempt
under its own epoch, and sends it after the commit. So what is marked may have been sent; what is not was
not, once nobody can write its mark any more: the target's slot has a new epoch then.
"""

from msgspec import Struct

from orchestrator.domain.execution.course import PRIMARY, Course, begin_step, dispatch_leg
from orchestrator.domain.ids import AttemptId, JobId, RegionName, ShardName, attempt_origin
from orchestrator.domain.jobs.job import JobSpec


class Owner(Struct, frozen=True):
    """Who has a slot: a shard, in one of its epochs."""

    shard: ShardName
    epoch: int


class Mark(Struct, frozen=True, kw_only=True):
    """An attempt is about to be sent: written by the shard that has its target's slot, in its ``epoch``."""

    job: JobId
    attempt: AttemptId
    step: int
    region: RegionName
    slot: int
    epoch: int


def surely_unsent(course: Course, mark: Mark | None, owner: Owner | None) -> bool:
    """Whether nothing that is open in a job's course was sent, or ever will be. Its mark was read after
    ``owner`` had the slot of its target; None where nobody knows who has it.
    """
    attempts = [attempt.id for attempt in course.open_attempts]
    # One that was placed before the marked one was over by then, whatever the course has kept of its end.
    if owner is None or (mark is not None and mark.attempt in attempts):
        return False
    return all(_is_fenced(attempt_origin(attempt), owner) for attempt in attempts)


def _is_fenced(origin: tuple[ShardName, int] | None, owner: Owner) -> bool:
    """Whether who placed an attempt can mark it no more."""
    # The ids of before attempts named their shard don't say who placed them.
    if origin is None:
        return False
    shard, epoch = origin
    return shard != owner.shard or epoch < owner.epoch


def with_mark(course: Course, spec: JobSpec, mark: Mark | None, now_ms: int) -> Course:
    """Record the attempt of a mark that is newer than what was written of its job (Unix ms)."""
    if mark is None or course.step_of(mark.attempt) is not None:
        return course
    step = mark.step if 0 <= mark.step < len(course.runs) else PRIMARY
    if course.runs[step] is None:
        course = begin_step(course, spec, step)
    course, _ = dispatch_leg(course, step, 0, mark.attempt, mark.region, now_ms)
    return course
