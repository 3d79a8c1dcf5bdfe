"""The same tests for each store: how to open one, and what to put into it."""

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from orchestrator.adapters.api_keys import make_key
from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.adapters.sqlite.data_dir import DATABASE, LOCK_FILE
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.adapters.stores import open_administration
from orchestrator.cli.directory import Opened
from orchestrator.domain.access.audit import Act, AuditEntry
from orchestrator.domain.access.roles import Role
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.run import begin, dispatch
from orchestrator.domain.ids import AttemptId, CustomerId, DeliveryId, target_domain
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.customers import ApiKey, WebhookSecrets
from orchestrator.ports.store import Ending, OutboxEntry, Store
from tests.unit.domain.builders import NOW_MS

FLUSHER = CustomerId("cust_flusher")


class Keeper(Protocol):
    """Keeps one store's data from one opening to the next."""

    async def open(self) -> Store:
        """Open the store, closing the one that was open."""

    async def close(self) -> None:
        """Close what is open."""

    async def open_another(self) -> Store:
        """Open the store once more beside what is open, as another process does that may take its shard."""

    def beside(self) -> AbstractAsyncContextManager[Opened]:
        """Open its customers and audit beside what is open, as the command line does."""


class MemoryKeeper:
    """The store in memory is its own data."""

    def __init__(self) -> None:
        self._store = MemoryStore()

    async def open(self) -> Store:
        return self._store

    async def close(self) -> None:
        await self._store.close()

    async def open_another(self) -> Store:
        return MemoryStore(self._store.tables)

    def beside(self) -> AbstractAsyncContextManager[Opened]:
        return nullcontext(self._store)


class SqliteKeeper:
    """A data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._open: SqliteStore | None = None
        self._others: list[SqliteStore] = []

    async def open(self) -> SqliteStore:
        await self.close()
        self._open = SqliteStore(self.data_dir)
        return self._open

    async def close(self) -> None:
        for store in (self._open, *self._others):
            if store is not None:
                await store.close()
        self._open, self._others = None, []

    async def open_another(self) -> Store:
        # Where somebody has deleted the lock of a running service, the next one gets another.
        (self.data_dir / LOCK_FILE).unlink(missing_ok=True)
        self._others.append(SqliteStore(self.data_dir))
        return self._others[-1]

    def beside(self) -> AbstractAsyncContextManager[Opened]:
        return open_administration(self.data_dir)


async def add_key(
    keeper: Keeper,
    customer: str = "cust_acme",
    plan: str = "pro",
    role: Role = Role.SUBMIT,
    **terms: Any,
) -> tuple[str, ApiKey]:
    """Make an API key beside the running store."""
    key, made = make_key(customer, plan, role, now_ms=NOW_MS, **terms)
    async with keeper.beside() as opened:
        await opened.customers.add_key(key, made, an_entry(Act.KEY_CREATED, made.key_id))
    return key, made


async def revoke(keeper: Keeper, made: ApiKey, now_ms: int = NOW_MS) -> bool:
    """Revoke one beside the running store."""
    async with keeper.beside() as opened:
        entry = an_entry(Act.KEY_REVOKED, made.key_id, now_ms)
        return await opened.customers.revoke_key(made.key_id, entry)


def an_entry(act: Act = Act.DOMAIN_PAUSED, subject: str = "", at_ms: int = NOW_MS) -> AuditEntry:
    """What the audit holds of an act, whoever did it."""
    return AuditEntry(at_ms=at_ms, act=act, subject=subject, who="ops", origin="192.0.2.1")


async def rows_of(store: SqliteStore, sql: str) -> list[tuple[Any, ...]]:
    """Read rows of the store's database."""
    return [tuple(row) for row in await store.database.lanes.work.rows(sql)]


UNDONE = """
    DROP INDEX IF EXISTS failures_listed;
    DROP TABLE result_parts; DROP TABLE course_parts; DROP TABLE parts_left;
    ALTER TABLE jobs DROP COLUMN run_bytes; ALTER TABLE jobs DROP COLUMN run_second;
    ALTER TABLE jobs DROP COLUMN result_bytes;
    DROP TABLE slots; DROP TABLE epochs; DROP TABLE beats; DROP TABLE marks; DROP TABLE schema_steps;
    ALTER TABLE shard ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
    DROP TABLE audit; DROP TABLE drains;
    ALTER TABLE api_keys DROP COLUMN region; ALTER TABLE api_keys DROP COLUMN label;
    ALTER TABLE api_keys DROP COLUMN expires_ms; ALTER TABLE api_keys DROP COLUMN used_ms;
"""


def set_back(directory: SqliteKeeper, number: int) -> None:
    """Make of a directory one that lacks the steps of the schema behind ``number``, which is 6 or lower."""
    with closing(sqlite3.connect(directory.data_dir / DATABASE)) as db, db:
        db.executescript(UNDONE)
        db.execute(f"PRAGMA user_version = {number:d}")


async def flush(store: Store) -> None:
    """Return when everything that was noted before is on disk: writes keep their order."""
    await store.customers.put_secrets(FLUSHER, WebhookSecrets(primary="0123456789abcdef"))


def a_course(job: Job, *, attempts: int = 1) -> Course:
    run = begin(job.spec)
    for number in range(1, attempts + 1):
        run, _ = dispatch(run, 0, AttemptId(f"1.{number:x}"), job.spec.regions[0], job.accepted_ms + number)
    return Course((run,))


def an_ending(
    job: Job, *, state: JobState = JobState.SUCCESS, ended_ms: int = NOW_MS, **fields: Any
) -> Ending:
    values: dict[str, Any] = {
        "course": a_course(job),
        "result": b'{"status":"success"}',
        "outbox": outbox_of(job),
        "key_freed": False,
    }
    return Ending(job_id=job.id, customer=job.customer, state=state, ended_ms=ended_ms, **(values | fields))


def outbox_of(job: Job) -> tuple[OutboxEntry, ...]:
    return tuple(
        OutboxEntry(
            id=DeliveryId(f"msg_{job.id}_{index}"),
            job_id=job.id,
            customer=job.customer,
            index=index,
            endpoint=target_domain(webhook.url),
            next_ms=NOW_MS + index,
        )
        for index, webhook in enumerate(job.spec.webhooks)
    )


def again(job: Job, number: int, **spec: Any) -> Job:
    """The same submission under an id of its own, as a second request brings it."""
    return replace(job, id=type(job.id)(f"{job.id[:-6]}{number:06d}"), spec=replace(job.spec, **spec))


async def submit_all(store: Store, jobs: Iterable[Job]) -> None:
    await asyncio.gather(*(store.jobs.submit(job) for job in jobs))
