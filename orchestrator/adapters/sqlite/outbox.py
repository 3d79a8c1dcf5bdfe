"""Deliveries as rows: one for each receiver of a job's result."""

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any

import msgpack

from orchestrator.adapters.damage import reading, whole
from orchestrator.domain.ids import CustomerId, DeliveryId, JobId, RegionName, TargetDomain, delivery_place
from orchestrator.domain.webhooks.fanout import NO_REGION, DeliveryAttempt, DeliveryState
from orchestrator.ports.store import (
    DamagedError,
    DeadFilter,
    DeadLetterCursor,
    OutboxEntry,
    PendingCursor,
    PendingEndpoint,
)
from orchestrator.runtime.log_format import about

_COLUMNS = "job_id, position, id, customer, state, attempts, first_ms, next_ms, log, endpoint"
_INSERT = f"INSERT INTO deliveries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # names of our own
_UPDATE = """UPDATE deliveries SET state = ?, attempts = ?, first_ms = ?, next_ms = ?, log = ?
             WHERE job_id = ? AND position = ?"""
_SELECT = f"SELECT {_COLUMNS} FROM deliveries WHERE"  # noqa: S608  # names of our own
_PENDING = "deliveries INDEXED BY deliveries_pending_at"
_NEWEST = (2**62, "")
ATTEMPTS_LOOKED_AT = 20

log = logging.getLogger(__name__)


def outbox_row(entry: OutboxEntry) -> tuple[Any, ...]:
    """Write an entry as a row."""
    return (
        entry.job_id,
        entry.index,
        entry.id,
        entry.customer,
        entry.state,
        entry.attempts,
        entry.first_ms,
        entry.next_ms,
        _pack_log(entry.log),
        entry.endpoint,
    )


def insert_outbox(db: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add deliveries."""
    db.executemany(_INSERT, rows)


def update_of(entry: OutboxEntry) -> tuple[str, tuple[Any, ...]]:
    """Say, as SQL and values, how a delivery goes on."""
    log = _pack_log(entry.log)
    return _UPDATE, (
        entry.state,
        entry.attempts,
        entry.first_ms,
        entry.next_ms,
        log,
        entry.job_id,
        entry.index,
    )


def read_pending(db: sqlite3.Connection) -> list[OutboxEntry]:
    """List what is still to be made, by its time."""
    return [_entry(row) for row in db.execute(f"{_SELECT} state = 'pending' ORDER BY next_ms")]


def read_deliveries(db: sqlite3.Connection, job_id: JobId) -> tuple[OutboxEntry, ...]:
    """List a job's deliveries, in the order of its webhooks."""
    sql = f"{_SELECT} job_id = ? ORDER BY position"
    return tuple(_entry(row) for row in db.execute(sql, (job_id,)))


def read_dead(
    db: sqlite3.Connection, wanted: DeadFilter, most: int, before: DeadLetterCursor | None
) -> list[OutboxEntry]:
    """List deliveries that failed for good; see ``Store.dead_deliveries``."""
    where, values = _chosen(wanted)
    # No id comes before the empty one: where a page begins and ``until_ms`` are one bound.
    start = min((wanted.until_ms, ""), (before.at_ms, before.id) if before else _NEWEST)
    sql = f"""{_SELECT} {where} AND customer = ? AND state = 'failed' AND (next_ms, id) < (?, ?)
              AND next_ms >= ? ORDER BY next_ms DESC, id DESC LIMIT ?"""
    within = (wanted.customer, *start, wanted.since_ms, most)
    return [_entry(row) for row in db.execute(sql, (*values, *within))]


def read_pending_endpoints(
    db: sqlite3.Connection, customer: str, most: int, endpoint: str | None
) -> list[PendingEndpoint]:
    """List whom deliveries still go to; see ``Store.pending_endpoints``."""
    where, values = _pending_of(customer, endpoint)
    sql = f"""SELECT endpoint, count(*), count(first_ms), min(next_ms) FROM {_PENDING} WHERE {where}
              GROUP BY endpoint ORDER BY count(*) DESC, endpoint LIMIT ?"""  # noqa: S608  # names of our own
    return [
        PendingEndpoint(
            endpoint=TargetDomain(name),
            deliveries=count,
            failing=failing,
            next_ms=next_ms,
            last=_last_attempt(db, customer, name) if failing else None,
        )
        for name, count, failing, next_ms in db.execute(sql, (*values, most)).fetchall()
    ]


def _last_attempt(db: sqlite3.Connection, customer: str, endpoint: str) -> DeliveryAttempt:
    # Those that are tried soonest and latest: the latest attempt is with one or the other, or near enough.
    where, values = _pending_of(customer, endpoint)
    logs = [
        log
        for order in ("ASC", "DESC")
        for (log,) in db.execute(
            f"""SELECT log FROM {_PENDING} WHERE {where} AND first_ms IS NOT NULL
                ORDER BY next_ms {order} LIMIT ?""",  # noqa: S608  # names of our own
            (*values, ATTEMPTS_LOOKED_AT),
        )
    ]
    return max((_attempt(*msgpack.unpackb(log)[-1]) for log in logs), key=lambda attempt: attempt.at_ms)


def read_pending_of(
    db: sqlite3.Connection, customer: str, most: int, endpoint: str | None, after: PendingCursor | None
) -> list[OutboxEntry]:
    """List deliveries that are still to be made; see ``Store.pending_deliveries``."""
    where, values = _pending_of(customer, endpoint)
    start = (after.endpoint, after.at_ms, after.id) if after else ("", -1, "")
    sql = f"""SELECT {_COLUMNS} FROM {_PENDING} WHERE {where} AND (endpoint, next_ms, id) > (?, ?, ?)
              ORDER BY endpoint, next_ms, id LIMIT ?"""  # noqa: S608  # names of our own
    return [_entry(row) for row in db.execute(sql, (*values, *start, most))]


def _pending_of(customer: str, endpoint: str | None) -> tuple[str, list[str]]:
    where = "state = 'pending' AND customer = ?"
    return (where, [customer]) if endpoint is None else (f"{where} AND endpoint = ?", [customer, endpoint])


def _chosen(wanted: DeadFilter) -> tuple[str, list[Any]]:
    # Each choice by itself, so that an index serves it: with "? IS NULL OR" every row would be looked at.
    chosen: dict[str, Any] = {}
    if wanted.endpoint is not None:
        chosen["endpoint"] = wanted.endpoint
    if wanted.id is not None:
        job_id, position = delivery_place(wanted.id) or (None, None)
        chosen |= {"id": wanted.id, "job_id": job_id, "position": position}
    return " AND ".join(["TRUE", *(f"{name} = ?" for name in chosen)]), [*chosen.values()]


def _entry(row: sqlite3.Row) -> OutboxEntry:
    first_ms = row["first_ms"]
    return OutboxEntry(
        id=DeliveryId(row["id"]),
        job_id=JobId(row["job_id"]),
        customer=CustomerId(row["customer"]),
        index=row["position"],
        endpoint=TargetDomain(row["endpoint"]),
        state=read_delivery_state(row["state"]),
        attempts=whole(row["attempts"]),
        first_ms=None if first_ms is None else whole(first_ms),
        next_ms=whole(row["next_ms"]),
        log=_read_log(row["log"], row["id"]),
    )


def read_delivery_state(stored: str) -> DeliveryState:
    """Read where a delivery stands; what is no state will not be made again by itself."""
    try:
        return DeliveryState(stored)
    except ValueError:
        return DeliveryState.FAILED


def _read_log(packed: bytes, delivery: object) -> tuple[DeliveryAttempt, ...]:
    """Read which attempts were made; a delivery can do without."""
    try:
        with reading("log"):
            return tuple(_attempt(*line) for line in msgpack.unpackb(packed))
    except DamagedError as error:
        words = "what was noted of delivery %s is damaged, and left out: %s"
        log.warning(words, delivery, error, extra=about(delivery=delivery))
        return ()


def _attempt(
    at_ms: int, status: int | None, took_ms: int, message: str, region: str = NO_REGION
) -> DeliveryAttempt:
    return DeliveryAttempt(at_ms + 0, status, took_ms + 0, str(message), RegionName(region))


def _pack_log(log: Sequence[DeliveryAttempt]) -> bytes:
    packed: bytes = msgpack.packb(
        [(line.at_ms, line.status, line.took_ms, line.message, line.region) for line in log]
    )
    return packed
