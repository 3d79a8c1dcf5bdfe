"""The webhook actor's work: sign and send, to many receivers at once, none of which slows another."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.domain.ids import DeliveryId, JobId, TargetDomain, target_domain
from orchestrator.domain.signals import retry_after_s
from orchestrator.domain.signing import signature_headers
from orchestrator.ports.clock import Clock, utc
from orchestrator.ports.egress import Egress, EgressError
from orchestrator.wire.messages import Deliver, Delivered, JobResult, Message, NeedResult

TIMEOUT_MS = 15_000
RESULT_WITHIN_S = 50.0
"""A delivery whose result has not come by then is given up here, before its shard sends it anew."""
USER_AGENT = "EZThrottle-Webhook/1"


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


class WebhookSender:
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

    def receive(self, message: Message) -> None:
        """Take a delivery, the same attempt of it twice being one, or the result that some wait for."""
        match message:
            case Deliver():
                self._begin(message)
            case JobResult():
                result = self._results.get(message.job)
                if result is not None and not result.body.done():
                    result.body.set_result(message.body)
            case _:
                msg = f"a webhook actor does not take {type(message).__name__}"
                raise TypeError(msg)

    def _begin(self, message: Deliver) -> None:
        key = (message.delivery, message.attempt)
        if key not in self._under_way:
            task = asyncio.get_running_loop().create_task(self._deliver(message))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        elif (result := self._results.get(message.job)) is not None and not result.body.done():
            # Another shard by now, perhaps: it has not heard what the one before it was asked for.
            self._report(NeedResult(message.delivery, message.attempt))

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
            await self._send(message, message.body)
            return
        result = self._results.get(message.job)
        if result is None:
            body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            result = self._results[message.job] = _Result(body)
        result.users += 1
        try:
            if not result.body.done():
                self._report(NeedResult(message.delivery, message.attempt))
            # Where it never comes, the shard counts the delivery as lost, and sends it anew.
            with suppress(TimeoutError):
                async with asyncio.timeout(RESULT_WITHIN_S):
                    await asyncio.wait([result.body])
                await self._send(message, result.body.result())
        finally:
            result.users -= 1
            if not result.users:
                del self._results[message.job]

    async def _send(self, message: Deliver, body: bytes) -> None:
        began = self._clock.now()
        request = signed_request(message, body, self._clock.unix_ms() // 1000)
        try:
            response = await self._egress.exchange(request, _no_gate)
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


def signed_request(message: Deliver, body: bytes, unix_s: int) -> HttpRequest:
    """Write one delivery attempt, signed afresh: receivers refuse old signatures."""
    headers = (
        ("Content-Type", "application/json"),
        ("User-Agent", USER_AGENT),
        *signature_headers(body, message.secrets, message.delivery, unix_s),
    )
    return HttpRequest(
        method="POST",
        url=message.url,
        headers=headers,
        body=body,
        timeout_ms=TIMEOUT_MS,
        status_suffices=True,
    )


async def _no_gate() -> None:
    """Webhooks are not paced by the target's limiter but by endpoint."""
