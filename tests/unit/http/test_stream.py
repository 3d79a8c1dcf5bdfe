"""Server-Sent Events over real connections."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
import uvicorn

from orchestrator.adapters.http import event_stream
from orchestrator.adapters.http.app import make_app
from orchestrator.adapters.http.fast_lane import FastLane
from orchestrator.domain.access.audit import Act
from tests.conformance.stores import an_entry
from tests.unit.http.gateway import BETAS_KEY, BOUNDS, JOBS, KEY, TARGET, Gateway, running_gateway
from tests.unit.http.test_jobs import finished, submitted, turns

PATIENCE_S = 20.0


@dataclass
class Heard:
    """One event."""

    name: str
    data: dict[str, Any]
    id: str | None


class Stream:
    """An open stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.comments = 0

    async def next(self) -> Heard | None:
        """Read the next event; None at the end."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_S):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if not line and "event" in fields:
                    return Heard(fields["event"], json.loads(fields["data"]), fields.get("id"))
                self.comments += line.startswith(":")
                fields[name] = value
        return None

    async def rest(self) -> list[Heard]:
        """Read to the end."""
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


@pytest.fixture
async def address(gateway: Gateway) -> AsyncIterator[str]:
    async with served(gateway) as address:
        yield address


@contextlib.asynccontextmanager
async def served(gateway: Gateway) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    app = FastLane(make_app(gateway.backend), gateway.backend)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
    serving = asyncio.ensure_future(server.serve([listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving


@contextlib.asynccontextmanager
async def opened(address: str, job_id: str, **headers: str) -> AsyncIterator[Stream]:
    async with (
        httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as client,
        client.stream("GET", f"{address}{JOBS}/{job_id}/stream", headers=headers) as response,
    ):
        yield Stream(response)


async def test_a_jobs_life_is_told_as_it_happens(gateway: Gateway, address: str) -> None:
    job_id = await submitted(gateway)
    async with opened(address, job_id) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        queued, position = await stream.next(), await stream.next()
        assert queued is not None
        assert (queued.name, queued.data["job_id"], queued.data["state"]) == ("queued", job_id, "queued")
        assert position is not None
        assert (position.name, position.data["position"], position.id) == ("position", 1, None)
        gateway.regions_up()
        dispatching = await stream.next()
        assert dispatching is not None
        assert (dispatching.name, dispatching.data["region"]) == ("dispatching", "iad")
        gateway.answer_attempts()
        attempt, completed = await stream.rest()
    assert (attempt.name, attempt.data["status_code"]) == ("attempt", 200)
    assert (completed.name, completed.data["state"]) == ("completed", "success")
    assert completed.data["result"]["response"]["body"] == "done"


async def test_who_comes_late_gets_what_was_missed(gateway: Gateway, address: str) -> None:
    gateway.regions_up()
    job_id = await submitted(gateway)
    gateway.answer_attempts(404)
    await turns()
    async with opened(address, job_id) as stream:
        events = await stream.rest()
    assert [event.name for event in events] == ["queued", "dispatching", "attempt", "failed"]
    assert events[-1].data["result"]["error"]["code"] == "status"


async def test_a_stream_goes_on_after_the_last_event_that_was_heard(gateway: Gateway, address: str) -> None:
    gateway.regions_up()
    job_id = await submitted(gateway)
    async with opened(address, job_id) as stream:
        heard = [await stream.next() for _ in range(2)]
    gateway.answer_attempts()
    await turns()
    last = heard[-1]
    assert last is not None
    assert last.id is not None
    async with opened(address, job_id, **{"last-event-id": last.id}) as stream:
        events = await stream.rest()
    assert [event.name for event in events] == ["attempt", "completed"]
    async with opened(address, job_id, **{"last-event-id": events[-1].id or ""}) as stream:
        assert stream.response.status_code == 204


async def test_a_dropped_stream_changes_nothing(gateway: Gateway, address: str) -> None:
    job_id = await submitted(gateway)
    async with opened(address, job_id) as stream:
        await stream.next()
        assert len(gateway.shard.jobs.board) == 1
    async with asyncio.timeout(PATIENCE_S):
        while len(gateway.shard.jobs.board):  # noqa: ASYNC110  # the server's own task lets go of it
            await asyncio.sleep(0.01)
    gateway.regions_up()
    gateway.answer_attempts()
    await turns()
    shown = (await gateway.client.get(f"{JOBS}/{job_id}")).json()
    assert shown["state"] == "success"


async def test_a_cancelled_job_ends_its_streams(gateway: Gateway, address: str) -> None:
    job_id = await submitted(gateway)
    async with opened(address, job_id) as stream:
        await stream.next()
        await gateway.client.delete(f"{JOBS}/{job_id}")
        events = await stream.rest()
    assert (events[-1].name, events[-1].data["state"]) == ("failed", "cancelled")


async def test_a_silent_stream_is_kept_alive(
    gateway: Gateway, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.01)
    monkeypatch.setattr(event_stream, "POSITION_EVERY_S", 0.01)
    job_id = await submitted(gateway)
    async with opened(address, job_id) as stream:
        reading = asyncio.ensure_future(stream.rest())
        async with asyncio.timeout(PATIENCE_S):
            while stream.comments < 3:  # noqa: ASYNC110  # comments are no events
                await asyncio.sleep(0.01)
        await gateway.client.delete(f"{JOBS}/{job_id}")
        assert (await reading)[-1].name == "failed"


async def test_a_service_that_stops_lets_go_of_its_streams(
    gateway: Gateway, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "POSITION_EVERY_S", 0.01)
    async with opened(address, await submitted(gateway)) as stream:
        await stream.next()
        await gateway.shard.drain(0.0)
        assert {event.name for event in await stream.rest()} <= {"position"}


@pytest.mark.parametrize("waits", [True, False], ids=["in a queue", "for its target"])
async def test_a_stream_ends_with_its_key(
    gateway: Gateway, address: str, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    monkeypatch.setattr(event_stream, "POSITION_EVERY_S", 0.01)
    monkeypatch.setattr(event_stream, "LOOKED_AT_EVERY_S", 0.01)
    if not waits:
        gateway.regions_up()
    async with opened(address, await submitted(gateway)) as stream:
        await stream.next()
        await gateway.store.customers.revoke_key("key of cust_acme", an_entry(Act.KEY_REVOKED))
        gateway.clock.ahead_s += 2.1
        assert {event.name for event in await stream.rest()} <= {"position", "dispatching"}


@pytest.mark.parametrize(("key", "status"), [(BETAS_KEY, 404), ("ck_live_no_key", 401)])
async def test_a_stream_is_for_the_jobs_owner(gateway: Gateway, key: str, status: int) -> None:
    job_id = await submitted(gateway)
    headers = {"authorization": f"Bearer {key}"}
    response = await gateway.client.get(f"{JOBS}/{job_id}/stream", headers=headers)
    assert response.status_code == status


async def test_a_stream_does_not_fit_into_an_envelope(gateway: Gateway) -> None:
    envelope = {"target_url": f"https://any.example{JOBS}/{await submitted(gateway)}/stream", "method": "GET"}
    response = await gateway.client.post("/api/v1/proxy", content=json.dumps(envelope))
    assert response.status_code == 422


async def test_a_customer_may_have_only_so_many_streams_open() -> None:
    async for gateway in running_gateway(bounds=replace(BOUNDS, streams=2)):
        job_id = await submitted(gateway)
        async with served(gateway) as address, opened(address, job_id) as stays:
            async with opened(address, job_id), opened(address, job_id) as third:
                problem = json.loads(await third.response.aread())
                assert third.response.status_code == 429
                assert third.response.headers["content-type"] == "application/problem+json"
                assert int(third.response.headers["retry-after"]) > 0
                assert problem["error"].startswith("2 streams are open")
            assert await can_stream(address, job_id)
            await gateway.client.delete(f"{JOBS}/{job_id}")
            assert (await stays.rest())[-1].name == "failed"


async def test_the_streams_of_one_customer_leave_the_others_theirs() -> None:
    async for gateway in running_gateway(bounds=replace(BOUNDS, streams=1)):
        beta = {"authorization": f"Bearer {BETAS_KEY}"}
        mine = await submitted(gateway)
        others = (await gateway.post(json.dumps({"url": TARGET}), **beta)).json()["job_id"]
        async with (
            served(gateway) as address,
            opened(address, mine),
            opened(address, others, **beta) as other,
        ):
            assert other.response.status_code == 200


async def can_stream(address: str, job_id: str) -> bool:
    """Say whether a place comes free: the server hears of a closed connection when it hears of it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with opened(address, job_id) as stream:
                if stream.response.status_code == 200:
                    return True


async def test_a_late_joiner_is_told_how_the_job_began(gateway: Gateway) -> None:
    job_id = await finished(gateway)
    text = (await gateway.client.get(f"{JOBS}/{job_id}/stream")).text
    assert '"state":"queued"' in next(line for line in text.splitlines() if line.startswith("data:"))
    assert '"state":"success"' in text
