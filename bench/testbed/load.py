"""Jobs through the SDK, and what became of each of them."""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from bench.testbed.bed import Testbed
from bench.testbed.service import OutsideTarget, Service
from ezthrottle import AsyncEZThrottle, Step
from ezthrottle.exceptions import EZThrottleError

ENDS_WITHIN_S = 60.0


class Outcome(msgspec.Struct, frozen=True):
    """A job that was acknowledged at ``at`` (Unix s), and how long after that it was seen to have ended."""

    job: str
    at: float
    state: str
    took_s: float
    region: str | None


class Load:
    """Submits jobs for a region, or several, at an even pace, from the machine outside, until told to stop.

    Args:
        bed: The machines.
        service: Where to.
        target: What the jobs ask.
        region: Which region they name, or which ones.
        policy: Whether they may go elsewhere.
        after_s: When the target answers.
    """

    def __init__(
        self,
        bed: Testbed,
        service: Service,
        target: OutsideTarget,
        region: str | Sequence[str],
        *,
        policy: Literal["fallback", "strict"] = "fallback",
        after_s: float = 0.4,
        per_s: float = 4.0,
    ) -> None:
        self._bed = bed
        self._service = service
        self._url = f"{target.url}/load?after={after_s}"
        self._regions = [region] if isinstance(region, str) else [*region]
        self._policy = policy
        self._pause_s = 1 / per_s
        self._stopping = threading.Event()
        self.acknowledged: dict[str, float] = {}
        self.refused = 0
        self._thread = threading.Thread(target=self._submit_in_thread, name="load")
        self._thread.start()

    def finish(self, within_s: float = ENDS_WITHIN_S) -> list[Outcome]:
        """Stop submitting, and wait until every job has ended; those that have not by then are ``open``."""
        self.stop()
        with self._bed["net"].network():
            return asyncio.run(self._outcomes(within_s))

    def stop(self) -> None:
        """Submit no more."""
        self._stopping.set()
        self._thread.join()

    def _submit_in_thread(self) -> None:
        with self._bed["net"].network():
            asyncio.run(self._submit_for_ever())

    async def _submit_for_ever(self) -> None:
        async with self._client() as client, asyncio.TaskGroup() as under_way:
            while not self._stopping.is_set():
                await asyncio.sleep(self._pause_s)
                under_way.create_task(self._submit(client))

    async def _submit(self, client: AsyncEZThrottle) -> None:
        step = Step(client).url(self._url).idempotent_key(f"{self._regions}-{time.time_ns()}")
        step = step.regions(self._regions).region_policy(self._policy)
        try:
            answer = await step.execute_async()
        except EZThrottleError:
            self.refused += 1
        else:
            self.acknowledged[str(answer["job_id"])] = time.time()

    def _client(self) -> AsyncEZThrottle:
        return AsyncEZThrottle(api_key=self._service.api_key, base_url=self._service.base_url)

    async def _outcomes(self, within_s: float) -> list[Outcome]:
        deadline = time.monotonic() + within_s
        async with self._client() as client:
            return [await self._outcome(client, job, at, deadline) for job, at in self.acknowledged.items()]

    async def _outcome(self, client: AsyncEZThrottle, job: str, at: float, deadline: float) -> Outcome:
        try:
            seen = await client.wait(job, timeout=max(0.1, deadline - time.monotonic()))
        except EZThrottleError:
            return Outcome(job, at, "open", time.time() - at, None)
        return Outcome(job, at, seen["state"], seen["ended_at"] / 1000 - at, seen["result"]["region"])


@contextlib.contextmanager
def loaded(
    bed: Testbed, service: Service, target: OutsideTarget, region: str | Sequence[str], **options: Any
) -> Iterator[Load]:
    """Submit jobs for a region until the block ends; ``options`` are those of ``Load``."""
    load = Load(bed, service, target, region, **options)
    try:
        yield load
    finally:
        load.stop()


def executed_twice(target: OutsideTarget, jobs: list[Outcome]) -> list[str]:
    """Name the jobs that the target answered more than once."""
    answered = Counter(event.job for event in target.events("answered"))
    return [outcome.job for outcome in jobs if answered[outcome.job] > 1]


def strangers(target: OutsideTarget, addresses: dict[str, str]) -> list[tuple[str, str]]:
    """List the (region, source) of requests that did not leave from their region's own address."""
    seen = {(event.region, event.source) for event in target.events("request")}
    return [(region, source) for region, source in sorted(seen) if addresses.get(region) != source]
