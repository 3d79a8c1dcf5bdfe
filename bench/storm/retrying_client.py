"""A client that retries by itself, with tenacity: ``python -m bench.storm.retrying_client``.

It waits as tenacity's documentation shows for many clients at one resource: exponential backoff with full
jitter, up to a minute. It never gives up. With the argument ``Retry-After`` it also waits as long as that
header says, and the jitter comes on top.
"""

import asyncio
import sys
from collections.abc import Callable

import aiohttp
from tenacity import RetryCallState, retry, retry_if_exception_type, wait_random_exponential
from tenacity.wait import wait_base

from bench.storm.orders import Order, run_client, when_due

BACKOFF = wait_random_exponential(multiplier=1, max=60)
FIRST_ERROR = 400
RETRY_AFTER = "Retry-After"


class RefusedError(Exception):
    """An answer that is no success, and how long to wait as it says (s)."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class RetryAfterWait(wait_base):
    """Waits what ``Retry-After`` says, and the backoff with its jitter."""

    def __call__(self, retry_state: RetryCallState) -> float:
        """Give the wait, in seconds."""
        refusal = retry_state.outcome.exception() if retry_state.outcome else None
        named_s = refusal.retry_after_s if isinstance(refusal, RefusedError) else 0.0
        return named_s + BACKOFF(retry_state)


async def work(order: Order, begin: Callable[[], float]) -> None:
    """Begin each job when it comes; return when all have succeeded."""
    refused = retry_if_exception_type((RefusedError, aiohttp.ClientError))
    wait = RetryAfterWait() if RETRY_AFTER in sys.argv else BACKOFF
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as jobs:
        call = retry(wait=wait, retry=refused)(_call)
        async for numbers in when_due(order, begin()):
            for number in numbers:
                jobs.create_task(call(session, order.url(number)))


async def _call(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as response:
        await response.read()
        if response.status >= FIRST_ERROR:
            raise RefusedError(float(response.headers.get(RETRY_AFTER, "0")))


if __name__ == "__main__":
    run_client(work)
