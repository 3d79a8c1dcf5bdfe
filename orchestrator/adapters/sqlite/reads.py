"""The embedded store's reads, each in its lane beside the writer."""

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
from msgspec.structs import replace

from orchestrator.adapters.records import unpack_learned
from orchestrator.adapters.sqlite.damage import read_role, read_state, reading
from orchestrator.adapters.sqlite.job_rows import (
    JOB_COLUMNS,
    WAITING_COLUMNS,
    open_result,
    stored_job,
    waiting_job,
)
from orchestrator.adapters.sqlite.listing import look, read_summary
from orchestrator.adapters.sqlite.outbox import (
    read_dead,
    read_deliveries,
    read_pending,
    read_pending_endpoints,
    read_pending_of,
)
from orchestrator.adapters.sqlite.overrulings import read_overrulings
from orchestrator.adapters.sqlite.reader_lanes import ReaderLanes
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.course import without_answers
from orchestrator.domain.heard import Learned
from orchestrator.domain.idempotency import payload_bytes
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
from orchestrator.domain.job import Job
from orchestrator.domain.overruling import Overruling
from orchestrator.domain.roles import Caller
from orchestrator.domain.usage import DayUsage
from orchestrator.ports.secret_box import SecretBox
from orchestrator.ports.store import (
    DamagedError,
    DeadFilter,
    DeadLetterCursor,
    Duplicate,
    JobCursor,
    JobFilter,
    JobPage,
    JobSummary,
    OutboxEntry,
    PendingCursor,
    PendingEndpoint,
    StoredJob,
    WaitingJob,
    WebhookSecrets,
)

log = logging.getLogger(__name__)


class SqliteReads:
    """What the Store port reads. It never waits behind a commit: WAL lets both go on."""

    def __init__(self, path: Path, box: SecretBox) -> None:
        self._box = box
        self._lanes = ReaderLanes(path)

    async def duplicates_of(self, jobs: Sequence[Job]) -> Sequence[Duplicate | None]:
        """Say of each job, without storing it, whether its key is known."""
        return await self._lanes.work.read(lambda db: [self._duplicate_of(db, job) for job in jobs])

    def _duplicate_of(self, db: sqlite3.Connection, job: Job) -> Duplicate | None:
        first = find_key(db, job.customer, job.idempotent_key)
        return first and duplicate(first, self._box.fingerprint(payload_bytes(job.spec)))

    async def waiting(self) -> Sequence[WaitingJob]:
        """List every job that has not ended."""
        sql = f"SELECT {WAITING_COLUMNS} FROM jobs WHERE ended_ms IS NULL ORDER BY order_key, id"  # noqa: S608  # names of our own
        return [waiting_job(self._box, row) for row in await self._read(sql)]

    async def load(self, job_id: JobId) -> StoredJob | None:
        """Read one job whole.

        Raises:
            DamagedError: Its request can't be read.
        """
        return await self._lanes.work.read(lambda db: self._load(db, job_id))

    async def look(self, job_id: JobId, reader: CustomerId | None = None) -> StoredJob | None:
        """Read one job without what may be large; see ``Store.look``."""

        def read(db: sqlite3.Connection) -> StoredJob | None:
            return self._load(db, job_id, large=False)

        return await (self._lanes.work.read(read) if reader is None else self._lanes.shown(reader, read))

    async def result(self, job_id: JobId, reader: CustomerId | None = None) -> bytes | None:
        """Read a job's result; see ``Store.result``."""

        def read(db: sqlite3.Connection) -> bytes | None:
            return self._result(db, job_id)

        return await (self._lanes.work.read(read) if reader is None else self._lanes.shown(reader, read))

    async def jobs_of(
        self, wanted: JobFilter, *, now_ms: int, most: int, before: JobCursor | None = None
    ) -> JobPage:
        """List a customer's jobs, newest first."""
        found: list[JobSummary] = []
        place = before
        while True:
            # One more than the page holds says whether there is another page.
            room = most + 1 - len(found)
            looked = await self._lanes.shown(
                wanted.customer, partial(look, wanted=wanted, now_ms=now_ms, most=room, before=place)
            )
            found += looked.jobs
            place = looked.next
            if len(found) > most:
                return JobPage(
                    tuple(found[:most]), JobCursor(found[most - 1].accepted_ms, found[most - 1].id)
                )
            if place is None:
                return JobPage(tuple(found), None)

    async def summary(
        self, job_id: JobId, now_ms: int, reader: CustomerId | None = None
    ) -> JobSummary | None:
        """Read one job as lists show it, its payload kept or not."""
        return await self._lanes.shown(reader or "", lambda db: read_summary(db, job_id, now_ms))

    async def domains_of(
        self, customer: CustomerId | None, most: int, after: str = ""
    ) -> Sequence[TargetDomain]:
        """List the targets that a customer (None: anybody) has called, by name, those ``after`` one."""
        sql = "SELECT domain FROM customer_domains WHERE customer = ? AND domain > ? ORDER BY domain LIMIT ?"
        values: tuple[object, ...] = (customer, after, most)
        if customer is None:
            sql = """SELECT domain FROM customer_domains WHERE domain > ?
                     UNION SELECT domain FROM overrulings WHERE domain > ? ORDER BY domain LIMIT ?"""
            values = (after, after, most)
        rows = await self._lanes.shown(customer or "", _rows(sql, *values))
        return [TargetDomain(domain) for (domain,) in rows]

    async def usage_of(self, customer: CustomerId, since_day: int) -> Sequence[DayUsage]:
        """List what a customer used, by day, from a day on."""
        sql = """SELECT day, accepted, success, failed, cancelled, attempts FROM usage
                 WHERE customer = ? AND day >= ? ORDER BY day"""
        names = ("day", "accepted", "success", "failed", "cancelled", "attempts")
        rows = await self._lanes.shown(customer, _rows(sql, customer, since_day))
        return [DayUsage(**dict(zip(names, row, strict=True))) for row in rows]

    async def overdue(self, now_ms: int, most: int, skip: int = 0) -> Sequence[JobId]:
        """List unended jobs whose deadline has passed, by deadline; ``skip`` of them are passed over."""
        sql = """SELECT id FROM jobs WHERE ended_ms IS NULL AND deadline_ms <= ?
                 ORDER BY deadline_ms LIMIT ? OFFSET ?"""
        return [JobId(id_) for (id_,) in await self._read(sql, now_ms, most, skip)]

    async def outbox(self) -> Sequence[OutboxEntry]:
        """List deliveries that are still to be made."""
        return await self._lanes.work.read(read_pending)

    async def dead_deliveries(
        self, wanted: DeadFilter, *, most: int, before: DeadLetterCursor | None = None
    ) -> Sequence[OutboxEntry]:
        """List a customer's deliveries that failed for good, newest first."""
        return await self._lanes.shown(wanted.customer, lambda db: read_dead(db, wanted, most, before))

    async def pending_endpoints(
        self, customer: CustomerId, *, most: int, endpoint: TargetDomain | None = None
    ) -> Sequence[PendingEndpoint]:
        """List whom a customer's deliveries still go to, the one with the most of them first."""
        return await self._lanes.shown(
            customer, lambda db: read_pending_endpoints(db, customer, most, endpoint)
        )

    async def pending_deliveries(
        self,
        customer: CustomerId,
        *,
        most: int,
        endpoint: TargetDomain | None = None,
        after: PendingCursor | None = None,
    ) -> Sequence[OutboxEntry]:
        """List a customer's deliveries that are still to be made, by endpoint, the soonest first."""
        return await self._lanes.shown(
            customer, lambda db: read_pending_of(db, customer, most, endpoint, after)
        )

    async def paces(self) -> dict[TargetDomain, Learned]:
        """List what targets have taught."""
        found = {}
        for domain, sealed in await self._read("SELECT domain, learned FROM lessons"):
            try:
                with reading("learned"):
                    found[TargetDomain(domain)] = unpack_learned(
                        self._box.open(sealed, paces_context(domain))
                    )
            except DamagedError as error:
                log.warning("what %s has taught is damaged, and forgotten: %s", domain, error)
        return found

    async def overrulings(self) -> dict[TargetDomain, Overruling]:
        """List what the operator said of domains."""
        return await self._lanes.work.read(read_overrulings)

    async def plans(self) -> Sequence[tuple[CustomerId, str]]:
        """List customers with the plans of their valid keys."""
        sql = "SELECT DISTINCT customer, plan FROM api_keys WHERE revoked_ms IS NULL"
        rows = await self._lanes.quick.read(_rows(sql))
        return [(CustomerId(customer), plan) for customer, plan in rows if isinstance(plan, str)]

    async def secrets(self, customer: CustomerId) -> WebhookSecrets | None:
        """Read a customer's webhook secrets.

        Raises:
            DamagedError: They can't be read.
        """
        sql = "SELECT secrets FROM webhook_secrets WHERE customer = ?"
        rows = await self._lanes.quick.read(_rows(sql, customer))
        if not rows:
            return None
        with reading("secrets"):
            primary, secondary = msgpack.unpackb(self._box.open(rows[0][0], secrets_context(customer)))
        return WebhookSecrets(primary=primary, secondary=secondary)

    async def caller_of(self, key: str) -> Caller | None:
        """Whose API key this is, and of which role; None where it is unknown or revoked."""
        sql = "SELECT customer, role, key_id FROM api_keys WHERE key_hash = ? AND revoked_ms IS NULL"
        rows = await self._lanes.quick.read(_rows(sql, key_hash(key)))
        return Caller(CustomerId(rows[0][0]), read_role(rows[0][1]), rows[0][2]) if rows else None

    def close_reads(self) -> None:
        """Finish what is being read, and close."""
        self._lanes.close()

    def _load(self, db: sqlite3.Connection, job_id: JobId, *, large: bool = True) -> StoredJob | None:
        row = db.execute(f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone()  # noqa: S608  # names of our own
        if row is None:
            return None
        most = None if large else LARGE_BYTES
        found = stored_job(self._box, job_id, row, lambda: self._result(db, job_id), most)
        if found is None:
            return None
        course = found.course if large or found.course is None else without_answers(found.course)
        return replace(found, course=course, deliveries=read_deliveries(db, job_id))

    def _result(self, db: sqlite3.Connection, job_id: JobId) -> bytes | None:
        row = db.execute("SELECT customer, result FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return open_result(self._box, row[0], job_id, row[1]) if row and row[1] is not None else None

    async def _read(self, sql: str, *values: object) -> list[Any]:
        return await self._lanes.work.read(_rows(sql, *values))


def _rows(sql: str, *values: object) -> Callable[[sqlite3.Connection], list[Any]]:
    return lambda db: db.execute(sql, values).fetchall()


Holder = tuple[str, str, bytes, int]
"""Id, state and fingerprint of the job that has a key, and from when on it is not scheduled any more."""


def find_key(db: sqlite3.Connection, customer: str, key: str) -> Holder | None:
    """Find the job that has a customer's key, which answers "duplicate" for it."""
    sql = """SELECT id, state, fingerprint, not_before_ms FROM jobs
             WHERE customer = ? AND idem_key = ? AND idem_holds = 1"""
    found: Holder | None = db.execute(sql, (customer, key)).fetchone()
    return found


def duplicate(first: Holder, fingerprint: bytes) -> Duplicate:
    """Say what a submission with a known key duplicates."""
    job_id, state, first_fingerprint, begins_ms = first
    return Duplicate(JobId(job_id), read_state(state, None), first_fingerprint != fingerprint, begins_ms)


def key_hash(key: str) -> bytes:
    """Hash an API key for look-up."""
    return hashlib.sha256(key.encode()).digest()


def paces_context(domain: str) -> str:
    """Say what a sealed row about a target is bound to."""
    return f"{domain}|paces"


def secrets_context(customer: str) -> str:
    """Say what a customer's sealed secrets are bound to."""
    return f"{customer}|webhook_secrets"
