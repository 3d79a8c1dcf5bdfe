"""Bodies that are no submission at all, through the whole application."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from orchestrator.adapters.http import bodies
from tests.unit.http.gateway import BOUNDS, JOBS, KEY, TARGET, Gateway


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"not json",
        b"{} trailing",
        b'{"url": NaN}',
        b'{"metadata": {"a": Infinity}}',
        b'{"cost": 1e400}',
        b'{"url": "\\ud800"}',
        b'{"url": "a", "url": "b"}',
        b'{"metadata": ' + b"[" * 50_000,
        b'{"metadata": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"retry_at": ' + b"9" * 5_000 + b"}",
        b"\xff\xfe",
    ],
)
async def test_what_is_no_strict_json_object_is_400(gateway: Gateway, body: bytes) -> None:
    response = await gateway.post(body)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["type"], problem["status"]) == ("/problems/malformed-json", 400)
    assert problem["error"] == problem["detail"]


async def test_a_body_is_judged_by_its_bytes_and_not_by_its_content_type(gateway: Gateway) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "nonsense"):
        response = await gateway.post(json.dumps({"url": TARGET}), **{"content-type": content_type})
        assert response.status_code in {200, 202}


def of_size(size: int) -> bytes:
    head, tail = b'{"url": "' + TARGET.encode() + b'", "body": "', b'"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


async def test_a_body_at_the_limit_is_taken(gateway: Gateway) -> None:
    assert (await gateway.post(of_size(BOUNDS.body_bytes))).status_code == 202


async def test_a_body_that_declares_too_much_is_413_before_it_is_read(gateway: Gateway) -> None:
    read: list[bytes] = []

    async def never_ending() -> AsyncIterator[bytes]:
        while True:
            read.append(b" ")
            yield b" "

    declared = {"content-length": str(BOUNDS.body_bytes + 1), "authorization": f"Bearer {KEY}"}
    response = await gateway.client.post(JOBS, content=never_ending(), headers=declared)
    assert response.status_code == 413
    assert read == []


async def test_a_body_that_streams_too_much_is_413_as_soon_as_it_does(gateway: Gateway) -> None:
    sent = 0

    async def never_ending() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1024
            yield b" " * 1024

    response = await gateway.client.post(JOBS, content=never_ending())
    assert response.status_code == 413
    assert sent == BOUNDS.body_bytes + 1024
    assert "65536 bytes" in response.json()["error"]


@pytest.mark.parametrize("declared", ["\u00b2", "1e9", "-1", "", "abc", "9" * 5_000])
async def test_a_declared_length_that_is_none_breaks_nothing(gateway: Gateway, declared: str) -> None:
    headers = [(b"content-length", declared.encode("latin-1")), (b"authorization", f"Bearer {KEY}".encode())]
    request = httpx.Request("POST", f"http://service{JOBS}", content=b"{}", headers=headers)
    assert (await gateway.client.send(request)).status_code in {413, 422}


async def test_a_body_that_does_not_arrive_in_time_is_400(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "ARRIVES_WITHIN_S", 0.01)

    async def stalls() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    response = await gateway.client.post(JOBS, content=stalls())
    assert response.status_code == 400
    assert "did not arrive" in response.json()["error"]
