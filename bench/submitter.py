"""A load generator's client side: jobs over kept connections, begun when they are due."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import httpx

from bench.raw_http import RawClient, post
from bench.service import Service

T = TypeVar("T")


class Submitter:
    """Submits jobs to a service, over its connections in turn."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._headers = f"Authorization: Bearer {service.api_key}\r\n"
        self._clients: list[RawClient] = []
        self._turn = 0

    async def open(self, connections: int) -> None:
        """Connect. With one connection a job in flight no submission queues behind another, as in a client
        that does not pipeline.
        """
        for _ in range(connections):
            self._clients.append(await self._connected())

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

    async def submit(self, job: Mapping[str, Any]) -> str:
        """Submit a job; give its id.

        Raises:
            RuntimeError: It was not accepted as a new one.
        """
        self._turn = turn = (self._turn + 1) % len(self._clients)
        client = self._clients[turn]
        if client.closed:
            client = self._clients[turn] = await self._connected()
        head, body = await client.request(post("/api/v1/jobs", json.dumps(job).encode(), self._headers))
        if b" 202 " not in head[:20]:
            raise RuntimeError(body.decode())
        job_id: str = json.loads(body)["job_id"]
        return job_id

    async def _connected(self) -> RawClient:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(RawClient, "127.0.0.1", self._service.port)
        return client


async def at_a_rate(
    count: int, per_s: float, begin: Callable[[int], Coroutine[Any, Any, T]]
) -> tuple[list[T], list[float]]:
    """Begin so many, so many a second, whatever becomes of them meanwhile. Give what became of them, and by
    how many ms each was begun late.
    """
    began, tasks, late_ms = time.perf_counter(), [], []
    for number in range(count):
        due = began + number / per_s
        await asyncio.sleep(due - time.perf_counter())
        late_ms.append((time.perf_counter() - due) * 1000)
        tasks.append(asyncio.create_task(begin(number)))
    return await asyncio.gather(*tasks), late_ms


def sign_webhooks(service: Service, secret: str) -> None:
    """Have the service sign the customer's webhooks."""
    answer = httpx.post(
        f"{service.base_url}/api/v1/webhook-secrets",
        json={"primary_secret": secret},
        headers=service.headers(),
    )
    answer.raise_for_status()
