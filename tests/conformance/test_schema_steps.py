"""How a data directory of another version is opened: an earlier one is completed, a later one is refused."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator.adapters.sqlite import migration
from orchestrator.adapters.sqlite.data_dir import DATABASE, KEY_FILE, LOCK_FILE, lock
from orchestrator.adapters.sqlite.migration import (
    EarlierServiceError,
    NewerSchemaError,
    Step,
    StepKind,
    steps,
)
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.adapters.stores import open_administration
from orchestrator.domain.access.roles import Caller, Role
from orchestrator.domain.cluster.slots import slot_of
from orchestrator.domain.execution.marks import Owner, surely_unsent
from orchestrator.domain.ids import CustomerId, ShardName, TargetDomain, target_domain
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.webhooks.fanout import DeliveryState
from orchestrator.ports.secret_box import SecretBox
from orchestrator.ports.store import DeadFilter, JobFilter
from tests.conformance.stores import SqliteKeeper, add_key, an_ending, rows_of, set_back, submit_all
from tests.unit.domain.builders import ACME, IAD, NOW_MS, a_job

FIRST = Path(__file__).with_name("first_schema.sql")
UNNUMBERED = Path(__file__).with_name("unnumbered_directory.sql")
"""What the service wrote just before directories carried a number: a job of each state, and all else."""
LISTS = next(number for number, step in enumerate(steps(), 1) if "CREATE TABLE failures" in step.sql)
SCHEMA_6 = Path(__file__).with_name("schema_6_directory.sql")
"""The same directory as the commit before slots left it, with what it knew besides."""
SCHEMA_9 = Path(__file__).with_name("schema_9_directory.sql")
"""What the commit before marks had rows left, with jobs under way that may be sent once."""
SCHEMA_11 = Path(__file__).with_name("schema_11_directory.sql")
"""What the commit before labels, expiries and last uses of keys left: a key of each role, one revoked."""
KEY_OF_UNNUMBERED = "00" * 31 + "2a\n"


@pytest.fixture
def unnumbered(directory: SqliteKeeper) -> SqliteKeeper:
    return written_by(directory, UNNUMBERED)


@pytest.fixture
def of_the_commit_before(directory: SqliteKeeper) -> SqliteKeeper:
    return written_by(directory, SCHEMA_6)


@pytest.fixture(params=[UNNUMBERED, SCHEMA_6], ids=["just before the numbers", "the commit before"])
def earlier(directory: SqliteKeeper, request: pytest.FixtureRequest) -> SqliteKeeper:
    return written_by(directory, request.param)


def written_by(directory: SqliteKeeper, dump: Path) -> SqliteKeeper:
    directory.data_dir.mkdir()
    (directory.data_dir / KEY_FILE).write_text(KEY_OF_UNNUMBERED)
    with database(directory) as db:
        db.executescript(dump.read_text())
    return directory


@contextlib.contextmanager
def a_service_has(directory: SqliteKeeper) -> Iterator[None]:
    """Hold the directory as a running service does."""
    held = lock(directory.data_dir / LOCK_FILE)
    try:
        yield
    finally:
        os.close(held)


def plan_a_step(monkeypatch: pytest.MonkeyPatch, kind: StepKind) -> None:
    """Let this version know one step more."""
    more = (*steps(), Step("CREATE TABLE later_still (id TEXT)", kind))
    monkeypatch.setattr(migration, "steps", lambda: more)


@contextlib.contextmanager
def database(directory: SqliteKeeper) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(directory.data_dir / DATABASE)) as db, db:
        yield db


def number_of(directory: SqliteKeeper) -> int:
    with database(directory) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def set_number(directory: SqliteKeeper, number: int) -> None:
    with database(directory) as db:
        db.execute(f"PRAGMA user_version = {number:d}")


def bytes_of(directory: SqliteKeeper) -> bytes:
    return (directory.data_dir / DATABASE).read_bytes()


def dump_of(directory: SqliteKeeper) -> list[str]:
    with database(directory) as db:
        return list(db.iterdump())


def tables_of(directory: SqliteKeeper) -> Mapping[str, list[str]]:
    """Columns of each table and index, in their order: rows are written by place."""
    with database(directory) as db:
        found = db.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
        return {name: [row[0] for row in db.execute(_COLUMNS[kind], (name,))] for kind, name in found}


_COLUMNS = {
    "table": "SELECT name FROM pragma_table_info(?)",
    "index": "SELECT name FROM pragma_index_info(?)",
}


async def test_a_new_directory_carries_the_number_of_the_last_step(directory: SqliteKeeper) -> None:
    await directory.open()
    assert number_of(directory) == len(steps()) >= 1


async def test_an_earlier_directory_keeps_every_job_and_all_that_was_known(earlier: SqliteKeeper) -> None:
    store = await earlier.open()
    page = await store.history.jobs_of(JobFilter(customer=ACME), now_ms=NOW_MS, most=10)
    assert [job.state for job in page.jobs] == [
        JobState.FAILED,
        JobState.SCHEDULED,
        JobState.RUNNING,
        JobState.QUEUED,
        JobState.SUCCESS,
    ]
    loaded = [await store.jobs.load(job.id) for job in page.jobs]
    assert [found.result for found in loaded if found] == [
        b'{"status":"failed"}',
        None,
        None,
        None,
        b'{"status":"success"}',
    ]
    domain = target_domain(a_job().spec.url)
    assert (await store.jobs.paces())[domain].pace == Pace(5.0, 3)
    secrets = await store.customers.secrets(ACME)
    assert secrets is not None
    assert secrets.primary == "whsec_of_a_test_0001"
    caller = await store.customers.caller_of("ck_live_cust_acme_unnumbered", NOW_MS)
    assert caller is not None
    assert (caller.customer, caller.role) == (ACME, Role.SUBMIT)
    assert [entry.state for entry in await store.jobs.outbox()] == [DeliveryState.PENDING]
    assert len(await store.history.dead_deliveries(DeadFilter(customer=ACME), most=10)) == 1
    assert [day.accepted for day in await store.history.usage_of(ACME, 0)] == [5]


async def test_an_earlier_directory_takes_new_jobs(earlier: SqliteKeeper) -> None:
    store = await earlier.open()
    await submit_all(store, [a_job(number) for number in (11, 12)])
    assert len((await store.history.jobs_of(JobFilter(customer=ACME), now_ms=NOW_MS, most=10)).jobs) == 7
    assert number_of(earlier) == len(steps())


@pytest.mark.parametrize(
    "made_by",
    [each.read_text() for each in (FIRST, UNNUMBERED, SCHEMA_6, SCHEMA_9, SCHEMA_11)],
    ids=["the first version", "just before the numbers", "before slots", "before marks", "before key terms"],
)
async def test_every_way_to_the_last_step_leads_to_the_same_tables(
    directory: SqliteKeeper, tmp_path: Path, made_by: str
) -> None:
    fresh = SqliteKeeper(tmp_path / "fresh")
    await fresh.open()
    await fresh.close()
    directory.data_dir.mkdir()
    (directory.data_dir / KEY_FILE).write_text(KEY_OF_UNNUMBERED)
    with database(directory) as db:
        db.executescript(made_by)
    await directory.open()
    await directory.close()
    wanted = tables_of(fresh)
    assert {name: columns for name, columns in tables_of(directory).items() if name in wanted} == wanted


async def test_a_directory_of_the_commit_before_goes_on_with_its_epoch_and_one_shard_has_all_slots(
    of_the_commit_before: SqliteKeeper,
) -> None:
    store = await of_the_commit_before.open()
    assert await store.jobs.begin_epoch() == 5
    said = (await store.jobs.overrulings())[TargetDomain("api.example.com")]
    assert said.pace is not None
    assert (said.pace.rps, said.pace.by) == (7.0, "key of cust_ops")
    assert await rows_of(store, "SELECT shard, count(*), max(slot) FROM slots GROUP BY shard") == [
        ("shard-0", 128, 127)
    ]
    assert await rows_of(store, "SELECT shard, epoch FROM epochs") == [("shard-0", 5)]


async def test_a_directory_of_the_commit_before_marks_keeps_what_may_have_been_sent_once(
    directory: SqliteKeeper,
) -> None:
    jobs = (await written_by(directory, SCHEMA_9).open()).jobs
    marks = await jobs.marks()
    told = {job_id[-1]: (mark.attempt, mark.step, mark.region, mark.epoch) for job_id, mark in marks.items()}
    # Of the others one was answered, one may be repeated, and one has ended.
    assert told == {"1": ("shard-0:4.1", 0, IAD, 4), "2": ("shard-0:4.3", 0, IAD, 4)}
    assert {mark.slot for mark in marks.values()} == {slot_of(target_domain(a_job().spec.url))}
    for job_id, mark in marks.items():
        stored = await jobs.load(job_id)
        assert stored is not None
        assert stored.course is not None
        assert not surely_unsent(stored.course, mark, Owner(ShardName("shard-0"), await jobs.begin_epoch()))


async def test_keys_of_the_commit_before_their_terms_are_valid_for_ever_and_were_not_used(
    directory: SqliteKeeper,
) -> None:
    customers = (await written_by(directory, SCHEMA_11).open()).customers
    listed = {key.key_id: key for key in await customers.keys()}
    assert {key_id: key.role for key_id, key in listed.items() if key.is_valid(NOW_MS + 10)} == {
        "schema11submit": Role.SUBMIT,
        "schema11admin": Role.ADMIN,
        "schema11region": Role.REGION,
    }
    assert {(key.label, key.expires_ms, key.used_ms) for key in listed.values()} == {("", None, None)}
    caller = await customers.caller_of("ck_live_cust_ops_schema11", NOW_MS)
    assert caller == Caller(CustomerId("cust_ops"), Role.ADMIN, "schema11admin")
    assert await customers.caller_of("ck_live_cust_acme_gone", NOW_MS) is None


async def test_a_job_whose_row_is_damaged_is_not_marked_and_the_others_are(directory: SqliteKeeper) -> None:
    written_by(directory, SCHEMA_9)
    with database(directory) as db:
        db.execute("UPDATE jobs SET run = x'4711' WHERE id LIKE '%1'")
    assert [job_id[-1] for job_id in await (await directory.open()).jobs.marks()] == ["2"]


async def test_keys_leave_the_directory_of_an_earlier_service_that_runs_as_it_is(
    of_the_commit_before: SqliteKeeper,
) -> None:
    before = dump_of(of_the_commit_before)
    with (
        a_service_has(of_the_commit_before),
        pytest.raises(EarlierServiceError, match="restart that service"),
    ):
        await add_key(of_the_commit_before)
    assert (dump_of(of_the_commit_before), number_of(of_the_commit_before)) == (before, 6)
    key, _ = await add_key(of_the_commit_before)
    assert await (await of_the_commit_before.open()).customers.caller_of(key, NOW_MS) is not None


async def test_a_step_that_only_adds_is_taken_beside_a_running_service(
    directory: SqliteKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await directory.open()
    with monkeypatch.context() as planned:
        plan_a_step(planned, StepKind.PRE)
        key, _ = await add_key(directory)
    assert number_of(directory) == len(steps()) + 1
    assert await store.customers.caller_of(key, NOW_MS) is not None


async def test_a_step_that_changes_waits_until_nothing_else_has_the_directory(
    directory: SqliteKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    await directory.open()
    plan_a_step(monkeypatch, StepKind.POST)
    with pytest.raises(EarlierServiceError, match="restart that service"):
        await add_key(directory)
    assert number_of(directory) == len(migration.steps()) - 1
    await directory.close()
    await add_key(directory)
    assert number_of(directory) == len(migration.steps())


@pytest.mark.parametrize("kind", StepKind)
async def test_a_version_that_lacks_a_step_opens_the_directory_only_if_it_was_an_addition(
    directory: SqliteKeeper, monkeypatch: pytest.MonkeyPatch, kind: StepKind
) -> None:
    with monkeypatch.context() as planned:
        plan_a_step(planned, kind)
        await directory.open()
        await directory.close()
    if kind is StepKind.PRE:
        assert await (await directory.open()).jobs.waiting() == []
        assert number_of(directory) == len(steps()) + 1
    else:
        with pytest.raises(NewerSchemaError, match="written by a later version"):
            await directory.open()


async def test_a_later_version_s_directory_is_refused_in_words_and_left_as_it_is(
    directory: SqliteKeeper,
) -> None:
    await directory.open()
    await directory.close()
    set_number(directory, len(steps()) + 7)
    before = bytes_of(directory)
    for _ in range(2):
        with pytest.raises(NewerSchemaError, match=r"written by a later version.*restore the backup"):
            await directory.open()
    assert bytes_of(directory) == before


async def test_keys_are_not_made_in_a_later_version_s_directory(directory: SqliteKeeper) -> None:
    await directory.open()
    await directory.close()
    set_number(directory, len(steps()) + 1)
    with pytest.raises(NewerSchemaError, match="run that version again"):
        async with open_administration(directory.data_dir):
            pass


async def test_a_step_that_fails_leaves_the_directory_as_it_was(
    unnumbered: SqliteKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_half_way(db: sqlite3.Connection, _box: SecretBox) -> None:
        db.execute("DELETE FROM jobs")
        db.execute("CREATE TABLE half_made (id)")
        raise sqlite3.OperationalError("the disk is full")

    with database(unnumbered) as db:
        before = list(db.iterdump())
    with monkeypatch.context() as planted:
        planted.setattr(migration, "FILLS", {1: fail_half_way})
        with pytest.raises(sqlite3.OperationalError):
            SqliteStore(unnumbered.data_dir)
    with database(unnumbered) as db:
        assert list(db.iterdump()) == before
    assert number_of(unnumbered) == 0
    assert len(await (await unnumbered.open()).jobs.waiting()) == 3


async def test_a_directory_that_is_up_to_date_takes_no_step(
    directory: SqliteKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    await directory.open()
    await directory.close()
    monkeypatch.setattr(migration, "FILLS", dict.fromkeys(range(1, len(steps()) + 1), fail))
    await directory.open()
    await add_key(directory)


def fail(_db: sqlite3.Connection, _box: SecretBox) -> None:
    pytest.fail("a step was taken twice")


@pytest.mark.parametrize(
    "names", [("0002_b.sql",), ("0001_a.sql", "0001_b.sql"), ("0001_a.sql", "0003_c.sql")], ids=str
)
def test_steps_with_a_gap_or_with_one_number_twice_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    (tmp_path / "schema").mkdir()
    for name in names:
        (tmp_path / "schema" / name).write_text("SELECT 1;")
    monkeypatch.setattr(migration, "files", lambda _package: tmp_path)
    with pytest.raises(RuntimeError, match="numbered from 1 without gaps"):
        steps.__wrapped__()


async def test_why_earlier_jobs_failed_is_found_by_its_code(directory: SqliteKeeper) -> None:
    store = await directory.open()
    await submit_all(store, jobs := [a_job(number) for number in (1, 2, 3)])
    for job, code in zip(jobs[:2], ("deadline", "cancelled"), strict=True):
        result = json.dumps({"error": {"code": code, "message": ""}}).encode()
        state = JobState.CANCELLED if code == "cancelled" else JobState.FAILED
        await store.jobs.end(an_ending(job, state=state, result=result))
    await store.jobs.end(an_ending(jobs[2], result=b'{"error":null}'))
    await store.jobs.submit(unreadable := a_job(4))
    await store.jobs.end(an_ending(unreadable, state=JobState.FAILED, result=b"no result"))
    await directory.close()
    with database(directory) as db:
        db.execute("DROP TABLE failures")
        db.execute("DROP INDEX jobs_listed")
        db.execute("DROP INDEX jobs_key_freed")
        db.execute("DROP INDEX deliveries_pending_at")
    set_back(directory, LISTS - 1)
    store = await directory.open()
    for job, code in zip(jobs[:2], ("deadline", "cancelled"), strict=True):
        wanted = JobFilter(customer=ACME, code=code)
        assert [found.id for found in (await store.history.jobs_of(wanted, now_ms=NOW_MS, most=5)).jobs] == [
            job.id
        ]
    # What is told of a reason by nobody has failed all the same.
    failed = JobFilter(customer=ACME, states=frozenset({JobState.FAILED}))
    found = await store.history.jobs_of(failed, now_ms=NOW_MS, most=5)
    assert [job.id for job in found.jobs] == [unreadable.id, jobs[0].id]
