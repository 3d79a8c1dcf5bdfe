"""Jobs, newest first, by filters.

What a list is filtered by stands in an index, and is compared there. How deliveries stand is the exception:
that is looked up for each job that fits in all else. What few jobs are as a rule, failed or still open, is
looked for among those alone. However rare a fit is, one look goes through a bounded number of jobs, so that
others read in between; the page goes on until it is full, there is no more, or its time is over.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from orchestrator.adapters.damage import read_state, read_state_with_end, reading
from orchestrator.adapters.records import pack_delivery, unpack_quorum
from orchestrator.adapters.sqlite.outbox import read_delivery_state
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.lifecycle import JobState, state_shown
from orchestrator.domain.webhooks.fanout import JobDelivery, judge_delivery
from orchestrator.ports.store import DamagedError, JobCursor, JobFilter, JobSummary

LOOKED_THROUGH_MOST = 2_000
"""Jobs in one look: some milliseconds."""
FEW_OPEN = 20_000
"""So many jobs that have not ended are looked through at once: some ten milliseconds. Those that fit are put
in order then, for no index has them in it.
"""

_NEWEST = JobCursor(2**62, JobId(""))
_ACCEPTED = ("jobs.accepted_ms", "jobs.id")
_LAST_MS = 10**13 - 1
_LAST = f"job_{_LAST_MS}_~"
"""Behind every id."""
_Place = tuple[Any, ...]
_OPEN = frozenset(state for state in JobState if not state.ended)
_NOTED = frozenset({JobState.FAILED, JobState.CANCELLED})
"""Jobs of these states stand in ``failures``."""
_FORGOTTEN = "jobs.ended_ms IS NOT NULL AND jobs.result IS NULL"
_OPEN_JOBS = """(SELECT id FROM jobs INDEXED BY jobs_open WHERE ended_ms IS NULL) AS open_jobs
                CROSS JOIN jobs ON jobs.id = open_jobs.id"""
_COLUMNS = f"""jobs.id, jobs.customer, jobs.domain, jobs.state, jobs.not_before_ms, jobs.accepted_ms,
               jobs.ended_ms, jobs.idem_key, jobs.quorum, {_FORGOTTEN} AS forgotten"""
_STATE_SHOWN = f"""CASE WHEN jobs.state = '{JobState.SCHEDULED}' AND jobs.not_before_ms <= ?
                   THEN '{JobState.QUEUED}' ELSE jobs.state END"""
_RECEIVERS = "(SELECT group_concat(DISTINCT state) FROM deliveries WHERE job_id = jobs.id)"
_MAY_BE = {
    JobDelivery.NONE: "jobs.quorum IS NULL",
    JobDelivery.PENDING: f"""jobs.ended_ms IS NULL AND jobs.quorum IS NOT NULL
                             OR {_RECEIVERS} LIKE '%pending%'""",
    JobDelivery.QUORUM_MET: f"{_RECEIVERS} LIKE '%delivered%'",
    JobDelivery.DELIVERED: f"{_RECEIVERS} = 'delivered'",
    JobDelivery.FAILED: f"{_RECEIVERS} LIKE '%failed%'",
}
"""What receivers have to be like before anybody judges. Whether ``quorum`` is null is told by a row's head:
of a large one nothing more is read.
"""


class Look(Struct, frozen=True):
    """What one look found, and from where the next goes on; None where that was all."""

    jobs: tuple[JobSummary, ...]
    next: JobCursor | None


class _Source(Struct, frozen=True):
    """Where jobs are looked for: an index in the order of their acceptance."""

    index: str
    rows: str
    place: tuple[str, ...]
    """What orders them, its last column the id."""
    where: str
    values: tuple[Any, ...]
    at_once: bool = False
    """All of it is one look."""


class _Stretch(Struct, frozen=True):
    """The jobs that one look goes through, those that fit in what SQL knows of, and where the next begins."""

    source: _Source
    sql: str
    values: tuple[Any, ...]
    next: JobCursor | None


def look(db: sqlite3.Connection, wanted: JobFilter, now_ms: int, most: int, before: JobCursor | None) -> Look:
    """Look through some jobs for at most ``most`` that are wanted; see ``Store.jobs_of``."""
    stretch = _stretch(db, wanted, now_ms, before or _NEWEST)
    sql = f"SELECT {_COLUMNS} {stretch.sql} ORDER BY {_backwards(stretch.source)}"  # names of our own
    rows = db.execute(sql, stretch.values)
    found = tuple(_first(_summaries(db, rows, now_ms), wanted, most))
    if len(found) == most:
        return Look(found, JobCursor(found[-1].accepted_ms, found[-1].id))
    return Look(found, stretch.next)


def count(
    db: sqlite3.Connection, wanted: JobFilter, now_ms: int, most: int, before: JobCursor | None
) -> tuple[int, JobCursor | None]:
    """Look through some jobs likewise, and count those that are wanted, no further than ``most``; say as well
    from where on the next look goes.
    """
    if wanted.deliveries:
        looked = look(db, wanted, now_ms, most, before)
        return len(looked.jobs), looked.next
    stretch = _stretch(db, wanted, now_ms, before or _NEWEST)
    sql = f"SELECT count(*) FROM (SELECT 1 {stretch.sql} LIMIT ?)"  # noqa: S608  # names of our own
    (found,) = db.execute(sql, (*stretch.values, most)).fetchone()
    return found, stretch.next


def read_summary(db: sqlite3.Connection, job_id: JobId, now_ms: int) -> JobSummary | None:
    """Read one job; see ``Store.summary``."""
    sql = f"SELECT {_COLUMNS} FROM jobs WHERE id = ?"  # noqa: S608  # column names of our own
    return next(_summaries(db, db.execute(sql, (job_id,)).fetchall(), now_ms), None)


def delivery_in(db: sqlite3.Connection, job_id: str, state: str, quorum: bytes | None) -> JobDelivery:
    """Judge a job's deliveries; once they are forgotten, how they ended stands in ``quorum``."""
    try:
        with reading("quorum"):
            known = unpack_quorum(quorum)
    except DamagedError:
        # Each receiver counts then, and any of them will do.
        count = "SELECT count(*) FROM deliveries WHERE job_id = ?"
        known = 1, [True] * db.execute(count, (job_id,)).fetchone()[0]
    if isinstance(known, JobDelivery):
        return known
    needed, voters = known
    told = "SELECT state FROM deliveries WHERE job_id = ? ORDER BY position"
    deliveries = [read_delivery_state(s) for (s,) in db.execute(told, (job_id,))] if voters else []
    return judge_delivery(voters, needed, read_state(state, None), deliveries)


def _stretch(db: sqlite3.Connection, wanted: JobFilter, now_ms: int, start: JobCursor) -> _Stretch:
    source = _source(db, wanted)
    top, bottom = _bounds(wanted, start)
    end = None if source.at_once else _end_of_look(db, source, top, bottom)
    where, values = _conditions(wanted, now_ms)
    place, marks = ", ".join(source.place), _marks(top)
    sql = f"""FROM {source.rows} WHERE {source.where}
              AND ({place}) < ({marks}) AND ({place}) >= ({marks}) AND {where}"""
    within = (*source.values, *top, *(end or bottom))
    return _Stretch(source, sql, (*within, *values), None if end is None else _cursor(*end))


def _source(db: sqlite3.Connection, wanted: JobFilter) -> _Source:
    if wanted.customer is not None and wanted.idempotent_key is not None:
        return _of_key(wanted.customer, wanted.idempotent_key)
    if wanted.code is not None or (wanted.states and wanted.states <= _NOTED):
        return _of_failures(wanted)
    of_customer = "TRUE" if wanted.customer is None else "jobs.customer = ?"
    values = () if wanted.customer is None else (wanted.customer,)
    if wanted.states and wanted.states <= _OPEN and _few_are_open(db):
        place = ("jobs.id",) if wanted.customer is None else _ACCEPTED
        return _Source(_OPEN_JOBS, _OPEN_JOBS, place, of_customer, values, at_once=True)
    if wanted.customer is None:
        return _Source("jobs", "jobs", ("jobs.id",), of_customer, values)
    index = "jobs INDEXED BY jobs_listed"
    return _Source(index, index, _ACCEPTED, of_customer, values)


def _of_key(customer: CustomerId, key: str) -> _Source:
    holders = " UNION ALL ".join(
        f"SELECT id FROM jobs WHERE customer = ? AND idem_key = ? AND idem_holds = {holds}"  # noqa: S608  # 0 and 1
        for holds in (1, 0)
    )
    return _Source("jobs", "jobs", _ACCEPTED, f"jobs.id IN ({holders})", (customer, key, customer, key))


def _of_failures(wanted: JobFilter) -> _Source:
    of_code = "TRUE" if wanted.code is None else "failures.code = ?"
    values: tuple[Any, ...] = () if wanted.code is None else (wanted.code,)
    if wanted.customer is None:
        rows = "failures CROSS JOIN jobs ON jobs.id = failures.job_id"
        return _Source("failures", rows, ("failures.job_id",), of_code, values)
    index = f"failures INDEXED BY {'failures_listed' if wanted.code is None else 'failures_by_code'}"
    rows = f"{index} CROSS JOIN jobs ON jobs.id = failures.job_id"
    where = f"failures.customer = ? AND {of_code}"
    place = ("failures.accepted_ms", "failures.job_id")
    return _Source(index, rows, place, where, (wanted.customer, *values))


def _few_are_open(db: sqlite3.Connection) -> bool:
    sql = """SELECT count(*) FROM
             (SELECT 1 FROM jobs INDEXED BY jobs_open WHERE ended_ms IS NULL LIMIT ?)"""
    (found,) = db.execute(sql, (FEW_OPEN + 1,)).fetchone()
    return bool(found <= FEW_OPEN)


def _bounds(wanted: JobFilter, start: JobCursor) -> tuple[_Place, _Place]:
    """Say before which place a look begins, and with which the list ends. Of all customers' jobs that is an
    id: it begins with the time, and another index would cost each submission its share.
    """
    if wanted.customer is None:
        return (min(start.job_id or _LAST, _id_at(wanted.until_ms)),), (_id_at(wanted.since_ms),)
    return min((start.accepted_ms, start.job_id), (wanted.until_ms, "")), (wanted.since_ms, "")


def _id_at(unix_ms: int) -> str:
    return f"job_{min(unix_ms, _LAST_MS):013d}"


def _cursor(*place: Any) -> JobCursor:
    return JobCursor(place[0] if len(place) > 1 else 0, JobId(place[-1]))


def _backwards(source: _Source) -> str:
    return ", ".join(f"{column} DESC" for column in source.place)


def _end_of_look(
    db: sqlite3.Connection, source: _Source, top: _Place, bottom: _Place
) -> tuple[Any, ...] | None:
    """Say with which job this look ends, if it does not go through all that is left."""
    place, marks = ", ".join(source.place), _marks(top)
    sql = f"""SELECT {place} FROM {source.index} WHERE {source.where}
              AND ({place}) < ({marks}) AND ({place}) >= ({marks})
              ORDER BY {_backwards(source)} LIMIT 1 OFFSET ?"""  # noqa: S608  # names of our own
    values = (*source.values, *top, *bottom, LOOKED_THROUGH_MOST - 1)
    found: tuple[Any, ...] | None = db.execute(sql, values).fetchone()
    return found and (*found,)


def _conditions(wanted: JobFilter, now_ms: int) -> tuple[str, list[Any]]:
    conditions, values = ["TRUE"], []
    if wanted.states:
        conditions.append(f"{_STATE_SHOWN} IN ({_marks(wanted.states)})")
        values += [now_ms, *wanted.states]
    if wanted.domain is not None:
        conditions.append("jobs.domain = ?")
        values.append(wanted.domain)
    if wanted.code is not None and wanted.idempotent_key is not None:
        conditions.append("EXISTS (SELECT 1 FROM failures WHERE job_id = jobs.id AND code = ?)")
        values.append(wanted.code)
    if wanted.deliveries:
        told = " OR ".join(f"({_MAY_BE[delivery]})" for delivery in wanted.deliveries)
        ended = f"jobs.quorum IN ({_marks(wanted.deliveries)})"
        conditions.append(f"CASE WHEN {_FORGOTTEN} THEN {ended} ELSE {told} END")
        values += [pack_delivery(delivery) for delivery in wanted.deliveries]
    return " AND ".join(conditions), values


def _marks(chosen: Iterable[object]) -> str:
    return ", ".join("?" for _ in chosen)


def _first(found: Iterator[JobSummary], wanted: JobFilter, most: int) -> Iterator[JobSummary]:
    count = 0
    for job in found:
        if not wanted.deliveries or job.delivery in wanted.deliveries:
            yield job
            count += 1
        if count == most:
            return


def _summaries(db: sqlite3.Connection, rows: Iterable[Any], now_ms: int) -> Iterator[JobSummary]:
    for row in rows:
        state = read_state_with_end(row["state"], row["ended_ms"])
        yield JobSummary(
            id=JobId(row["id"]),
            customer=row["customer"],
            domain=row["domain"],
            state=state_shown(state, row["not_before_ms"], now_ms),
            delivery=delivery_in(db, row["id"], row["state"], row["quorum"]),
            idempotent_key=row["idem_key"],
            accepted_ms=row["accepted_ms"],
            ended_ms=row["ended_ms"],
            forgotten=bool(row["forgotten"]),
        )
