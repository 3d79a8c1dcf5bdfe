"""A disk that outlives the shards which write to it, and forgets what was not committed."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from random import Random
from types import MappingProxyType
from typing import Any, TypeVar

from orchestrator.adapters.memory.jobs import MemoryJobs
from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.adapters.memory.tables import FIRST_SHARD, Tables
from orchestrator.adapters.memory.transactions import GivenUp, LockMode, Transaction
from orchestrator.adapters.records import pack_course, unpack_course
from orchestrator.domain.access.audit import AuditEntry
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.access.usage import DayUsage
from orchestrator.domain.cluster.draining import Drain
from orchestrator.domain.cluster.lease import Beat
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.marks import Mark, Owner
from orchestrator.domain.ids import CustomerId, JobId, RegionName, ShardName, TargetDomain
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.pace.overruling import Overruling
from orchestrator.domain.steering.learned import Learned
from orchestrator.domain.webhooks.fanout import DeliveryState
from orchestrator.ports.customers import WebhookSecrets
from orchestrator.ports.store import (
    Accepted,
    DeadFilter,
    DeadLetterCursor,
    Duplicate,
    Ending,
    News,
    OutboxEntry,
    StoredJob,
    WaitingJob,
)
from tests.simulation.history import Commit, History, MarkWritten
from tests.support.virtual_loop import VirtualLoop

IDLE_IN_TRANSACTION_S = 2.0
"""After which a server gives up what a dead or stopped process has begun: it would block a successor."""
_T = TypeVar("_T")
_Write = tuple[Callable[[], Any], "asyncio.Future[Any] | None"]


def at_once(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        value: _T = end.value
        return value
    msg = "the memory store waited for something"
    raise RuntimeError(msg)


class Disk:
    """What was committed, and a log of each job's states: one for every shard, as a database server is.

    Args:
        loop: Time.
        history: Where all is logged.
        weights: What customers' plans weigh.
        slots: Which shard has which slot; where nothing is said, one has them all, and the store's lock.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        history: History,
        weights: Sequence[tuple[CustomerId, int]] = (),
        slots: Mapping[int, ShardName] = MappingProxyType({}),
    ) -> None:
        self.tables = Tables(slots)
        self.committed = MemoryStore(self.tables)
        for customer, weight in weights:
            self.committed.customers.know(f"the key of {customer}", customer, plan=str(weight))
        self._loop = loop
        self._history = history
        self.slow_until = 0.0
        self.owners: dict[ShardName, DiskHandle] = {}
        """Who has taken each shard last."""

    def cut_off(self, shard: ShardName, for_s: float) -> None:
        """Let nothing through for a while between whoever has a shard and its store."""
        if shard in self.owners:
            self.owners[shard].cut_until = self._loop.time() + for_s

    def begin(self, commits_at: float) -> Transaction:
        """Begin a transaction, which is given up where it has not come through some time after it was to."""
        transaction = self.tables.transactions.begin()
        self._loop.outside.call_at(commits_at + IDLE_IN_TRANSACTION_S, transaction.end)
        return transaction

    @property
    def settled(self) -> bool:
        """Whether every job has ended, and every delivery is made or given up."""
        entries = (entry for entries in self.tables.outbox.values() for entry in entries)
        pending = any(entry.state is DeliveryState.PENDING for entry in entries)
        return not pending and all(row.state.ended for row in self.tables.rows.values())

    def submit(self, rows: MemoryJobs, job: Job) -> Accepted | Duplicate:
        """Commit a submission."""
        stored = at_once(rows.submit(job))
        if isinstance(stored, Accepted):
            self._history.submitted[job.id] = job
            self._log(job.id)
        return stored

    def note_course(
        self, rows: MemoryJobs, job_id: JobId, customer: CustomerId, state: JobState, course: Course
    ) -> None:
        """Commit how far a job is."""
        rows.note_course(job_id, customer, state, course)
        self._log(job_id)

    def end(self, rows: MemoryJobs, ending: Ending) -> Sequence[Accepted | Duplicate]:
        """Commit a job's end, and its children."""
        children = at_once(rows.end(ending))
        self._log(ending.job_id)
        for child in children:
            if isinstance(child, Accepted):
                self._history.submitted[child.job.id] = child.job
                self._log(child.job.id)
        return children

    def mark(self, rows: MemoryJobs, mark: Mark) -> bool:
        """Commit a mark."""
        written = at_once(rows.mark(mark))
        if written:
            shard = self.tables.slots.get(mark.slot, rows.shard)
            owner = Owner(shard, self.tables.beats[shard].epoch)
            self._history.marks.append(MarkWritten(self._loop.time(), mark, owner))
        return written

    def load(self, job_id: JobId) -> StoredJob | None:
        """Read a job, its run taken to bytes and back as a database would."""
        stored = self.tables.load(job_id)
        if stored is None or stored.course is None:
            return stored
        return StoredJob(
            job=stored.job,
            state=stored.state,
            course=unpack_course(pack_course(stored.course)),
            result=stored.result,
            ended_ms=stored.ended_ms,
            deliveries=stored.deliveries,
        )

    def _log(self, job_id: JobId) -> None:
        stored = self.tables.load(job_id)
        if stored is not None:
            self._history.commits.append(Commit(self._loop.time(), job_id, stored.state))


class DiskWriter:
    """One writer that commits in groups, one reader beside it, for one life of a shard. Each group is a
    transaction from the moment that it is asked for.
    """

    def __init__(
        self,
        disk: Disk,
        loop: VirtualLoop,
        random: Random,
        latency_s: tuple[float, float],
        shard: ShardName = FIRST_SHARD,
    ) -> None:
        self.held_by_lock = not disk.tables.slots
        self.rows = MemoryJobs(disk.tables, shard, held_by_lock=self.held_by_lock)
        self._disk = disk
        self._shard = shard
        self._loop = loop
        self._random = random
        self._latency_s = latency_s
        self._queue: list[_Write] = []
        self._committing = False
        self._reader_free = 0.0
        self.cut_until = 0.0

    @property
    def _reached_at(self) -> float:
        """When the store may be asked: now, or when it is no longer cut off from here."""
        return max(self._loop.time(), self.cut_until)

    def _within(self, group: Transaction, write: Callable[[], _T]) -> _T:
        self.rows.group = group
        try:
            return write()
        finally:
            self.rows.group = None

    async def _write(self, write: Callable[[], _T]) -> _T:
        future: asyncio.Future[_T] = self._loop.create_future()
        self._queue.append((write, future))
        self._commit_soon()
        return await future

    def _post(self, write: Callable[[], None]) -> None:
        self._queue.append((write, None))
        self._commit_soon()

    def _commit_soon(self) -> None:
        if self._queue and not self._committing:
            self._committing = True
            batch, self._queue = self._queue, []
            self._loop.call_at(self._reached_at, self._begin, batch)

    def _begin(self, batch: list[_Write]) -> None:
        at = max(self._loop.time(), self._disk.slow_until) + self._random.uniform(*self._latency_s)
        group = self._disk.begin(at)
        if self.held_by_lock or group.lock_now(self.rows.epoch_row, LockMode.SHARED):
            self._loop.call_at(at, self._commit, batch, group)
        else:
            self._loop.create_task(self._commit_behind_a_take_over(batch, group))

    async def _commit_behind_a_take_over(self, batch: list[_Write], group: Transaction) -> None:
        with suppress(GivenUp):
            await group.lock(self.rows.epoch_row, LockMode.SHARED)
        self._commit(batch, group)

    def _commit(self, batch: list[_Write], group: Transaction) -> None:
        if not group.open or self._reached_at > self._loop.time():
            # The server has given it up: it was not heard of for too long, or is out of reach now.
            self._queue, self._committing = batch + self._queue, False
            self._commit_soon()
            return
        outcomes = self._within(group, lambda: [(future, *_outcome(write)) for write, future in batch])
        group.end()
        # A crash in this gap leaves a commit that nobody was told of.
        self._loop.call_later(self._random.uniform(0, self._latency_s[0]), self._hand_over, outcomes)

    def _hand_over(self, outcomes: list[tuple["asyncio.Future[Any] | None", Any, Exception | None]]) -> None:
        for future, value, error in outcomes:
            if future is not None and not future.done():
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(error)
        self._committing = False
        self._commit_soon()

    async def _read(self, read: Callable[[], _T]) -> _T:
        free = max(self._reader_free, self._reached_at)
        self._reader_free = free + self._random.uniform(0, self._latency_s[0])
        await asyncio.sleep(self._reader_free - self._loop.time())
        value = read()
        # The reader's answer may be overtaken by what is committed meanwhile.
        await asyncio.sleep(self._random.uniform(0, self._latency_s[0]))
        return value


class DiskHandle(DiskWriter):
    """The Store port for one life of a shard."""

    @property
    def jobs(self) -> "DiskHandle":
        """One object serves all three audiences."""
        return self

    history = customers = jobs
    lost = None

    async def last_beat(self) -> Beat:
        """Read what whoever has the shard wrote last."""
        return await self._read(lambda: at_once(self.rows.last_beat()))

    async def begin_epoch(self, seen: Beat | None = None) -> int:
        """Take the shard: raise its epoch, 1 on a new store."""
        while (epoch := await self._take_over(seen)) is None:
            pass
        self._disk.owners[self._shard] = self
        return epoch

    async def _take_over(self, seen: Beat | None) -> int | None:
        """Raise the epoch in a transaction of its own; None where that was given up before its commit."""
        await asyncio.sleep(self._reached_at - self._loop.time())
        group = self._disk.begin(self._loop.time() + self._latency_s[1])
        with suppress(GivenUp):
            if not self.held_by_lock:
                await group.lock(self.rows.epoch_row, LockMode.ALONE)
            await asyncio.sleep(self._random.uniform(*self._latency_s))
        if not group.open:
            return None
        try:
            return self._within(group, lambda: at_once(self.rows.begin_epoch(seen)))
        finally:
            group.end()

    async def news(self) -> News:
        """List what others have committed for this shard since one last looked."""
        return await self._read(lambda: at_once(self.rows.news()))

    async def beat(self) -> None:
        """Say that this one goes on."""
        await self._write(lambda: at_once(self.rows.beat()))

    async def submit(self, job: Job) -> Accepted | Duplicate:
        """Store a job unless its customer's key is known."""
        return await self._write(lambda: self._disk.submit(self.rows, job))

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Accepted | Duplicate]:
        """Store several jobs in one transaction."""
        return await self._write(lambda: [self._disk.submit(self.rows, job) for job in jobs])

    async def duplicates_of(self, jobs: Sequence[Job]) -> Sequence[Duplicate | None]:
        """Say of each job, without storing it, whether its key is known."""
        return await self._read(lambda: at_once(self.rows.duplicates_of(jobs)))

    async def waiting(self) -> Sequence[WaitingJob]:
        """List every job that has not ended."""
        return await self._read(lambda: at_once(self.rows.waiting()))

    async def load(self, job_id: JobId) -> StoredJob | None:
        """Read one job whole."""
        return await self._read(lambda: self._disk.load(job_id))

    async def look(self, job_id: JobId, reader: CustomerId | None = None) -> StoredJob | None:  # the port's
        """Read one job without what may be large."""
        return await self._read(lambda: self._disk.tables.look(job_id))

    async def result(self, job_id: JobId, reader: CustomerId | None = None) -> bytes | None:  # the port's
        """Read a job's result."""
        return await self._read(lambda: at_once(self.rows.result(job_id)))

    def note_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is; rides the next commit."""
        self._post(lambda: self._disk.note_course(self.rows, job_id, customer, state, course))

    def note_timeline(self, job_id: JobId, customer: CustomerId, course: Course) -> None:
        """Save what was still learned about a job that has ended; rides the next commit."""
        self._post(lambda: self.rows.note_timeline(job_id, customer, course))

    async def save_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is, and wait for the commit."""
        await self._write(lambda: self._disk.note_course(self.rows, job_id, customer, state, course))

    async def mark(self, mark: Mark) -> bool:
        """Write down that an attempt may have been sent, and wait for the commit."""
        return await self._write(lambda: self._disk.mark(self.rows, mark))

    async def marks(self) -> dict[JobId, Mark]:
        """List the marks of jobs that have not ended."""
        return await self._read(lambda: at_once(self.rows.marks()))

    async def end(self, ending: Ending) -> Sequence[Accepted | Duplicate]:
        """End a job, fill its outbox and store its children."""
        return await self._write(lambda: self._disk.end(self.rows, ending))

    async def overdue(self, now_ms: int, most: int, skip: int = 0) -> Sequence[JobId]:
        """List unended jobs whose deadline has passed."""
        return await self._read(lambda: at_once(self.rows.overdue(now_ms, most, skip)))

    async def outbox(self) -> Sequence[OutboxEntry]:
        """List deliveries that are still to be made."""
        return await self._read(lambda: at_once(self.rows.outbox()))

    async def dead_deliveries(
        self, wanted: DeadFilter, *, most: int, before: DeadLetterCursor | None = None
    ) -> Sequence[OutboxEntry]:
        """List a customer's deliveries that failed for good, newest first."""
        dead = self._disk.committed.history.dead_deliveries
        return await self._read(lambda: at_once(dead(wanted, most=most, before=before)))

    async def save_delivery(self, entry: OutboxEntry) -> None:
        """Save how a delivery attempt ended."""
        await self._write(lambda: at_once(self.rows.save_delivery(entry)))

    async def reopen_deliveries(self, entries: Sequence[OutboxEntry]) -> None:
        """Save deliveries that are to be made again, in one transaction."""
        await self._write(lambda: at_once(self.rows.reopen_deliveries(entries)))

    async def paces(self) -> dict[TargetDomain, Learned]:
        """List learned paces."""
        return await self._read(lambda: at_once(self.rows.paces()))

    def note_pace(self, domain: TargetDomain, learned: Learned) -> None:
        """Save what a target has taught; rides the next commit."""
        self._post(lambda: self.rows.note_pace(domain, learned))

    def note_domain(self, customer: CustomerId, domain: TargetDomain) -> None:
        """Save that a customer calls a target; rides the next commit."""
        self._post(lambda: self.rows.note_domain(customer, domain))

    def note_usage(self, customer: CustomerId, more: DayUsage) -> None:
        """Add to what a customer used on a day; rides the next commit."""
        self._post(lambda: self.rows.note_usage(customer, more))

    async def put_secrets(self, customer: CustomerId, secrets: WebhookSecrets) -> None:
        """Store a customer's webhook secrets."""
        await self._write(lambda: at_once(self._disk.committed.customers.put_secrets(customer, secrets)))

    async def secrets(self, customer: CustomerId) -> WebhookSecrets | None:
        """Read a customer's webhook secrets."""
        return await self._read(lambda: at_once(self._disk.committed.customers.secrets(customer)))

    async def drop_secrets(self, customer: CustomerId) -> bool:
        """Delete them; say whether there were any."""
        return await self._write(lambda: at_once(self._disk.committed.customers.drop_secrets(customer)))

    async def overrulings(self) -> dict[TargetDomain, Overruling]:
        """List what the operator said of domains."""
        return await self._read(lambda: at_once(self.rows.overrulings()))

    async def save_overruling(
        self,
        domain: TargetDomain,
        overruling: Overruling,
        entry: AuditEntry,
        learned: Learned | None = None,
    ) -> None:
        """Save what the operator says of a domain, and what is taken as learned there."""
        await self._write(lambda: at_once(self.rows.save_overruling(domain, overruling, entry, learned)))

    async def drains(self) -> dict[RegionName, Drain]:
        """List the regions that an operator has taken out of service."""
        return await self._read(lambda: at_once(self.rows.drains()))

    async def save_drain(self, region: RegionName, drain: Drain | None, entry: AuditEntry) -> None:
        """Save that a region drains, or does so no longer."""
        await self._write(lambda: at_once(self.rows.save_drain(region, drain, entry)))

    async def plans(self, now_ms: int) -> Sequence[tuple[CustomerId, str]]:
        """List customers with the plans of their keys that are valid now."""
        return await self._read(lambda: at_once(self._disk.committed.customers.plans(now_ms)))

    async def caller_of(self, key: str, now_ms: int) -> Caller | None:
        """Whose API key this is, and of which role; None where it is unknown, revoked or past its expiry."""
        return await self._read(lambda: at_once(self._disk.committed.customers.caller_of(key, now_ms)))

    async def purge(self, now_ms: int) -> None:
        """Forget what is past its keeping."""
        await self._write(lambda: at_once(self.rows.purge(now_ms)))

    async def close(self) -> None:
        """Commit what waits."""
        await self._write(lambda: None)


def _outcome(write: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return write(), None
    except Exception as error:  # noqa: BLE001  # handed to whoever asked for the write
        return None, error
