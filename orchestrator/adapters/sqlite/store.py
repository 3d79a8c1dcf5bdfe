"""The embedded store: one SQLite file, one writer thread, readers beside it."""

import asyncio
import contextlib
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgpack

from orchestrator.adapters.records import pack_course, pack_learned, pack_quorum, pack_spec
from orchestrator.adapters.secret_box import AesGcmBox, open_key_file
from orchestrator.adapters.sqlite.course_notes import CourseNote, CourseNotes
from orchestrator.adapters.sqlite.disk_retry import Patience, failing_as_store
from orchestrator.adapters.sqlite.failures import note_failure
from orchestrator.adapters.sqlite.group_commit import GroupCommitWriter, Write, connect
from orchestrator.adapters.sqlite.job_rows import sealing_context
from orchestrator.adapters.sqlite.key_check import WrongKeyError, check_keys, note_keys
from orchestrator.adapters.sqlite.migration import migrate
from orchestrator.adapters.sqlite.open_files import OpenFiles
from orchestrator.adapters.sqlite.outbox import insert_outbox, outbox_row, update_of
from orchestrator.adapters.sqlite.overrulings import write_overruling
from orchestrator.adapters.sqlite.reads import (
    Holder,
    SqliteReads,
    duplicate,
    find_key,
    paces_context,
    secrets_context,
)
from orchestrator.adapters.sqlite.retention import purge
from orchestrator.adapters.sqlite.unnumbered import today
from orchestrator.domain.course import Course
from orchestrator.domain.heard import Learned
from orchestrator.domain.histogram import Histogram
from orchestrator.domain.idempotency import payload_bytes
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
from orchestrator.domain.job import Job
from orchestrator.domain.lifecycle import JobState, first_state
from orchestrator.domain.overruling import Overruling
from orchestrator.domain.retention import Retention
from orchestrator.domain.usage import DayUsage
from orchestrator.ports.store import (
    Accepted,
    Duplicate,
    Ending,
    OutboxEntry,
    StoreFailure,
    WebhookSecrets,
    require_open,
)
from orchestrator.runtime.cooperative_yield import CooperativeYield

DATABASE = "ezthrottle.db"
KEY_FILE = "encryption.key"
LOCK_FILE = "shard.lock"
LOCK_WAIT_S = 5.0
LARGE_BODY = 64 * 1024
"""Characters of a job's bodies from which on its row is made in a thread; for less that would cost more."""
SEALING_THREADS = 2

log = logging.getLogger(__name__)


class DatabaseMissingError(ValueError):
    """A data directory that was in use has no database."""


def data_files(data_dir: Path) -> tuple[Path, AesGcmBox]:
    """Make the data directory if it is not there, its files its owner's alone, and open its key file.

    Raises:
        ValueError: The key file is damaged; or it is missing, or the database is, and the other is there.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = data_dir / DATABASE
    _refuse_half(data_dir)
    # SQLite gives its other files the mode that this one has.
    database.touch(0o600)
    for path in (database, *(Path(f"{database}{suffix}") for suffix in ("-wal", "-shm"))):
        if path.exists() and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    return database, open_key_file(data_dir / KEY_FILE)


def _refuse_half(data_dir: Path) -> None:
    """Begin nothing anew where only half of a data directory is left: that would seem to have worked."""
    database, key_file = data_dir / DATABASE, data_dir / KEY_FILE
    has_rows = database.exists() and database.stat().st_size > 0
    if has_rows and not key_file.exists():
        raise WrongKeyError(
            f"{key_file} is missing, and without it nothing in {database} can be read: put it back from its "
            "backup; to begin anew, move the database away"
        )
    if not database.exists() and (data_dir / LOCK_FILE).exists():
        raise DatabaseMissingError(
            f"{database} is missing, though {data_dir} was in use: put it back from its backup; to begin "
            f"anew, delete {LOCK_FILE} there"
        )


def prepare(connection: sqlite3.Connection, box: AesGcmBox) -> None:
    """Lay the schema, or complete an earlier one, and check that the encryption keys are those that the
    rows were sealed with.

    Raises:
        NewerSchemaError: A later version wrote it; it stays as it is.
        WrongKeyError: They are others; it stays as it is.
    """
    connection.execute("BEGIN IMMEDIATE")
    check_keys(connection, box)
    migrate(connection, box)
    note_keys(connection, box)
    connection.execute("COMMIT")


class SqliteStore(SqliteReads):
    """The Store port on SQLite. Holds the data directory's lock for as long as it is open.

    Raises:
        StoreFailure: The disk takes or gives nothing just now.
        sqlite3.Error: What lies there is no database.
        ValueError: It was sealed with another key, or the key file is damaged.
        RuntimeError: Another process holds the directory.
    """

    def __init__(
        self, data_dir: Path, *, retention: Retention | None = None, patience: Patience | None = None
    ) -> None:
        path, box = data_files(data_dir)
        self._retention = retention or Retention()
        self._patience = patience or Patience()
        with contextlib.ExitStack() as undo, failing_as_store():
            self._lock = _lock(data_dir / LOCK_FILE)
            undo.callback(os.close, self._lock)
            self._write_connection = connect(path)
            undo.callback(self._write_connection.close)
            prepare(self._write_connection, box)
            super().__init__(path, box)
            undo.pop_all()
        self._files = OpenFiles(path)
        loop = asyncio.get_running_loop()
        self._writer = GroupCommitWriter(self._write_connection, loop, self._files.check)
        # Not the loop's own pool, in which anybody's slow call would hold up submissions.
        self._sealers = ThreadPoolExecutor(SEALING_THREADS, "store-sealer")
        self._notes = CourseNotes(box, self._writer.post)
        self._saving: set[JobId] = set()

    @property
    def lost(self) -> str | None:
        """Name a file of the database that is not there any more: what is written goes nowhere."""
        return self._files.gone()

    @property
    def commit_sizes(self) -> Histogram:
        """How many writes shared each commit."""
        return self._writer.sizes

    async def begin_epoch(self) -> int:
        """Take the next fencing number: 1 on a new store.

        Raises:
            StoreFailure: It could not be written.
        """
        sql = "UPDATE shard SET epoch = epoch + 1 RETURNING epoch"
        return int((await self._written(lambda db: db.execute(sql).fetchone()))[0])

    async def submit(self, job: Job) -> Accepted | Duplicate:
        """Store a job unless its customer's key is known.

        Raises:
            StoreFailure: It could not be written.

        """
        row = await self._new_row(job)
        return _taken(job, row, await self._written(lambda db: _insert(db, row)))

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Accepted | Duplicate]:
        """Store several jobs in one transaction.

        Raises:
            StoreFailure: They could not be written; none was.

        """
        breather = CooperativeYield(time.monotonic)
        rows = []
        for job in jobs:
            rows.append(await self._new_row(job))
            await breather.pause()
        found = await self._written(lambda db: [_insert(db, row) for row in rows])
        return [_taken(*triple) for triple in zip(jobs, rows, found, strict=True)]

    def note_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is; rides the next commit, nobody waits for it.

        Raises:
            ValueError: It has ended: that is for ``end`` to write.
        """
        require_open(job_id, state)
        note = CourseNote(job_id, customer, state, course)
        if job_id in self._saving:
            self._writer.post(lambda db: note.write(db, self._box))
        else:
            self._notes.put(note)

    async def save_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is, and wait for the commit, on a full disk for a while.

        Raises:
            StoreFailure: It could not be written all that time.
            ValueError: It has ended: that is for ``end`` to write.
        """
        require_open(job_id, state)
        note = CourseNote(job_id, customer, state, course)
        self._notes.drop(job_id)
        # A later note must not be written before this one, as it would be by a flush that waits already.
        self._saving.add(job_id)
        try:
            await self._kept("how far a job is", lambda db: note.write(db, self._box))
        finally:
            self._saving.discard(job_id)

    def note_timeline(self, job_id: JobId, customer: CustomerId, course: Course) -> None:
        """Save what was still learned about a job that has ended; rides the next commit."""
        sealed = self._box.seal(pack_course(course), sealing_context(customer, job_id, "run"))
        sql = "UPDATE jobs SET run = ? WHERE id = ? AND ended_ms IS NOT NULL"
        self._writer.post(lambda db: db.execute(sql, (sealed, job_id)))

    async def end(self, ending: Ending) -> Sequence[Accepted | Duplicate]:
        """End a job, fill its outbox and store its children, in one transaction; waits on a full disk.

        Raises:
            StoreFailure: It could not be written all that time.
        """
        self._notes.drop(ending.job_id)
        run = self._box.seal(
            pack_course(ending.course), sealing_context(ending.customer, ending.job_id, "run")
        )
        result = self._box.seal(ending.result, sealing_context(ending.customer, ending.job_id, "result"))
        job = (ending.state, ending.ended_ms, run, result, not ending.key_freed, ending.job_id)
        outbox = [outbox_row(entry) for entry in ending.outbox]
        children = [self._job_row(child) for child in ending.children]
        found = await self._kept("a job's end", lambda db: _end(db, job, outbox, children, ending.code))
        return [_taken(*triple) for triple in zip(ending.children, children, found, strict=True)]

    async def save_delivery(self, entry: OutboxEntry) -> None:
        """Save how a delivery attempt ended, on a full disk after a while.

        Raises:
            StoreFailure: It could not be written all that time.
        """
        sql, values = update_of(entry)
        await self._kept("a delivery", lambda db: db.execute(sql, values).rowcount)

    async def reopen_deliveries(self, entries: Sequence[OutboxEntry]) -> None:
        """Save deliveries that are to be made again, in one transaction.

        Raises:
            StoreFailure: They could not be written; none was.
        """
        updates = [update_of(entry) for entry in entries]
        await self._written(lambda db: [db.execute(sql, values).rowcount for sql, values in updates])

    def note_pace(self, domain: TargetDomain, learned: Learned) -> None:
        """Save what a target has taught; rides the next commit."""
        row = self._lesson(domain, learned)
        self._writer.post(lambda db: db.execute(_LEARN, row))

    async def save_overruling(
        self, domain: TargetDomain, overruling: Overruling, learned: Learned | None = None
    ) -> None:
        """Save what the operator says of a domain, and what is taken as learned there, in one transaction.

        Raises:
            StoreFailure: It could not be written.
        """
        row = None if learned is None else self._lesson(domain, learned)

        def write(db: sqlite3.Connection) -> None:
            write_overruling(db, domain, overruling)
            if row is not None:
                db.execute(_LEARN, row)

        await self._written(write)

    def _lesson(self, domain: TargetDomain, learned: Learned) -> tuple[Any, ...]:
        return domain, self._box.seal(pack_learned(learned), paces_context(domain)), today()

    def note_domain(self, customer: CustomerId, domain: TargetDomain) -> None:
        """Save that a customer calls a target on this day; rides the next commit."""

        def write(db: sqlite3.Connection) -> None:
            day = today()
            db.execute("INSERT OR REPLACE INTO customer_domains VALUES (?, ?, ?)", (customer, domain, day))
            db.execute("UPDATE lessons SET used_day = ? WHERE domain = ?", (day, domain))

        self._writer.post(write)

    def note_usage(self, customer: CustomerId, more: DayUsage) -> None:
        """Add to what a customer used on a day; rides the next commit."""
        sql = """INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                 accepted = accepted + excluded.accepted, success = success + excluded.success,
                 failed = failed + excluded.failed, cancelled = cancelled + excluded.cancelled,
                 attempts = attempts + excluded.attempts"""
        counts = (more.accepted, more.success, more.failed, more.cancelled, more.attempts)
        self._writer.post(lambda db: db.execute(sql, (customer, more.day, *counts)))

    async def put_secrets(self, customer: CustomerId, secrets: WebhookSecrets) -> None:
        """Store a customer's webhook secrets.

        Raises:
            StoreFailure: They could not be written.
        """
        plain = msgpack.packb([secrets.primary, secrets.secondary])
        sealed = self._box.seal(plain, secrets_context(customer))
        sql = "INSERT OR REPLACE INTO webhook_secrets VALUES (?, ?)"
        await self._written(lambda db: db.execute(sql, (customer, sealed)).rowcount)

    async def drop_secrets(self, customer: CustomerId) -> bool:
        """Delete them; say whether there were any.

        Raises:
            StoreFailure: That could not be written.
        """
        sql = "DELETE FROM webhook_secrets WHERE customer = ?"
        return bool(await self._written(lambda db: db.execute(sql, (customer,)).rowcount))

    async def purge(self, now_ms: int) -> None:
        """Forget what is past its keeping, in batches that let other writes pass; what can't be written now
        is left to the next time.
        """
        try:
            while await self._written(lambda db: purge(db, now_ms, self._retention)):
                pass
        except StoreFailure as error:
            log.warning("what is past its keeping could not be forgotten: %s", error)

    async def close(self) -> None:
        """Commit what waits and close."""
        await asyncio.get_running_loop().run_in_executor(self._sealers, self._writer.close)
        self._sealers.shutdown()
        self.close_reads()
        self._write_connection.close()
        os.close(self._lock)

    async def _written(self, write: Write) -> Any:
        try:
            return await self._writer.write(write)
        except sqlite3.Error as error:
            raise StoreFailure(str(error)) from error

    async def _kept(self, what: str, write: Write) -> Any:
        return await self._patience.until_written(what, lambda: self._writer.write(write))

    async def _new_row(self, job: Job) -> tuple[Any, ...]:
        if sum(len(part.body or "") for _, part in job.spec.parts()) < LARGE_BODY:
            return self._job_row(job)
        # To encrypt and digest a megabyte takes 10 ms, most of them without the interpreter's lock.
        return await asyncio.get_running_loop().run_in_executor(self._sealers, self._job_row, job)

    def _job_row(self, job: Job) -> tuple[Any, ...]:
        request = self._box.seal(pack_spec(job.spec), sealing_context(job.customer, job.id, "request"))
        return (
            job.id,
            job.customer,
            job.domain,
            first_state(job.accepted_ms, job.spec.retry_at),
            job.order_key,
            job.begins_ms,
            job.accepted_ms,
            job.deadline_at_ms,
            None,
            job.idempotent_key,
            1,
            self._box.fingerprint(payload_bytes(job.spec)),
            request,
            None,
            None,
            pack_quorum(job.spec),
            self._queued_as(job),
        )

    def _queued_as(self, job: Job) -> bytes | None:
        if job.account is None and job.spec.cost == 1:
            return None
        plain = msgpack.packb([job.account, job.spec.cost])
        return self._box.seal(plain, sealing_context(job.customer, job.id, "queued_as"))


_LEARN = "INSERT OR REPLACE INTO lessons VALUES (?, ?, ?)"
_JOB_COLUMNS = 17
_FINGERPRINT = 11


def _insert(db: sqlite3.Connection, row: tuple[Any, ...]) -> Holder | None:
    marks = ", ".join("?" * _JOB_COLUMNS)
    sql = (
        f"INSERT INTO jobs VALUES ({marks}) ON CONFLICT (customer, idem_key) WHERE idem_holds = 1 DO NOTHING"  # noqa: S608  # marks only
    )
    if db.execute(sql, row).rowcount:
        return None
    return find_key(db, row[1], row[9])


def _taken(job: Job, row: tuple[Any, ...], found: Holder | None) -> Accepted | Duplicate:
    if found is None:
        return Accepted(job)
    return duplicate(found, row[_FINGERPRINT])


def _end(
    db: sqlite3.Connection,
    job: tuple[Any, ...],
    outbox: list[tuple[Any, ...]],
    children: list[tuple[Any, ...]],
    code: str | None,
) -> list[Holder | None]:
    sql = """UPDATE jobs SET state = ?, ended_ms = ?, run = ?, result = ?, idem_holds = ?
             WHERE id = ? AND ended_ms IS NULL"""
    if not db.execute(sql, job).rowcount:
        msg = f"{job[-1]} has ended already"
        raise RuntimeError(msg)
    insert_outbox(db, outbox)
    if code is not None:
        note_failure(db, job[-1], code)
    return [_insert(db, child) for child in children]


def _lock(path: Path) -> int:
    """Take the data directory for this process; wait a little for one that is just dying."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(handle)
                msg = f"another process holds {path.parent}: stop it, or choose another --data-dir"
                raise RuntimeError(msg) from None
            time.sleep(0.05)
        else:
            return handle
