"""Rows of jobs, read: sealed columns opened, and what can't be read said by its column's name."""

import logging
from collections.abc import Callable
from typing import Any

import msgpack

from orchestrator.adapters.records import unpack_course, unpack_spec
from orchestrator.adapters.sqlite.damage import (
    read_state_with_end,
    reading,
    require_state,
    whole,
)
from orchestrator.domain.course import Course
from orchestrator.domain.ids import AccountId, CustomerId, JobId, TargetDomain
from orchestrator.domain.job import Job
from orchestrator.ports.secret_box import SecretBox
from orchestrator.ports.store import DamagedError, StoredJob, WaitingJob

WAITING_COLUMNS = "id, customer, domain, state, order_key, not_before_ms, queued_as"
JOB_COLUMNS = "customer, domain, idem_key, accepted_ms, state, ended_ms, request, run, length(result)"

log = logging.getLogger(__name__)


def sealing_context(customer: str, job_id: str, column: str) -> str:
    """Say what a sealed column of a job is bound to."""
    return f"{customer}|jobs|{job_id}|{column}"


def waiting_job(box: SecretBox, row: tuple[Any, ...]) -> WaitingJob:
    """Read a row of WAITING_COLUMNS; one that is damaged says so."""
    id_, customer, domain, state, key, at_ms, queued_as = row
    account, cost, damage = None, 1.0, None
    try:
        require_state(state, None)
        with reading("queued_as"):
            account, cost = _queued_as(box, queued_as, sealing_context(customer, id_, "queued_as"))
        with reading("order_key, not_before_ms"):
            _ = key + at_ms + 0
    except DamagedError as error:
        damage = str(error)
    return WaitingJob(
        id=JobId(id_),
        customer=CustomerId(customer),
        domain=TargetDomain(domain),
        state=read_state_with_end(state, None),
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


def open_result(box: SecretBox, customer: str, job_id: JobId, sealed: bytes) -> bytes:
    """Open a job's result.

    Raises:
        DamagedError: It can't be read.
    """
    with reading("result"):
        return box.open(sealed, sealing_context(customer, job_id, "result"))


def stored_job(
    box: SecretBox,
    job_id: JobId,
    row: tuple[Any, ...],
    result: Callable[[], bytes | None],
    result_most: int | None,
) -> StoredJob | None:
    """Read a row of JOB_COLUMNS, without its deliveries; None where its payload is past its keeping.
    ``result`` reads the result, where that is of ``result_most`` bytes or fewer.

    Raises:
        DamagedError: Its request can't be read; the result is handed along, where that can.
    """
    customer, domain, key, accepted_ms, state, ended_ms, request, run, size = row
    if not request and ended_ms is not None and size is None:
        return None

    def opened(sealed: bytes | None, column: str) -> bytes | None:
        return None if sealed is None else box.open(sealed, sealing_context(customer, job_id, column))

    body, course, damage = None, None, None
    try:
        _require_result(ended_ms, size)
        if size is not None and (result_most is None or size <= result_most):
            body = result()
        with reading("run"):
            course = _course(opened(run, "run"))
        require_state(state, ended_ms)
    except DamagedError as error:
        damage = str(error)
        log.warning("%s is damaged: %s", job_id, damage)
        size = size if body is not None or not damage.startswith("result") else 0
    try:
        with reading("request"):
            spec = unpack_spec(box.open(request, sealing_context(customer, job_id, "request")))
    except DamagedError as error:
        raise DamagedError(str(error), result=body) from None
    return StoredJob(
        job=Job(
            id=job_id,
            customer=customer,
            domain=domain,
            idempotent_key=key,
            accepted_ms=accepted_ms,
            spec=spec,
        ),
        state=read_state_with_end(state, ended_ms),
        course=course,
        result=body,
        ended_ms=ended_ms,
        deliveries=(),
        result_bytes=size or 0,
        damage=damage,
    )


def _require_result(ended_ms: int | None, size: int | None) -> None:
    """An end is written with its result."""
    if ended_ms is not None and not size:
        raise DamagedError("result: there is none")


def _course(packed: bytes | None) -> Course | None:
    return None if packed is None else unpack_course(packed)
