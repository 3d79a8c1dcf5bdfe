"""Many jobs in one request: each is answered as if it had come alone."""

import asyncio
import json
from collections.abc import Callable
from sys import getsizeof
from typing import Any

import httpx
import pytest

from orchestrator.adapters.http import batches, submission_routes
from orchestrator.adapters.memory.jobs import MemoryJobs
from orchestrator.core.submissions import intake, submission_checks
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Job
from orchestrator.ports.store import Accepted, Duplicate, StoreFailure
from orchestrator.runtime import cooperative_yield
from tests.unit.http.gateway import BOUNDS, JOBS, TARGET, Gateway

BATCH = f"{JOBS}:batch"
GOOD = {"url": TARGET}


async def batch(gateway: Gateway, *jobs: Any) -> list[dict[str, Any]]:
    response = await gateway.client.post(BATCH, content=json.dumps({"jobs": jobs}))
    assert response.status_code == 200, response.text
    answers: list[dict[str, Any]] = response.json()["answers"]
    return answers


async def raw(gateway: Gateway, text: str | bytes) -> httpx.Response:
    return await gateway.client.post(BATCH, content=text)


async def test_every_job_is_taken_and_answered_in_order(gateway: Gateway) -> None:
    answers = await batch(gateway, *({**GOOD, "body": str(n), "idempotent_key": f"k{n}"} for n in range(600)))
    assert [answer["idempotent_key"] for answer in answers] == [f"k{n}" for n in range(600)]
    assert {answer["status"] for answer in answers} == {"queued"}
    stored = await gateway.store.jobs.load(JobId(answers[-1]["job_id"]))
    assert stored is not None
    assert stored.job.spec.body == "599"
    assert len(await gateway.store.jobs.waiting()) == 600


async def test_an_empty_batch_has_no_answers(gateway: Gateway) -> None:
    assert await batch(gateway) == []


async def test_bad_jobs_get_their_problems_and_spoil_no_other(gateway: Gateway) -> None:
    bad: list[Any] = [
        {"url": "ftp://x/"},
        {"url": "http://127.0.0.1/"},
        {"method": "GET"},
        5,
        {"url": TARGET, "body": "x" * BOUNDS.body_bytes},
    ]
    answers = await batch(gateway, GOOD, *bad, {**GOOD, "body": "last"})
    assert [answer["status"] for answer in answers] == ["queued", 422, 403, 422, 400, 413, "queued"]
    for answer in answers[1:-1]:
        assert set(answer) >= {"type", "title", "detail", "error"}
    assert answers[3]["errors"] == [{"field": "url", "message": "is required"}]


@pytest.mark.parametrize(
    "job",
    [
        f'{{"url":"{TARGET}","url":"{TARGET}"}}',
        f'{{"url":"{TARGET}","cost":NaN}}',
        '{"url":"\\ud800"}',
    ],
)
async def test_json_that_is_not_strict_is_refused_job_by_job(gateway: Gateway, job: str) -> None:
    response = await raw(gateway, '{"jobs": [' + job + " , " + json.dumps(GOOD) + "]}")
    assert [answer["status"] for answer in response.json()["answers"]] == [400, "queued"]


async def test_the_same_job_twice_in_a_batch_is_a_duplicate_of_itself(gateway: Gateway) -> None:
    first, second = await batch(gateway, GOOD, GOOD)
    assert (second["status"], second["job_id"]) == ("duplicate", first["job_id"])


async def test_unknown_fields_are_named_in_each_jobs_warnings(gateway: Gateway) -> None:
    _, second = await batch(gateway, GOOD, {**GOOD, "body": "2", "colour": "red"})
    assert second["warnings"] == ["unknown field 'colour' was ignored"]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 422),
        ("[]", 422),
        ("{}", 422),
        ('{"jobs": 5}', 422),
        ('{"jobs": [', 400),
        ('{"jobs": [{]}', 400),
        ('{"jobs": [{} {}]}', 400),
        ('{"jobs": [{},]}', 400),
        ('{"jobs": []} x', 400),
        (b'{"jobs": ["\xff"]}', 400),
        ('{"jobs": [' + "[" * 3_000 + "]}", 400),
        ('{"jobs": [' + ",".join(["{}"] * 1_001) + "]}", 422),
        ('{"jobs": [' + "[]," * 200_001 + "0]}", 400),
        ('{"jobs": ["' + "x" * BOUNDS.batch_bytes + '"]}', 413),
    ],
)
async def test_what_is_no_batch_is_refused_whole(gateway: Gateway, text: str | bytes, status: int) -> None:
    response = await raw(gateway, text)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert await gateway.store.jobs.waiting() == []


async def test_a_batch_can_come_in_an_envelope(gateway: Gateway) -> None:
    envelope = {"target_url": f"https://any.example{BATCH}", "body": json.dumps({"jobs": [GOOD, {}]})}
    response = await gateway.client.post("/api/v1/proxy", content=json.dumps(envelope))
    inner = response.json()["forwarded_response"]
    assert inner["status_code"] == 200
    assert [answer["status"] for answer in json.loads(inner["body"])["answers"]] == ["queued", 422]


async def test_few_commits_carry_a_batch(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    whole = MemoryJobs.submit_many

    async def counted(store: MemoryJobs, jobs: list[Job]) -> list[Accepted | Duplicate]:
        sizes.append(len(jobs))
        return list(await whole(store, jobs))

    monkeypatch.setattr(MemoryJobs, "submit_many", counted)
    await batch(gateway, *({**GOOD, "body": str(number)} for number in range(1_000)))
    assert len(sizes) <= 8


async def test_what_could_not_be_stored_is_answered_so_that_it_is_sent_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(store: MemoryJobs, jobs: list[Job]) -> list[Accepted | Duplicate]:
        raise StoreFailure("disk full")

    monkeypatch.setattr(MemoryJobs, "submit_many", full)
    taken, refused = await batch(gateway, GOOD, {})
    assert (taken["status"], refused["status"]) == (503, 422)
    assert taken["retry_at"] > gateway.clock.unix_ms()


async def test_others_are_served_while_a_batch_is_read(gateway: Gateway) -> None:
    jobs = [{**GOOD, "body": str(number), "metadata": {"n": [number] * 50}} for number in range(1_000)]
    content = json.dumps({"jobs": jobs})
    running = asyncio.ensure_future(gateway.client.post(BATCH, content=content))
    turns = 0
    while not running.done():
        await asyncio.sleep(0)
        turns += 1
    assert (await running).status_code == 200
    assert turns > 10


async def test_characters_that_lie_across_slices_arrive_whole(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SLICE_BYTES", 5)
    text = "aé€😀" * 30
    content = json.dumps({"jobs": [{**GOOD, "body": text}]}, ensure_ascii=False).encode()
    (answer,) = (await raw(gateway, content)).json()["answers"]
    stored = await gateway.store.jobs.load(JobId(answer["job_id"]))
    assert stored is not None
    assert stored.job.spec.body == text


async def test_one_emoji_makes_a_batch_take_no_more_memory_than_its_bytes() -> None:
    data = bytearray(json.dumps({"jobs": [{"body": "a" * 100_000 + "😀"}]}, ensure_ascii=False).encode())
    size = len(data)
    text = await batches.batch_text(data, turn)
    assert getsizeof(text) < size + 1_000
    assert not data


async def turn() -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("bad", [b"\x80" * 20, b"\xe2\x82", b"\xf0\x9f\x98\x80\xff"])
async def test_what_is_not_utf8_is_said_with_its_place(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, bad: bytes
) -> None:
    monkeypatch.setattr(batches, "SLICE_BYTES", 4)
    content = b'{"jobs": ["' + bad + b'"]}'
    with pytest.raises(UnicodeDecodeError) as whole:
        content.decode()
    response = await raw(gateway, content)
    assert response.status_code == 400
    assert response.json()["detail"].endswith(f"at byte {whole.value.start}")


async def test_others_work_between_any_two_jobs_of_a_long_batch(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cooperative_yield, "SLICE_S", 0.0)
    turn, turns = 0, dict[str, list[int]]()

    def noted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            turns.setdefault(name, []).append(turn)
            return work(*arguments, **named)

        return call

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    for module, name in (
        (submission_routes, "read_submission"),
        (submission_checks, "check_submission"),
        (intake, "content_key"),
    ):
        monkeypatch.setattr(module, name, noted(name, getattr(module, name)))
    working = asyncio.create_task(others())
    await batch(gateway, *({**GOOD, "body": str(number)} for number in range(20)))
    working.cancel()
    assert {name: len(set(at)) for name, at in turns.items()} == {
        "read_submission": 20,
        "check_submission": 20,
        "content_key": 20,
    }
