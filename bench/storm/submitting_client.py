"""A client that hands its jobs to the service with our SDK, and takes the results as signed webhooks:
``python -m bench.storm.submitting_client``.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from bench.storm.orders import Order, run_client, when_due
from ezthrottle import AsyncEZThrottle
from ezthrottle.webhook import WebhookServer

SECRET = "a secret of thirty-two characters"


class Results:
    """The ends of jobs, by their webhooks, which may come more than once."""

    def __init__(self, jobs: int) -> None:
        self.all_in = asyncio.Event()
        self._jobs = jobs
        self._ended: set[str] = set()
        self._loop = asyncio.get_running_loop()

    def take(self, job_id: str, _delivery: dict[str, Any]) -> None:
        """Take a delivery, in a thread of the webhook server's."""
        self._loop.call_soon_threadsafe(self._note, job_id)

    def _note(self, job_id: str) -> None:
        self._ended.add(job_id)
        if len(self._ended) == self._jobs:
            self.all_in.set()


async def work(order: Order, begin: Callable[[], float]) -> None:
    """Submit what has come in one call, again and again; return when every result is in."""
    results = Results(len(order.due))
    with WebhookServer(results.take, port=0, secret=SECRET) as receiver:
        hooks = [{"url": receiver.get_url().replace("localhost", "127.0.0.1")}]
        async with AsyncEZThrottle() as client:
            async for numbers in when_due(order, begin()):
                jobs = [{"url": order.url(number), "webhooks": hooks} for number in numbers]
                await client.submit_many(jobs)
            await results.all_in.wait()


if __name__ == "__main__":
    run_client(work)
