"""What lies on disk is of no use to whoever copies it without the key."""

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from orchestrator.adapters.sqlite.data_dir import DATABASE, KEY_FILE
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.run import Answer
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.jobs.job import Job, Webhook
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.customers import WebhookSecrets
from orchestrator.ports.store import DamagedError
from tests.conformance.stores import SqliteKeeper, a_course, add_key, an_ending, flush
from tests.unit.domain.builders import ACME, IAD, a_job

BETA = CustomerId("cust_beta")
CANARIES = (
    "CanaryInQuery",
    "CanaryInPath",
    "CanaryInHeaderName",
    "CanaryInHeaderValue",
    "CanaryInBody",
    "CanaryInMetadata",
    "CanaryInWebhook",
    "CanaryInAnswerHeader",
    "CanaryInAnswerBody",
    "CanaryInResult",
    "CanaryInSecret",
    "CanaryInOldSecret",
)


def telltale_job() -> Job:
    return a_job(
        url="https://visible.example.com/CanaryInPath?token=CanaryInQuery",
        method="POST",
        headers=(("X-CanaryInHeaderName", "CanaryInHeaderValue"),),
        body="CanaryInBody " * 20,
        metadata={"note": "CanaryInMetadata"},
        webhooks=(Webhook(url="https://hooks.example.com/?CanaryInWebhook"),),
    )


async def fill(store: SqliteStore) -> None:
    job = telltale_job()
    response = HttpResponse(status=404, headers={"x-a": "CanaryInAnswerHeader"}, body=b"CanaryInAnswerBody")
    run = a_course(job).runs[0]
    assert run is not None
    course = Course((replace(run, answers=(Answer(IAD, response),)),))
    await store.jobs.submit(job)
    await store.jobs.save_course(job.id, job.customer, JobState.RUNNING, course)
    await store.jobs.end(an_ending(job, course=course, result=b'{"body":"CanaryInResult"}'))
    store.jobs.note_timeline(job.id, job.customer, course)
    secrets = WebhookSecrets(primary="CanaryInSecret_16", secondary="CanaryInOldSecret")
    await store.customers.put_secrets(ACME, secrets)
    await flush(store)


def raw_bytes(data_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in data_dir.iterdir() if path.name != KEY_FILE}


def found_in(files: dict[str, bytes]) -> set[str]:
    return {
        text
        for text in (*CANARIES, "visible.example.com")
        if any(text.encode() in raw for raw in files.values())
    }


async def test_nothing_of_requests_answers_and_secrets_stands_in_the_files(directory: SqliteKeeper) -> None:
    await fill(await directory.open())
    running = raw_bytes(directory.data_dir)
    assert f"{DATABASE}-wal" in running
    assert found_in(running) == {"visible.example.com"}
    await directory.close()
    assert found_in(raw_bytes(directory.data_dir)) == {"visible.example.com"}


async def test_with_the_key_everything_is_readable_again(directory: SqliteKeeper) -> None:
    await fill(await directory.open())
    stored = await (await directory.open()).jobs.load(telltale_job().id)
    assert stored is not None
    assert stored.job == telltale_job()
    assert stored.course is not None
    assert stored.course.runs[0] is not None
    assert stored.course.runs[0].answers[0].response.body == b"CanaryInAnswerBody"


async def test_an_api_key_stands_nowhere_in_the_files(directory: SqliteKeeper) -> None:
    await directory.open()
    key, made = await add_key(directory)
    secret = key.rpartition("_")[2].encode()
    files = raw_bytes(directory.data_dir)
    assert any(made.key_id.encode() in raw for raw in files.values())
    assert not any(secret in raw for raw in files.values())


def tamper(data_dir: Path, sql: str, *values: object) -> None:
    with sqlite3.connect(data_dir / DATABASE) as db:
        assert db.execute(sql, values).rowcount == 1
    db.close()


async def test_a_row_moved_to_another_customer_does_not_open(directory: SqliteKeeper) -> None:
    store = await directory.open()
    job = a_job()
    await store.jobs.submit(job)
    tamper(directory.data_dir, "UPDATE jobs SET customer = ? WHERE id = ?", BETA, job.id)
    with pytest.raises(DamagedError, match="changed, moved"):
        await store.jobs.load(job.id)


async def test_a_request_moved_to_another_job_does_not_open(directory: SqliteKeeper) -> None:
    store = await directory.open()
    theirs, mine = a_job(1, customer=BETA), a_job(2)
    for job in (theirs, mine):
        await store.jobs.submit(job)
    sql = "UPDATE jobs SET request = (SELECT request FROM jobs WHERE id = ?) WHERE id = ?"
    tamper(directory.data_dir, sql, theirs.id, mine.id)
    with pytest.raises(DamagedError, match=r"request: .*changed, moved"):
        await store.jobs.load(mine.id)


@pytest.mark.parametrize("column", ["run", "result"])
async def test_a_column_moved_to_another_job_does_not_open(directory: SqliteKeeper, column: str) -> None:
    store = await directory.open()
    theirs, mine = a_job(1, customer=BETA), a_job(2)
    for job in (theirs, mine):
        await store.jobs.submit(job)
        await store.jobs.end(an_ending(job))
    sql = f"UPDATE jobs SET {column} = (SELECT {column} FROM jobs WHERE id = ?) WHERE id = ?"
    tamper(directory.data_dir, sql, theirs.id, mine.id)
    found = await store.jobs.load(mine.id)
    assert found is not None
    assert found.damage == f"{column}: sealed bytes were changed, moved, or sealed with another key"
    assert (found.course if column == "run" else found.result) is None


async def test_a_result_put_in_the_requests_place_does_not_open(directory: SqliteKeeper) -> None:
    store = await directory.open()
    job = a_job()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job))
    tamper(directory.data_dir, "UPDATE jobs SET request = result WHERE id = ?", job.id)
    with pytest.raises(DamagedError, match="changed, moved"):
        await store.jobs.load(job.id)


async def test_secrets_moved_to_another_customer_do_not_open(directory: SqliteKeeper) -> None:
    store = await directory.open()
    await store.customers.put_secrets(BETA, WebhookSecrets(primary="0123456789abcdef"))
    tamper(directory.data_dir, "UPDATE webhook_secrets SET customer = ?", ACME)
    with pytest.raises(DamagedError, match="changed, moved"):
        await store.customers.secrets(ACME)


async def test_equal_jobs_of_two_customers_look_different_on_disk(directory: SqliteKeeper) -> None:
    store = await directory.open()
    for number, customer in enumerate((ACME, BETA)):
        await store.jobs.submit(a_job(number, customer=customer, key="same"))
    with sqlite3.connect(directory.data_dir / DATABASE) as db:
        sealed = {request for (request,) in db.execute("SELECT request FROM jobs")}
    db.close()
    assert len(sealed) == 2
