"""Deliveries as rows: one for each receiver of a job's result."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgpack

from orchestrator.domain.fanout import NO_REGION, DeliveryAttempt, DeliveryState
from orchestrator.domain.ids import CustomerId, DeliveryId, JobId, RegionName, TargetDomain
from orchestrator.ports.store import DeadFilter, DeadPlace, OutboxEntry

_COLUMNS = "job_id, position, id, customer, state, attempts, first_ms, next_ms, log, endpoint"
_INSERT = f"INSERT INTO deliveries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # names of our own
_UPDATE = """UPDATE deliveries SET state = ?, attempts = ?, first_ms = ?, next_ms = ?, log = ?
             WHERE job_id = ? AND position = ?"""
_SELECT = f"SELECT {_COLUMNS} FROM deliveries WHERE"  # noqa: S608  # names of our own
_NEWEST = DeadPlace(2**62, DeliveryId(""))


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
    db: sqlite3.Connection, wanted: DeadFilter, most: int, before: DeadPlace | None
) -> list[OutboxEntry]:
    """List deliveries that failed for good; see ``Store.dead_deliveries``."""
    start = before or _NEWEST
    sql = f"""{_SELECT} customer = ? AND state = 'failed' AND (next_ms, id) < (?, ?)
              AND next_ms >= ? AND next_ms < ? AND (? IS NULL OR endpoint = ?) AND (? IS NULL OR id = ?)
              ORDER BY next_ms DESC, id DESC LIMIT ?"""
    values = (wanted.customer, start.at_ms, start.id, wanted.since_ms, wanted.until_ms)
    chosen = (wanted.endpoint, wanted.endpoint, wanted.id, wanted.id)
    return [_entry(row) for row in db.execute(sql, (*values, *chosen, most))]


def _entry(row: tuple[Any, ...]) -> OutboxEntry:
    job_id, position, id_, customer, state, attempts, first_ms, next_ms, log, endpoint = row
    return OutboxEntry(
        id=DeliveryId(id_),
        job_id=JobId(job_id),
        customer=CustomerId(customer),
        index=position,
        endpoint=TargetDomain(endpoint),
        state=DeliveryState(state),
        attempts=attempts,
        first_ms=first_ms,
        next_ms=next_ms,
        log=tuple(_attempt(*line) for line in msgpack.unpackb(log)),
    )


def _attempt(
    at_ms: int, status: int | None, took_ms: int, message: str, region: str = NO_REGION
) -> DeliveryAttempt:
    return DeliveryAttempt(at_ms, status, took_ms, message, RegionName(region))


def _pack_log(log: Sequence[DeliveryAttempt]) -> bytes:
    packed: bytes = msgpack.packb(
        [(line.at_ms, line.status, line.took_ms, line.message, line.region) for line in log]
    )
    return packed
