"""A row that can't be read is its own job's end: every encoded column, changed in every way."""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import product
from random import Random

import pytest

from orchestrator.adapters.sqlite.data_dir import DATABASE
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.core.shard import Shard
from orchestrator.core.shard_options import ShardOptions
from orchestrator.domain.access.audit import AuditFilter
from orchestrator.domain.access.usage import DayUsage
from orchestrator.domain.cluster.draining import Drain
from orchestrator.domain.cluster.slots import slot_of
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.ids import AttemptId, JobId, NodeAddress, TargetDomain
from orchestrator.domain.jobs.job import Job, Webhook
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import Guarantee
from orchestrator.domain.mail_room import MailCount, MailRoom, MailShare
from orchestrator.domain.pace.overruling import Overruling, Pause, SetPace
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.steering.learned import Learned
from orchestrator.domain.webhooks.fanout import DeliveryState
from orchestrator.messages.types import Message
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.customers import WebhookSecrets
from orchestrator.ports.store import DamagedError, JobFilter
from tests.conformance.stores import SqliteKeeper, a_course, add_key, an_ending, an_entry, flush
from tests.unit.domain.builders import ACME, IAD, LAX, a_job

HOOKS = (Webhook(url="http://a.example.com/hook"), Webhook(url="http://b.example.com/hook"))
WITHIN_S = 10.0


def flipped(value: object) -> object:
    """The middle byte changed; of text, a letter."""
    if isinstance(value, str):
        return f"{value[:-1]}?"
    assert isinstance(value, bytes)
    middle = len(value) // 2
    return value[:middle] + bytes([value[middle] ^ 0x10]) + value[middle + 1 :]


def cut(value: object) -> object:
    assert isinstance(value, str | bytes)
    return value[: len(value) // 2]


def first_flipped(value: object) -> object:
    """The byte that says how the rest is to be read."""
    assert isinstance(value, str | bytes)
    return b"\xc1" + bytes(value[1:]) if isinstance(value, bytes) else f"?{value[1:]}"


CHANGES: dict[str, Callable[[object], object]] = {
    "a flipped byte": flipped,
    "its first byte": first_flipped,
    "cut": cut,
    "empty": lambda _: b"",
    "NULL": lambda _: None,
    "a number": lambda _: 4711,
    "a text": lambda _: "nonsense",
}
"""What may become of a column's value."""


@dataclass(frozen=True)
class Column:
    """An encoded column; ``where`` finds the row in question."""

    table: str
    name: str
    where: str = "1 = 1"

    def __str__(self) -> str:
        return f"{self.table}.{self.name}, {self.where.rpartition('_')[2]}"


NOW_MS = time.time_ns() // 1_000_000
TARGET = TargetDomain("api.example.com")
SET_PACE = SetPace(rps=7.0, max_concurrent=3, until_ms=2**42, at_ms=NOW_MS, by="key_1")
PAUSE = Pause(at_ms=NOW_MS, by="key_1")
SCHEDULED = a_job(1, accepted_ms=NOW_MS, account="acct", cost=2.0, retry_at=NOW_MS + 3_600_000)
RUNNING, ENDED, WELL = (
    a_job(2, accepted_ms=NOW_MS),
    a_job(3, accepted_ms=NOW_MS, webhooks=HOOKS),
    a_job(4, accepted_ms=NOW_MS),
)

OPEN_JOBS = [Column("jobs", name, f"id = '{SCHEDULED.id}'") for name in ("request", "queued_as", "state")]
RUNNING_JOBS = [Column("jobs", name, f"id = '{RUNNING.id}'") for name in ("request", "run", "state")]
ENDED_JOBS = [
    Column("jobs", name, f"id = '{ENDED.id}'")
    for name in ("request", "run", "result", "quorum", "fingerprint", "state")
]
BESIDE = [
    Column("deliveries", "log"),
    Column("deliveries", "state", "position = 0"),
    Column("lessons", "learned"),
    Column("webhook_secrets", "secrets"),
    Column("shard", "key_check"),
]
ALL = [*OPEN_JOBS, *RUNNING_JOBS, *ENDED_JOBS, *BESIDE]


PLAIN = [
    Column("overrulings", name)
    for name in ("rps", "max_concurrent", "until_ms", "set_ms", "set_by", "paused_ms", "paused_by")
]
"""Numbers and names that are written as they are."""
NUMBERS: dict[str, object] = {
    "NULL": None,
    "a text": "nonsense",
    "bytes": b"\xff\x00",
    "a negative number": -1,
    "zero": 0,
    "infinity": float("inf"),
    "a fraction": 0.5,
    "the largest": 2**63 - 1,
}
TEXTS = [
    *(
        Column("jobs", name, f"id = '{SCHEDULED.id}'")
        for name in ("id", "customer", "domain", "idem_key", "state")
    ),
    *(
        Column("jobs", name, f"id = '{RUNNING.id}'")
        for name in ("id", "customer", "domain", "idem_key", "state")
    ),
    *(
        Column("jobs", name, f"id = '{ENDED.id}'")
        for name in ("id", "customer", "domain", "idem_key", "state")
    ),
    *(
        Column("deliveries", name, "position = 0")
        for name in ("job_id", "id", "customer", "endpoint", "state")
    ),
    Column("overrulings", "domain"),
    Column("overrulings", "set_by"),
    Column("overrulings", "paused_by"),
    Column("lessons", "domain"),
    Column("customer_domains", "domain"),
    Column("customer_domains", "customer"),
    Column("usage", "customer"),
    *(Column("api_keys", name) for name in ("key_id", "customer", "plan", "role", "label")),
    Column("webhook_secrets", "customer", "customer = 'cust_acme'"),
    *(Column("drains", name) for name in ("region", "at_ms", "drained_by")),
    *(Column("audit", name) for name in ("act", "subject", "who", "customer", "origin", "detail")),
]
"""Columns of text, which may hold what is none any more."""


class Silence:
    """Links to regions that take everything and say nothing."""

    def __init__(self) -> None:
        self.mail = MailShare(MailRoom())

    def link(self, _to: NodeAddress) -> "Silence":
        return self

    def post(self, _message: Message, count: MailCount | None = None) -> None:
        """Take it."""
        if count is not None:
            count.give_back(0)

    def readdress(self, epoch: int, incarnation: str) -> None:
        """Nothing waits here."""

    def stuck_s(self) -> float:
        return 0.0

    async def close(self) -> None:
        """Nothing waits here."""


async def written(directory: SqliteKeeper) -> None:
    """Write a directory with a job of each kind, and with all that is kept beside them."""
    store = await directory.open()
    for job in (SCHEDULED, RUNNING, ENDED, WELL):
        await store.jobs.submit(job)
    await store.jobs.save_course(RUNNING.id, RUNNING.customer, JobState.RUNNING, a_course(RUNNING))
    await store.jobs.end(an_ending(ENDED, ended_ms=NOW_MS))
    store.jobs.note_pace(TARGET, Learned(pace=Pace(5.0, 3)))
    await store.customers.put_secrets(ACME, WebhookSecrets(primary="0123456789abcdef"))
    await store.jobs.save_overruling(TARGET, Overruling(pace=SET_PACE, pause=PAUSE), an_entry())
    await store.jobs.save_drain(LAX, Drain(1, "ops"), an_entry())
    store.jobs.note_domain(ACME, TARGET)
    store.jobs.note_usage(ACME, DayUsage(day=1, accepted=4))
    await add_key(directory)
    await flush(store)
    await directory.close()


def damage(directory: SqliteKeeper, column: Column, change: Callable[[object], object]) -> None:
    find = f"SELECT {column.name} FROM {column.table} WHERE {column.where}"
    put = f"UPDATE {column.table} SET {column.name} = ? WHERE {column.where}"
    with contextlib.closing(sqlite3.connect(directory.data_dir / DATABASE)) as db, db:
        (value,) = db.execute(find).fetchone()
        try:
            db.execute(put, (change(value),))
        except sqlite3.IntegrityError:
            pytest.skip("the schema does not let that in")


def put(directory: SqliteKeeper, column: Column, value: object, *, as_text: bool = False) -> None:
    mark = "CAST(? AS TEXT)" if as_text else "?"
    sql = f"UPDATE {column.table} SET {column.name} = {mark} WHERE {column.where}"
    with contextlib.closing(sqlite3.connect(directory.data_dir / DATABASE)) as db, db:
        assert db.execute(sql, (value,)).rowcount >= 1


MARKED = a_job(5, accepted_ms=NOW_MS, method="POST", guarantee=Guarantee.AT_MOST_ONCE)
MARK = Mark(
    job=MARKED.id, attempt=AttemptId("shard-0:1.1"), step=0, region=IAD, slot=slot_of(TARGET), epoch=1
)


@contextlib.asynccontextmanager
async def a_shard(store: SqliteStore) -> AsyncIterator[Shard]:
    """A real shard over the real store; its regions say nothing."""
    options = ShardOptions(regions=(IAD,))
    shard = Shard(store=store, links=Silence(), clock=SystemClock(), random=Random(1), options=options)
    await shard.start()
    try:
        yield shard
    finally:
        await shard.peers.close()
        await shard._tasks.close()


async def ends(shard: Shard, job_id: JobId) -> None:
    with shard.jobs.board.watch(job_id) as watch:
        line = await shard.store.history.summary(job_id, 0)
        if line is not None and not line.state.ended:
            await watch.end(WITHIN_S)


def code_of(result: bytes | None) -> str | None:
    error = json.loads(result or b"{}").get("error")
    return error and error["code"]


async def seen(store: SqliteStore, job: Job) -> tuple[JobState, str | None]:
    """The state of a job, and the code of its error, however much of it can be read."""
    line = await store.history.summary(job.id, 0)
    assert line is not None
    try:
        stored = await store.jobs.load(job.id)
    except DamagedError as error:
        return line.state, code_of(error.result)
    return line.state, code_of(stored.result if stored else None)


@pytest.mark.parametrize(("column", "what"), list(product(ALL, CHANGES)), ids=str)
async def test_the_service_starts_and_every_other_job_runs_whatever_a_row_has_become(
    directory: SqliteKeeper, column: Column, what: str
) -> None:
    await written(directory)
    damage(directory, column, CHANGES[what])
    store = await directory.open()
    async with a_shard(store) as shard:
        for read in (
            store.jobs.outbox,
            store.jobs.paces,
            lambda: store.customers.plans(NOW_MS),
            store.jobs.waiting,
        ):
            await read()
        page = await store.history.jobs_of(JobFilter(customer=ACME), now_ms=0, most=10)
        assert len(page.jobs) == 4
        await store.jobs.purge(0)
        await shard.jobs.table.take_up(WELL.id)
        assert shard.jobs.under_way(WELL.id) is not None
        fault = asyncio.ensure_future(shard.failed())
        done, _ = await asyncio.wait([fault], timeout=0.01)
        fault.cancel()
        assert not done


@pytest.mark.parametrize(("column", "what"), list(product(PLAIN, NUMBERS)), ids=str)
async def test_what_an_operator_said_that_can_not_be_read_is_left_out_and_a_pause_stays(
    directory: SqliteKeeper, column: Column, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    await written(directory)
    put(directory, column, NUMBERS[what])
    store = await directory.open()
    async with a_shard(store) as shard:
        said = shard.targets.domains.get(TARGET).overruling
        assert (said.pause is None) is (column.name == "paused_ms" and what == "NULL")
        if said.pace is None and what != "NULL":
            assert any("api.example.com is damaged" in line for line in caplog.messages)


@pytest.mark.parametrize("column", TEXTS, ids=str)
async def test_a_text_that_is_none_any_more_spoils_no_other_row(
    directory: SqliteKeeper, column: Column
) -> None:
    await written(directory)
    put(directory, column, b"api\xff\xfe\x80", as_text=True)
    store = await directory.open()
    async with a_shard(store) as shard:
        page = await store.history.jobs_of(JobFilter(customer=ACME), now_ms=0, most=10)
        assert WELL.id in [job.id for job in page.jobs]
        for read in (
            store.jobs.outbox,
            store.jobs.paces,
            store.customers.keys,
            lambda: store.customers.plans(NOW_MS),
        ):
            await read()
        for customer in (ACME, None):
            await store.history.domains_of(customer, 10)
        await store.jobs.overdue(2**62, 10)
        assert len(await store.audit.lines(AuditFilter(), 10)) == 3
        assert len(shard.peers.drains) == 1
        await store.jobs.purge(2**42)
        await shard.jobs.table.take_up(WELL.id)
        assert shard.jobs.under_way(WELL.id) is not None
        fault = asyncio.ensure_future(shard.failed())
        done, _ = await asyncio.wait([fault], timeout=0.05)
        fault.cancel()
        assert not done


@pytest.mark.parametrize(("column", "what"), list(product(OPEN_JOBS, CHANGES)), ids=str)
async def test_an_open_job_that_can_not_be_read_ends_as_damaged_when_its_turn_comes(
    directory: SqliteKeeper, column: Column, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    await written(directory)
    damage(directory, column, CHANGES[what])
    store = await directory.open()
    async with a_shard(store) as shard:
        if column.name == "queued_as" and what == "NULL":
            # As if the job had never had an account of its own: it runs.
            assert await shard.jobs.table.take_up(SCHEDULED.id) is not None
            return
        if column.name == "request":
            assert await shard.jobs.table.take_up(SCHEDULED.id) is None
        await ends(shard, SCHEDULED.id)
        assert await seen(store, SCHEDULED) == (JobState.FAILED, "damaged")
    assert any(SCHEDULED.id in line and "damaged" in line for line in caplog.messages)


@pytest.mark.parametrize(("column", "what"), list(product(RUNNING_JOBS, CHANGES)), ids=str)
async def test_a_running_job_that_can_not_be_read_ends_as_damaged_at_the_start(
    directory: SqliteKeeper, column: Column, what: str
) -> None:
    await written(directory)
    damage(directory, column, CHANGES[what])
    store = await directory.open()
    async with a_shard(store) as shard:
        if column.name == "run" and what == "NULL":
            # As a job that was just about to run.
            assert shard.jobs.under_way(RUNNING.id) is not None
            return
        await ends(shard, RUNNING.id)
        assert await seen(store, RUNNING) == (JobState.FAILED, "damaged")


@pytest.mark.parametrize("state", [state for state in JobState if state.ended], ids=str)
async def test_a_job_that_is_called_ended_without_an_end_ends_as_damaged_at_the_start(
    directory: SqliteKeeper, state: JobState
) -> None:
    await written(directory)
    damage(directory, Column("jobs", "state", f"id = '{RUNNING.id}'"), lambda _: state.value)
    store = await directory.open()
    async with a_shard(store) as shard:
        await ends(shard, RUNNING.id)
        assert await seen(store, RUNNING) == (JobState.FAILED, "damaged")


@pytest.mark.parametrize("what", sorted(CHANGES))
async def test_a_delivery_whose_result_can_not_be_read_is_over_and_says_so(
    directory: SqliteKeeper, what: str
) -> None:
    await written(directory)
    damage(directory, Column("jobs", "result", f"id = '{ENDED.id}'"), CHANGES[what])
    store = await directory.open()
    async with a_shard(store):
        async with asyncio.timeout(WITHIN_S):
            while await store.jobs.outbox():  # noqa: ASYNC110  # the store tells nobody
                await asyncio.sleep(0.01)
        found = await store.jobs.load(ENDED.id)
        if found is None:
            return
        assert {entry.state for entry in found.deliveries} == {DeliveryState.FAILED}
        assert all("not sent: result" in entry.log[-1].message for entry in found.deliveries)


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("column", ["attempt_id", "step", "region", "slot", "epoch"])
async def test_what_may_have_been_sent_once_is_not_sent_again_whatever_else_its_mark_has_become(
    directory: SqliteKeeper, column: str, what: str
) -> None:
    store = await directory.open()
    await store.jobs.submit(MARKED)
    await store.jobs.mark(MARK)
    await directory.close()
    mark = Column("marks", column)
    put(directory, mark, "a text of some length")
    damage(directory, mark, CHANGES[what])
    store = await directory.open()
    async with a_shard(store) as shard:
        await ends(shard, MARKED.id)
    assert await seen(store, MARKED) == (JobState.FAILED, "unknown_outcome")
