"""Marks of what may be sent once, as rows: one for each such job of which an attempt may have gone out."""

import logging
import sqlite3

from orchestrator.adapters.damage import reading, whole
from orchestrator.adapters.records import unpack_course, unpack_spec
from orchestrator.adapters.sealing import sealing_context
from orchestrator.domain.cluster.slots import slot_of
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.ids import AttemptId, JobId, RegionName, target_domain
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.ports.secret_box import SecretBox
from orchestrator.ports.store import DamagedError
from orchestrator.runtime.log_format import about

_MARK = """INSERT INTO marks (job_id, attempt_id, step, region, slot, epoch)
           SELECT id, ?, ?, ?, ?, ? FROM jobs WHERE id = ? AND ended_ms IS NULL
           ON CONFLICT (job_id) DO UPDATE SET attempt_id = excluded.attempt_id, step = excluded.step,
           region = excluded.region, slot = excluded.slot, epoch = excluded.epoch"""

log = logging.getLogger(__name__)


def write_mark(db: sqlite3.Connection, mark: Mark) -> bool:
    """Write a mark in place of its job's last one; say whether it was: not where the job has ended."""
    values = (mark.attempt, mark.step, mark.region, mark.slot, mark.epoch, mark.job)
    return db.execute(_MARK, values).rowcount > 0


def drop_mark(db: sqlite3.Connection, job_id: str) -> None:
    """Forget the mark of a job that has ended."""
    db.execute("DELETE FROM marks WHERE job_id = ?", (job_id,))


def read_marks(db: sqlite3.Connection) -> dict[JobId, Mark]:
    """Read every mark."""
    rows = db.execute("SELECT job_id, attempt_id, step, region, slot, epoch FROM marks")
    return {JobId(row["job_id"]): _mark(row) for row in rows}


def _mark(row: sqlite3.Row) -> Mark:
    return Mark(
        job=JobId(row["job_id"]),
        attempt=AttemptId(row["attempt_id"]),
        step=whole(row["step"]),
        region=RegionName(row["region"]),
        slot=whole(row["slot"]),
        epoch=whole(row["epoch"]),
    )


def mark_open_attempts(db: sqlite3.Connection, box: SecretBox) -> None:
    """Mark what an earlier version may have sent: it wrote that into the courses of its jobs alone. One that
    can't be read is no matter of its mark: it ends as damaged.
    """
    epoch = max((row["epoch"] for row in db.execute("SELECT epoch FROM epochs")), default=0)
    sql = "SELECT id, customer, request, run FROM jobs WHERE ended_ms IS NULL AND run IS NOT NULL"
    for row in db.execute(sql).fetchall():
        try:
            spec, course = _read(box, row)
        except DamagedError as error:
            ids = about(job=row["id"], customer=row["customer"])
            log.warning("%s is damaged, and was not marked: %s", row["id"], error, extra=ids)
            continue
        if spec.guarantee.once:
            for mark in _marks_of(JobId(row["id"]), spec, course, epoch):
                write_mark(db, mark)


def _read(box: SecretBox, row: sqlite3.Row) -> tuple[JobSpec, Course]:
    def opened(column: str) -> bytes:
        return box.open(row[column], sealing_context(row["customer"], row["id"], column))

    with reading("request"):
        spec = unpack_spec(opened("request"))
    with reading("run"):
        return spec, unpack_course(opened("run"))


def _marks_of(job_id: JobId, spec: JobSpec, course: Course, epoch: int) -> list[Mark]:
    return [
        Mark(
            job=job_id,
            attempt=attempt.id,
            step=step,
            region=attempt.region,
            slot=slot_of(target_domain(spec.steps[step].url)),
            epoch=epoch,
        )
        for attempt in course.open_attempts
        if (step := course.step_of(attempt.id)) is not None
    ]
