"""Large requests are taken in as there is room for them: fair between customers."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx

from orchestrator.adapters.http import incoming
from orchestrator.adapters.http.incoming import COPIES, INCOMING_BYTES
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from tests.unit.http.gateway import BETAS_KEY, JOBS, TARGET, Gateway, running_gateway
from tests.unit.http.test_jobs import PATIENCE_S

MIB = 1024 * 1024


def batch(size: int, *, mark: str = "a") -> bytes:
    jobs = [{"url": f"{TARGET}&of={mark}{number}", "body": "x" * 60_000} for number in range(size // 60_200)]
    return json.dumps({"jobs": jobs}).encode()


class Held:
    """A request's body that stops half-way until it may go on."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun.set()
        await self.may_end.wait()
        yield self._content

    def headers(self) -> dict[str, str]:
        return {"content-length": str(len(self._content))}


async def test_a_batch_waits_while_its_customer_has_one_under_way_and_others_do_not() -> None:
    async for gateway in running_gateway(bounds=SubmissionBounds()):
        first, second = Held(batch(15 * MIB)), Held(batch(15 * MIB, mark="b"))
        beta = {"authorization": f"Bearer {BETAS_KEY}"}
        path = f"{JOBS}:batch"
        post = gateway.client.post

        one = asyncio.ensure_future(post(path, content=first, headers=first.headers()))
        await first.begun.wait()
        two = asyncio.ensure_future(post(path, content=second, headers=second.headers()))
        async with asyncio.timeout(PATIENCE_S):
            others = await post(path, content=batch(MIB), headers=beta)
        assert others.status_code == httpx.codes.OK
        assert not second.begun.is_set()
        assert 0 < gateway.backend.incoming.used <= INCOMING_BYTES

        first.may_end.set()
        second.may_end.set()
        async with asyncio.timeout(PATIENCE_S):
            assert [(await task).status_code for task in (one, two)] == [httpx.codes.OK] * 2
        assert gateway.backend.incoming.used == 0


async def test_small_requests_need_no_room(gateway: Gateway) -> None:
    gateway.backend.incoming._room.budget.take("cust_acme", INCOMING_BYTES)

    assert (await gateway.submit(body="x" * 10_000)).status_code == httpx.codes.ACCEPTED


async def test_who_waits_too_long_or_too_often_is_told_so(gateway: Gateway) -> None:
    large = Held(b"x" * 100_000)
    incoming_room = gateway.backend.incoming._room
    incoming_room.budget.take("cust_acme", INCOMING_BYTES // 2)
    incoming_room.budget.take("cust_acme", 100_000 * COPIES)
    waiting = [
        asyncio.ensure_future(incoming_room.take("cust_acme", 1)) for _ in range(incoming.WAITING_MOST)
    ]
    await asyncio.sleep(0)

    answer = await gateway.client.post(f"{JOBS}:batch", content=large, headers=large.headers())

    assert answer.status_code == httpx.codes.TOO_MANY_REQUESTS
    assert answer.headers["retry-after"] == str(incoming.COME_BACK_AFTER_S)
    for task in waiting:
        task.cancel()
