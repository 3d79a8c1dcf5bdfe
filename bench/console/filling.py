"""A data directory as after days of work: many jobs that ended, many targets with one that waits.

It is filled through the store itself, some thousand jobs one by one and the others as copies of their rows:
lists, counts and indexes can't tell, and the sealed columns of a copy are opened by nobody who does not open
that very job. Every target with a job that waits is paused, so that nothing of it starts, and the service
counts all of them.
"""

import asyncio
import itertools
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.access.audit import Act, AuditEntry
from orchestrator.domain.access.usage import DayUsage, day_of
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.run import begin, dispatch
from orchestrator.domain.execution.settling import FailureCode
from orchestrator.domain.ids import AttemptId, CustomerId, DeliveryId, JobId, RegionName, target_domain
from orchestrator.domain.jobs.job import Job, JobSpec, Webhook
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.pace.overruling import Overruling, Pause
from orchestrator.domain.webhooks.fanout import DeliveryAttempt, DeliveryState
from orchestrator.ports.store import Ending, OutboxEntry

CUSTOMERS = tuple(CustomerId(f"cust_{number:02d}") for number in range(10))
REGION = RegionName("iad")
BATCH = 500
SPREAD_OVER_MS = 24 * 3_600_000
"""Jobs were accepted evenly over so long: nothing of them is past its keeping yet."""
TOOK_MS = 180
RECEIVERS = 200
WITH_WEBHOOK = 10
"""One job of so many has a receiver."""
FAILED = 50
CANCELLED = 200
DEAD = 1_000
ORIGINALS = 10_000
_ID = "'job_' || (substr({0}, 5, 13) - :earlier) || substr({0}, 18)"
_ORIGINALS = "SELECT id FROM jobs WHERE rowid <= :originals"
_JOB_ID, _OF_JOB = _ID.format("id"), _ID.format("job_id")
_COPIED = (
    (
        "deliveries",
        f"{_OF_JOB}, position, id || :copy, customer, state, attempts, first_ms, next_ms, log, endpoint",
        f"WHERE job_id IN ({_ORIGINALS})",
    ),
    (
        "failures",
        f"{_OF_JOB}, customer, code, accepted_ms - :earlier",
        f"WHERE job_id IN ({_ORIGINALS})",
    ),
    (
        "jobs",
        f"""{_JOB_ID}, customer, domain, state, order_key - :earlier, not_before_ms - :earlier,
            accepted_ms - :earlier, deadline_ms - :earlier, ended_ms - :earlier, idem_key || :copy,
            idem_holds, fingerprint, request, run, result, quorum, queued_as,
            result_bytes, run_bytes, run_second""",
        "WHERE rowid <= :originals",
    ),
)
_RESULT = json.dumps({"status": "success", "response": {"status_code": 200, "body": "x" * 200}}).encode()
_FAILURE = json.dumps(
    {"status": "failed", "error": {"code": "status", "message": "it answered 500"}}
).encode()


async def fill(data_dir: Path, jobs: int, domains: int) -> float:
    """Fill a directory with jobs that ended, whole thousands of them, and ``domains`` targets with one that
    waits; give the seconds it took.
    """
    began, now_ms = time.monotonic(), int(time.time() * 1000)
    store, originals = SqliteStore(data_dir), min(jobs, ORIGINALS)
    try:
        await store.jobs.begin_epoch()
        span_ms = SPREAD_OVER_MS * originals // jobs
        for batch in _batches(range(originals)):
            made = [
                _ended(number, now_ms - span_ms + number * span_ms // originals, domains) for number in batch
            ]
            await _fill_ended(store, made, now_ms)
        for copy in range(1, jobs // originals):
            await store.database.written(partial(_copy, number=copy, earlier_ms=copy * span_ms))
        for batch in _batches(range(domains)):
            await _fill_waiting(store, [_waiting(number, now_ms) for number in batch], now_ms)
        for customer in CUSTOMERS:
            store.jobs.note_usage(customer, DayUsage(day=day_of(now_ms), accepted=jobs // len(CUSTOMERS)))
    finally:
        await store.close()
    return time.monotonic() - began


def _batches(numbers: range) -> Iterator[Sequence[int]]:
    every = iter(numbers)
    while batch := list(itertools.islice(every, BATCH)):
        yield batch


async def _fill_ended(store: SqliteStore, jobs: Sequence[tuple[int, Job]], now_ms: int) -> None:
    await store.jobs.submit_many([job for _, job in jobs])
    await asyncio.gather(*(store.jobs.end(_ending(number, job, now_ms)) for number, job in jobs))


async def _fill_waiting(store: SqliteStore, jobs: Sequence[Job], now_ms: int) -> None:
    await store.jobs.submit_many(jobs)
    paused = Overruling(pause=Pause(at_ms=now_ms, by="bench"))
    await asyncio.gather(*(_pause(store, job, paused, now_ms) for job in jobs))


async def _pause(store: SqliteStore, job: Job, paused: Overruling, now_ms: int) -> None:
    entry = AuditEntry(
        at_ms=now_ms, act=Act.DOMAIN_PAUSED, subject=job.domain, who="bench", origin="the benchmark"
    )
    store.jobs.note_domain(job.customer, job.domain)
    await store.jobs.save_overruling(job.domain, paused, entry)


def _copy(db: sqlite3.Connection, number: int, earlier_ms: int) -> None:
    """Copy what was filled one by one, as of an earlier time."""
    for table, columns, place in _COPIED:
        sql = f"INSERT INTO {table} SELECT {columns} FROM {table} {place}"  # names of our own
        db.execute(sql, {"copy": f"/{number}", "earlier": earlier_ms, "originals": ORIGINALS})


def _ended(number: int, accepted_ms: int, domains: int) -> tuple[int, Job]:
    receiver = f"https://hooks-{number // WITH_WEBHOOK % RECEIVERS}.example/"
    webhooks = () if number % WITH_WEBHOOK else (Webhook(url=receiver),)
    return number, _job(
        number, f"https://api-{number % domains:05d}.example/v1/charge", accepted_ms, webhooks
    )


def _waiting(number: int, now_ms: int) -> Job:
    return _job(number, f"https://api-{number:05d}.example/v1/charge", now_ms, (), kind=9)


def _job(number: int, url: str, accepted_ms: int, webhooks: tuple[Webhook, ...], *, kind: int = 1) -> Job:
    return Job(
        id=JobId(f"job_{accepted_ms}_{kind}{number:011d}"),
        customer=CUSTOMERS[number // 7 % len(CUSTOMERS)],
        domain=target_domain(url),
        idempotent_key=f"{kind}-{number}",
        accepted_ms=accepted_ms,
        spec=JobSpec(
            url=url,
            method="POST",
            body='{"amount":1000}',
            regions=(REGION,),
            metadata={},
            webhooks=webhooks,
        ),
    )


def _ending(number: int, job: Job, now_ms: int) -> Ending:
    state = _state_of(number)
    run, _ = dispatch(begin(job.spec), 0, AttemptId(f"1.{number:x}"), REGION, job.accepted_ms + 20)
    codes = {JobState.FAILED: FailureCode.STATUS, JobState.CANCELLED: FailureCode.CANCELLED}
    return Ending(
        job_id=job.id,
        customer=job.customer,
        state=state,
        course=Course((run,)),
        result=_RESULT if state is JobState.SUCCESS else _FAILURE,
        ended_ms=job.accepted_ms + TOOK_MS,
        outbox=tuple(_delivery(number, job, now_ms) for _ in job.spec.webhooks),
        key_freed=False,
        code=codes.get(state),
    )


def _state_of(number: int) -> JobState:
    if number % CANCELLED == 1:
        return JobState.CANCELLED
    return JobState.FAILED if number % FAILED == 1 else JobState.SUCCESS


def _delivery(number: int, job: Job, now_ms: int) -> OutboxEntry:
    """Give a delivery that was made; of a few, one that was given up, and of others one for tomorrow."""
    state = {0: DeliveryState.FAILED, WITH_WEBHOOK: DeliveryState.PENDING}.get(
        number % DEAD, DeliveryState.DELIVERED
    )
    at_ms, answered = job.accepted_ms + TOOK_MS, state is DeliveryState.DELIVERED
    attempt = DeliveryAttempt(at_ms, 200 if answered else 503, took_ms=12, message="")
    return OutboxEntry(
        id=DeliveryId(f"msg_{job.id}_0"),
        job_id=job.id,
        customer=job.customer,
        index=0,
        endpoint=target_domain(job.spec.webhooks[0].url),
        state=state,
        attempts=1,
        first_ms=at_ms,
        next_ms=now_ms + SPREAD_OVER_MS if state is DeliveryState.PENDING else at_ms,
        log=(attempt,),
    )
