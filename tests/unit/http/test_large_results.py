"""A large result: one copy for all who read it, and never the whole of it for one of them."""

import asyncio
import json
import tracemalloc

import pytest

from orchestrator.adapters.http import large_answers
from orchestrator.adapters.http.large_answers import PIECE_BYTES
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.ids import CustomerId, JobId
from tests.unit.http.gateway import JOBS, Gateway, turns
from tests.unit.http.test_jobs import PATIENCE_S, submitted

BODY = b"0123456789abcdef" * 65_536


class CountedReads:
    """Counts how often a store's results are read."""

    def __init__(self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._read = gateway.store.history.result
        monkeypatch.setattr(gateway.store.history, "result", self.read)

    async def read(self, job_id: JobId, reader: CustomerId) -> bytes | None:
        self.count += 1
        await asyncio.sleep(0)
        return await self._read(job_id, reader)


async def large_job(gateway: Gateway, body: bytes = BODY) -> str:
    gateway.regions_up()
    job_id = await submitted(gateway)
    assert gateway.answer_attempts(body=body) > 0
    async with asyncio.timeout(PATIENCE_S):
        ended = await gateway.client.get(f"{JOBS}/{job_id}", params={"wait": "60"})
        assert ended.json()["ended_at"] is not None
    return job_id


class Reader:
    """An HTTP client below HTTP: takes pieces only when it may."""

    def __init__(self, gateway: Gateway, path: str, key: str, query: bytes = b"") -> None:
        self.sizes: list[int] = []
        self.may_read = asyncio.Event()
        self.begun = asyncio.Event()
        transport = gateway.client._transport
        app = transport.app  # type: ignore[attr-defined]  # httpx names it so
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": [(b"authorization", f"Bearer {key}".encode())],
            "http_version": "1.1",
            "scheme": "http",
            "server": ("service", 80),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    async def _send(self, message: dict[str, object]) -> None:
        body = message.get("body", b"")
        assert isinstance(body, bytes)
        if message["type"] == "http.response.body":
            self.sizes.append(len(body))
            self.begun.set()
            await self.may_read.wait()


def key_of(gateway: Gateway) -> str:
    return str(gateway.client.headers["authorization"]).removeprefix("Bearer ")


async def test_a_large_result_is_shown_as_a_small_one_is(gateway: Gateway) -> None:
    job_id = await large_job(gateway)

    answer = await gateway.client.get(f"{JOBS}/{job_id}")

    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.json()["result"]["response"]["body"] == BODY.decode()
    assert list(answer.json())[-2:] == ["result", "timeline"]


async def test_a_result_with_letters_of_every_kind_comes_whole(gateway: Gateway) -> None:
    text = 'Zoë 🎉 "quoted" \\ \x7f' * 10_000
    job_id = await large_job(gateway, text.encode())

    assert (await gateway.client.get(f"{JOBS}/{job_id}")).json()["result"]["response"]["body"] == text


async def test_readers_of_one_result_share_a_copy_and_get_it_piece_by_piece(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await large_job(gateway)
    reads = CountedReads(gateway, monkeypatch)
    readers = [Reader(gateway, f"{JOBS}/{job_id}", key_of(gateway)) for _ in range(50)]
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(reader.begun.wait() for reader in readers))
        for reader in readers:
            reader.may_read.set()
        await asyncio.gather(*(reader.task for reader in readers))

    assert reads.count == 1
    assert max(size for reader in readers for size in reader.sizes) <= PIECE_BYTES
    assert all(sum(reader.sizes) > len(BODY) for reader in readers)
    assert gateway.backend.results.bytes_held == 0


async def test_who_takes_no_piece_is_left_and_keeps_nothing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_answers, "PIECE_WITHIN_S", 0.01)
    job_id = await large_job(gateway)
    reader = Reader(gateway, f"{JOBS}/{job_id}", key_of(gateway))

    async with asyncio.timeout(PATIENCE_S):
        await reader.task

    assert len(reader.sizes) == 1
    assert gateway.backend.results.bytes_held == 0


async def test_who_reads_many_results_slowly_leaves_room_to_others(gateway: Gateway) -> None:
    most = large_answers.SHOWN_BYTES
    results = gateway.backend.results
    for _ in range(1_000):
        if not results._shown.budget.fits("cust_greedy", 5_000_000):
            break
        results._shown.budget.take("cust_greedy", 5_000_000)
    job_id = await large_job(gateway)

    async with asyncio.timeout(PATIENCE_S):
        answer = await gateway.client.get(f"{JOBS}/{job_id}")

    assert results._shown.budget.held_by("cust_greedy") <= most / 2
    assert answer.json()["result"]["response"]["body"] == BODY.decode()


async def test_a_stream_ends_with_a_large_result(gateway: Gateway) -> None:
    job_id = await large_job(gateway)

    heard = (await gateway.client.get(f"{JOBS}/{job_id}/stream")).text.split("\n\n")

    last = next(event for event in heard if event.startswith("event: completed"))
    document = json.loads(last.split("\n")[1].removeprefix("data: "))
    assert document["result"]["response"]["body"] == BODY.decode()
    assert last.endswith("\nid: end")
    assert gateway.backend.results.bytes_held == 0


async def test_an_envelope_brings_a_large_result(gateway: Gateway) -> None:
    job_id = await large_job(gateway, b"z" * (2 * LARGE_BYTES))
    envelope = {
        "scope": "customer",
        "metric_name": "",
        "target_url": f"http://service{JOBS}/{job_id}",
        "method": "GET",
        "headers": {},
        "body": "",
    }

    answer = await gateway.client.post("/api/v1/proxy", json=envelope)

    inner = json.loads(answer.json()["forwarded_response"]["body"])
    assert inner["result"]["response"]["body"] == "z" * (2 * LARGE_BYTES)


async def test_a_page_of_a_list_is_sent_in_pieces_and_counted_while_it_is(gateway: Gateway) -> None:
    for number in range(200):
        await submitted(gateway, idempotent_key=f"{'k' * 480}{number}")
    reader = Reader(gateway, JOBS, key_of(gateway), query=b"limit=200")
    async with asyncio.timeout(PATIENCE_S):
        await reader.begun.wait()
        assert gateway.backend.results.bytes_held == large_answers.PAGE_BYTES
        reader.may_read.set()
        await reader.task

    assert max(reader.sizes) <= PIECE_BYTES
    assert sum(reader.sizes) > PIECE_BYTES
    assert gateway.backend.results.bytes_held == 0


async def test_a_page_that_can_not_be_made_is_a_problem_and_holds_nothing(gateway: Gateway) -> None:
    answer = await gateway.client.get(JOBS, params={"limit": "many"})

    assert answer.status_code == 422
    assert gateway.backend.results.bytes_held == 0


async def test_a_reader_holds_no_more_of_a_result_than_a_piece(gateway: Gateway) -> None:
    job_id = await large_job(gateway, BODY * 5)
    count = 30
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        readers = [Reader(gateway, f"{JOBS}/{job_id}", key_of(gateway)) for _ in range(count)]
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(reader.begun.wait() for reader in readers))
            for reader in readers:
                reader.may_read.set()
                reader.may_read = asyncio.Event()
            await turns()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for reader in readers:
        reader.may_read.set()
    await asyncio.gather(*(reader.task for reader in readers))

    assert after - before < count * 4 * PIECE_BYTES + len(BODY)
