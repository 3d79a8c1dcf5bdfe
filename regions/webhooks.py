"""Sends webhooks, signed by their shard, to many receivers at once, none of which slows another."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.domain.headers.signals import retry_after_s
from orchestrator.domain.ids import DeliveryId, JobId, TargetDomain, target_domain
from orchestrator.messages.types import (
    Deliver,
    Delivered,
    DeliverySigned,
    Headers,
    JobResult,
    Message,
    NeedResult,
)
from orchestrator.ports.clock import Clock, utc
from orchestrator.ports.egress import Egress, EgressError
from orchestrator.ports.lifecycle import AsyncCloseable

TIMEOUT_MS = 15_000
RESULT_WITHIN_S = 50.0
"""A delivery whose result has not come by then is given up here, before its shard sends it anew."""
_HEADERS = (("Content-Type", "application/json"), ("User-Agent", "EZThrottle-Webhook/1"))


@dataclass(slots=True)
class _Endpoint:
    """One receiver's places in flight."""

    slots: asyncio.Semaphore
    users: int = 0


@dataclass(slots=True)
class _Result:
    """A large result, here once for all deliveries of its job that bring it."""

    body: asyncio.Future[bytes]
    users: int = 0


class WebhookSender(AsyncCloseable):
    """Sends deliveries over an egress, and reports each end.

    The shard sends an endpoint no more than its places; ``places`` holds through restarts of the shard too.
    """

    def __init__(
        self, egress: Egress, clock: Clock, report: Callable[[Message], None], *, places: int = 32
    ) -> None:
        self._egress = egress
        self._clock = clock
        self._report = report
        self._places = places
        self._endpoints: dict[TargetDomain, _Endpoint] = {}
        self._under_way: dict[tuple[DeliveryId, int], asyncio.Task[None]] = {}
        self._results: dict[JobId, _Result] = {}
        self._signed: dict[tuple[DeliveryId, int], asyncio.Future[Headers]] = {}
        """What deliveries of large results wait for besides those."""

    def receive(self, message: Message) -> None:
        """Take a delivery, the same attempt of it twice being one, or what some wait for: a large result, and
        their signatures.
        """
        match message:
            case Deliver():
                self._begin(message)
            case JobResult():
                result = self._results.get(message.job)
                if result is not None and not result.body.done():
                    result.body.set_result(message.body)
            case DeliverySigned():
                signed = self._signed.get((message.delivery, message.attempt))
                if signed is not None and not signed.done():
                    signed.set_result(message.headers)
            case _:
                msg = f"a webhook actor does not take {type(message).__name__}"
                raise TypeError(msg)

    def _begin(self, message: Deliver) -> None:
        key = (message.delivery, message.attempt)
        if key not in self._under_way:
            task = asyncio.get_running_loop().create_task(self._deliver(message))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        elif key in self._signed:
            # Another shard by now, perhaps: it has not heard what the one before it was asked for.
            self._ask(message, self._results[message.job])

    async def close(self) -> None:
        """End every delivery, then the client."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        await self._egress.close()

    async def _deliver(self, message: Deliver) -> None:
        name = target_domain(message.url)
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            endpoint = self._endpoints[name] = _Endpoint(asyncio.Semaphore(self._places))
        endpoint.users += 1
        try:
            async with endpoint.slots:
                await self._send_whole(message)
        finally:
            endpoint.users -= 1
            if not endpoint.users:
                self._endpoints.pop(name, None)

    async def _send_whole(self, message: Deliver) -> None:
        if message.body is not None:
            await self._send(message, message.body, message.headers)
            return
        loop = asyncio.get_running_loop()
        result = self._results.get(message.job)
        if result is None:
            result = self._results[message.job] = _Result(loop.create_future())
        key, signed = (message.delivery, message.attempt), loop.create_future()
        self._signed[key] = signed
        result.users += 1
        try:
            self._ask(message, result)
            # Where they never come, the shard counts the delivery as lost, and sends it anew.
            with suppress(TimeoutError):
                async with asyncio.timeout(RESULT_WITHIN_S):
                    await asyncio.wait([result.body, signed])
                del self._signed[key]
                await self._send(message, result.body.result(), signed.result())
        finally:
            self._signed.pop(key, None)
            result.users -= 1
            if not result.users:
                del self._results[message.job]

    def _ask(self, message: Deliver, result: _Result) -> None:
        self._report(NeedResult(message.delivery, message.attempt, result.body.done()))

    async def _send(self, message: Deliver, body: bytes, signed: Headers) -> None:
        began = self._clock.now()
        try:
            response = await self._egress.exchange(_request(message, body, signed), _no_gate)
        except EgressError as error:
            self._done(message, began, None, f"{error.fault}: {error}", error.fault)
        except Exception as error:  # noqa: BLE001  # whatever a client raises, the shard has to hear of an end
            self._done(message, began, None, f"the delivery failed: {type(error).__name__}")
        else:
            self._done(message, began, response, response.incomplete)

    def _done(
        self,
        message: Deliver,
        began: float,
        response: HttpResponse | None,
        error: str,
        fault: Fault | None = None,
    ) -> None:
        took_ms = int((self._clock.now() - began) * 1000)
        status = response.status if response else None
        wait_s = retry_after_s(response.lines_apart, utc(self._clock)) if response else None
        self._report(Delivered(message.delivery, message.attempt, status, took_ms, error, wait_s, fault))


def _request(message: Deliver, body: bytes, signed: Headers) -> HttpRequest:
    return HttpRequest(
        method="POST",
        url=message.url,
        headers=(*_HEADERS, *signed),
        body=body,
        timeout_ms=TIMEOUT_MS,
        status_suffices=True,
    )


async def _no_gate() -> None:
    """Webhooks are not paced by the target's limiter but by endpoint."""
