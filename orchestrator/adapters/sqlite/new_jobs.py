"""New jobs as rows: sealed by the loop, large ones in a thread, and inserted unless their key is known."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import msgpack

from orchestrator.adapters.damage import read_state
from orchestrator.adapters.records import pack_quorum, pack_request
from orchestrator.adapters.sealing import sealing_context
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.idempotency import payload_of
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import first_state
from orchestrator.domain.jobs.spec_record import spec_to_record
from orchestrator.ports.secret_box import SecretBox
from orchestrator.ports.store import Accepted, Duplicate
from orchestrator.runtime.cooperative_yield import CooperativeYield

LARGE_BODY = 64 * 1024
"""Characters of a job's bodies from which on its row is made in a thread; for less that would cost more."""


class JobRow(NamedTuple):
    """A job that nothing has happened to yet; fields are columns."""

    id: str
    customer: str
    domain: str
    state: str
    order_key: int
    not_before_ms: int
    accepted_ms: int
    deadline_ms: int
    idem_key: str
    idem_holds: int
    fingerprint: bytes
    request: bytes
    quorum: bytes | None
    queued_as: bytes | None


_INSERT = f"""INSERT INTO jobs ({", ".join(JobRow._fields)}) VALUES ({", ".join("?" * len(JobRow._fields))})
              ON CONFLICT (customer, idem_key) WHERE idem_holds = 1 DO NOTHING"""  # noqa: S608  # names of our own
_HOLDER = """SELECT id, state, fingerprint, not_before_ms FROM jobs
             WHERE customer = ? AND idem_key = ? AND idem_holds = 1"""


class NewJobs:
    """Makes rows of jobs."""

    def __init__(self, box: SecretBox, threads: Executor) -> None:
        self._box = box
        self._threads = threads

    async def row(self, job: Job) -> JobRow:
        """Make a job's row, without holding up the loop."""
        if sum(len(part.body or "") for _, part in job.spec.parts()) < LARGE_BODY:
            return self.row_now(job)
        # To encrypt and digest a megabyte takes 10 ms, most of them without the interpreter's lock.
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.row_now, job)

    async def rows(self, jobs: Sequence[Job]) -> list[JobRow]:
        """Make several jobs' rows; others have the loop in between."""
        breather = CooperativeYield(time.monotonic)
        rows = []
        for job in jobs:
            rows.append(await self.row(job))
            await breather.pause()
        return rows

    def row_now(self, job: Job) -> JobRow:
        """Make a job's row."""
        record = spec_to_record(job.spec)
        request = self._box.seal(
            pack_request(record, job.traceparent), sealing_context(job.customer, job.id, "request")
        )
        return JobRow(
            id=job.id,
            customer=job.customer,
            domain=job.domain,
            state=first_state(job.accepted_ms, job.spec.retry_at),
            order_key=job.order_key,
            not_before_ms=job.begins_ms,
            accepted_ms=job.accepted_ms,
            deadline_ms=job.deadline_at_ms,
            idem_key=job.idempotent_key,
            idem_holds=1,
            fingerprint=self._box.fingerprint(payload_of(record)),
            request=request,
            quorum=pack_quorum(job.spec),
            queued_as=self._queued_as(job),
        )

    def _queued_as(self, job: Job) -> bytes | None:
        if job.account is None and job.spec.cost == 1:
            return None
        plain = msgpack.packb([job.account, job.spec.cost])
        return self._box.seal(plain, sealing_context(job.customer, job.id, "queued_as"))


def insert(db: sqlite3.Connection, row: JobRow) -> sqlite3.Row | None:
    """Insert a job; give the row of the one that has its key already, where there is one."""
    if db.execute(_INSERT, row).rowcount:
        return None
    return find_key(db, row.customer, row.idem_key)


def find_key(db: sqlite3.Connection, customer: str, key: str) -> sqlite3.Row | None:
    """Find the job that has a customer's key, which answers "duplicate" for it."""
    found: sqlite3.Row | None = db.execute(_HOLDER, (customer, key)).fetchone()
    return found


def taken(job: Job, row: JobRow, holder: sqlite3.Row | None) -> Accepted | Duplicate:
    """Say what became of a submission."""
    return Accepted(job) if holder is None else duplicate(holder, row.fingerprint)


def duplicate(holder: sqlite3.Row, fingerprint: bytes) -> Duplicate:
    """Say what a submission with a known key duplicates."""
    return Duplicate(
        JobId(holder["id"]),
        read_state(holder["state"], None),
        holder["fingerprint"] != fingerprint,
        holder["not_before_ms"],
    )
