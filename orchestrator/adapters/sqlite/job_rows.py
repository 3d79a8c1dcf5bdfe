"""Rows of jobs, read: sealed columns opened, and what can't be read said by its column's name."""

import logging
import sqlite3

import msgpack
from msgspec import Struct
from msgspec.structs import replace

from orchestrator.adapters.damage import read_state_with_end, reading, require_state, whole
from orchestrator.adapters.records import unpack_course, unpack_request
from orchestrator.adapters.sealing import sealing_context
from orchestrator.adapters.sqlite import course_parts
from orchestrator.adapters.sqlite.outbox import read_deliveries
from orchestrator.adapters.sqlite.result_parts import joined
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.course_answers import without_answers
from orchestrator.domain.ids import AccountId, CustomerId, JobId, TargetDomain
from orchestrator.domain.jobs.job import Job, JobSpec
from orchestrator.ports.secret_box import SecretBox
from orchestrator.ports.store import DamagedError, StoredJob, WaitingJob
from orchestrator.runtime.log_format import about

WAITING_COLUMNS = "id, customer, domain, state, order_key, not_before_ms, queued_as"
JOB_COLUMNS = (
    "customer, domain, idem_key, accepted_ms, state, ended_ms, request, run, run_bytes, run_second, "
    "ifnull(result_bytes, length(result)) AS result_bytes"
)

log = logging.getLogger(__name__)


def waiting_job(box: SecretBox, row: sqlite3.Row) -> WaitingJob:
    """Read a row of WAITING_COLUMNS; one that is damaged says so."""
    job_id, customer, key, at_ms = row["id"], row["customer"], row["order_key"], row["not_before_ms"]
    account, cost, damage = None, 1.0, None
    try:
        require_state(row["state"], None)
        with reading("queued_as"):
            account, cost = _queued_as(box, row["queued_as"], sealing_context(customer, job_id, "queued_as"))
        with reading("order_key, not_before_ms"):
            _ = key + at_ms + 0
    except DamagedError as error:
        damage = str(error)
    return WaitingJob(
        id=JobId(job_id),
        customer=CustomerId(customer),
        domain=TargetDomain(row["domain"]),
        state=read_state_with_end(row["state"], None),
        order_key=whole(key),
        not_before_ms=whole(at_ms),
        account=account,
        cost=cost,
        damage=damage,
    )


def _queued_as(box: SecretBox, sealed: bytes | None, context: str) -> tuple[AccountId | None, float]:
    if sealed is None:
        return None, 1.0
    account, cost = msgpack.unpackb(box.open(sealed, context))
    return None if account is None else AccountId(str(account)), float(cost)


def read_job(
    db: sqlite3.Connection, box: SecretBox, job_id: JobId, *, large: bool = True
) -> StoredJob | None:
    """Read a job, with what may be ``large`` or without; see ``JobStore.load`` and ``JobStore.look``.

    Raises:
        DamagedError: Its request can't be read.
    """
    row = db.execute(f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone()  # noqa: S608  # names of our own
    if row is None:
        return None
    most = None if large else LARGE_BYTES
    found = _stored_job(db, box, job_id, row, most)
    if found is None:
        return None
    course = found.course if large or found.course is None else without_answers(found.course)
    return replace(found, course=course, deliveries=read_deliveries(db, job_id))


def read_result(db: sqlite3.Connection, box: SecretBox, job_id: JobId) -> bytes | None:
    """Read a job's result; None where it has none.

    Raises:
        DamagedError: It can't be read.
    """
    row = db.execute("SELECT customer, result, result_bytes FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None or row["result"] is None:
        return None
    with reading("result"):
        sealed, size = row["result"], row["result_bytes"]
        whole = sealed if size is None else joined(db, job_id, sealed, size)
        return box.open(whole, sealing_context(row["customer"], job_id, "result"))


def _stored_job(
    db: sqlite3.Connection, box: SecretBox, job_id: JobId, row: sqlite3.Row, result_most: int | None
) -> StoredJob | None:
    """Read a row of JOB_COLUMNS, without its deliveries, and its result, where that is of ``result_most``
    bytes or fewer; None where its payload is past its keeping.

    Raises:
        DamagedError: Its request can't be read; the result is handed along, where that can.
    """
    customer, ended_ms, request = row["customer"], row["ended_ms"], row["request"]
    if not request and ended_ms is not None and row["result_bytes"] is None:
        return None
    outcome = _outcome(db, box, job_id, row, result_most)
    try:
        with reading("request"):
            spec, traceparent = unpack_request(
                box.open(request, sealing_context(customer, job_id, "request"))
            )
    except DamagedError as error:
        raise DamagedError(str(error), result=outcome.body) from None
    return StoredJob(
        job=_job(job_id, row, spec, traceparent),
        state=read_state_with_end(row["state"], ended_ms),
        course=outcome.course,
        result=outcome.body,
        ended_ms=ended_ms,
        deliveries=(),
        result_bytes=outcome.size or 0,
        damage=outcome.damage,
    )


def _job(job_id: JobId, row: sqlite3.Row, spec: JobSpec, traceparent: str | None) -> Job:
    return Job(
        id=job_id,
        customer=row["customer"],
        domain=row["domain"],
        idempotent_key=row["idem_key"],
        accepted_ms=row["accepted_ms"],
        spec=spec,
        traceparent=traceparent,
    )


class _Outcome(Struct, frozen=True):
    """What a row says of how a job went; ``damage`` is what can't be read of it."""

    body: bytes | None
    course: Course | None
    size: int | None
    damage: str | None


def _outcome(
    db: sqlite3.Connection, box: SecretBox, job_id: JobId, row: sqlite3.Row, result_most: int | None
) -> _Outcome:
    size, body, course = row["result_bytes"], None, None
    try:
        _require_result(row["ended_ms"], size)
        if size is not None and (result_most is None or size <= result_most):
            body = read_result(db, box, job_id)
        with reading("run"):
            course = _read_course(db, box, job_id, row)
        require_state(row["state"], row["ended_ms"])
    except DamagedError as error:
        damage = str(error)
        ids = about(job=job_id, customer=row["customer"])
        log.warning("%s is damaged: %s", job_id, damage, extra=ids)
        size = size if body is not None or not damage.startswith("result") else 0
        return _Outcome(body, course, size, damage)
    return _Outcome(body, course, size, None)


def _require_result(ended_ms: int | None, size: int | None) -> None:
    """An end is written with its result."""
    if ended_ms is not None and not size:
        raise DamagedError("result: there is none")


def _read_course(db: sqlite3.Connection, box: SecretBox, job_id: JobId, row: sqlite3.Row) -> Course | None:
    sealed, size = row["run"], row["run_bytes"]
    if sealed is None:
        return None
    whole = sealed if size is None else course_parts.joined(db, job_id, sealed, size, row["run_second"])
    return unpack_course(box.open(whole, sealing_context(row["customer"], job_id, "run")))
