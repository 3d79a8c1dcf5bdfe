"""Pages of a customer's jobs, newest first, by key: the millionth page costs what the first does."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from orchestrator.adapters.store.records import unpack_quorum
from orchestrator.domain.fanout import DeliveryState, JobDelivery
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.lifecycle import JobState, state_shown
from orchestrator.ports.store import JobCursor, JobPage, JobSummary, judge_delivery

LOOKED_THROUGH_MOST = 10_000
"""Rows for one page. One state may be rare: a look through millions of rows would hold up every reader."""

_NEWEST = JobCursor(2**62, JobId(""))
_FORGOTTEN = "ended_ms IS NOT NULL AND result IS NULL"
_COLUMNS = (
    f"id, customer, domain, state, not_before_ms, accepted_ms, ended_ms, idem_key, quorum, {_FORGOTTEN}"
)


def read_page(
    db: sqlite3.Connection,
    customer: CustomerId,
    now_ms: int,
    most: int,
    state: JobState | None,
    before: JobCursor | None,
) -> JobPage:
    """Read a page; see ``Store.jobs_of``."""
    sql = f"""SELECT {_COLUMNS} FROM jobs WHERE customer = ? AND (accepted_ms, id) < (?, ?)
              ORDER BY accepted_ms DESC, id DESC LIMIT ?"""  # noqa: S608  # column names of our own
    start = before or _NEWEST
    found: list[Any] = []
    looked_at, last = 0, None
    for row in db.execute(sql, (customer, start.accepted_ms, start.job_id, LOOKED_THROUGH_MOST)):
        looked_at, last = looked_at + 1, row
        if state is None or state_shown(JobState(row[3]), row[4], now_ms) is state:
            found.append(row)
        if len(found) == most:
            break
    full = len(found) == most or looked_at == LOOKED_THROUGH_MOST
    place = JobCursor(last[5], JobId(last[0])) if full and last else None
    return JobPage(tuple(_summaries(db, found, now_ms)), place)


def read_summary(db: sqlite3.Connection, job_id: JobId, now_ms: int) -> JobSummary | None:
    """Read one job; see ``Store.summary``."""
    sql = f"SELECT {_COLUMNS} FROM jobs WHERE id = ?"  # noqa: S608  # column names of our own
    return next(_summaries(db, db.execute(sql, (job_id,)).fetchall(), now_ms), None)


def delivery_in(db: sqlite3.Connection, job_id: str, state: str, quorum: bytes | None) -> JobDelivery:
    """Judge a job's deliveries; once they are forgotten, how they ended stands in ``quorum``."""
    known = unpack_quorum(quorum)
    if isinstance(known, JobDelivery):
        return known
    needed, voters = known
    told = "SELECT state FROM deliveries WHERE job_id = ? ORDER BY position"
    deliveries = [DeliveryState(s) for (s,) in db.execute(told, (job_id,))] if voters else []
    return judge_delivery(voters, needed, JobState(state), deliveries)


def _summaries(db: sqlite3.Connection, rows: list[Any], now_ms: int) -> Iterator[JobSummary]:
    for id_, customer, domain, state, begins_ms, accepted_ms, ended_ms, key, quorum, forgotten in rows:
        yield JobSummary(
            id=JobId(id_),
            customer=customer,
            domain=domain,
            state=state_shown(JobState(state), begins_ms, now_ms),
            delivery=delivery_in(db, id_, state, quorum),
            idempotent_key=key,
            accepted_ms=accepted_ms,
            ended_ms=ended_ms,
            forgotten=bool(forgotten),
        )
