"""The same tests for each store: how to open one, and what to put into it."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.adapters.sqlite.api_keys import create_key, open_keys, revoke_key
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.course import Course
from orchestrator.domain.ids import AttemptId, CustomerId, DeliveryId, target_domain
from orchestrator.domain.job import Job
from orchestrator.domain.lifecycle import JobState
from orchestrator.domain.run import begin, dispatch
from orchestrator.ports.store import Ending, OutboxEntry, Store, WebhookSecrets
from tests.unit.domain.builders import NOW_MS

FLUSHER = CustomerId("cust_flusher")


class Keeper(Protocol):
    """Keeps one store's data from one opening to the next."""

    async def open(self) -> Store:
        """Open the store, closing the one that was open."""

    async def close(self) -> None:
        """Close what is open."""

    def add_key(self, customer: CustomerId) -> str:
        """Make an API key."""

    def revoke(self, key: str) -> None:
        """Revoke one."""


class MemoryKeeper:
    """The store in memory is its own data."""

    def __init__(self) -> None:
        self._store = MemoryStore()

    async def open(self) -> Store:
        return self._store

    async def close(self) -> None:
        await self._store.close()

    def add_key(self, customer: CustomerId) -> str:
        key = f"ck_live_{customer}_secret"
        self._store.api_keys[key] = customer
        return key

    def revoke(self, key: str) -> None:
        del self._store.api_keys[key]


class SqliteKeeper:
    """A data directory. Keys are made beside the running store, as the command line does."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._open: SqliteStore | None = None
        self._key_ids: dict[str, str] = {}

    async def open(self) -> SqliteStore:
        await self.close()
        self._open = SqliteStore(self.data_dir)
        return self._open

    async def close(self) -> None:
        if self._open is not None:
            await self._open.close()
            self._open = None

    def add_key(self, customer: CustomerId) -> str:
        with open_keys(self.data_dir) as db:
            key, made = create_key(db, customer, "pro")
        self._key_ids[key] = made.key_id
        return key

    def revoke(self, key: str) -> None:
        with open_keys(self.data_dir) as db:
            assert revoke_key(db, self._key_ids[key])


async def flush(store: Store) -> None:
    """Return when everything that was noted before is on disk: writes keep their order."""
    await store.put_secrets(FLUSHER, WebhookSecrets(primary="0123456789abcdef"))


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
    await asyncio.gather(*(store.submit(job) for job in jobs))
