"""How a webhook sender keeps to an endpoint's places."""

import asyncio

from orchestrator.domain.exchange import HttpRequest, HttpResponse
from orchestrator.domain.ids import DeliveryId, JobId
from orchestrator.messages.types import Deliver, Message
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.egress import Gate, Timed
from regions.webhooks import WebhookSender


class Busy:
    """An egress that answers when it may, and counts what is under way."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.under_way = 0
        self.most = 0

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.may_answer.wait()
        self.under_way -= 1
        return HttpResponse(status=200, headers={}, body=b"")

    async def close(self) -> None:
        """Nothing is held."""


async def test_two_spellings_of_one_receiver_share_its_places() -> None:
    egress, reports = Busy(), asyncio.Queue[Message]()
    sender = WebhookSender(egress, SystemClock(), reports.put_nowait, places=1)
    urls = ("http://a.test/", "http://A.test:80/", "http://a.test./")

    for number, url in enumerate(urls):
        sender.receive(Deliver(DeliveryId(f"msg_{number}"), 1, url, b"{}", (), JobId("job_1_1")))
    for _ in range(10):
        await asyncio.sleep(0)
    egress.may_answer.set()
    for _ in urls:
        await reports.get()

    assert egress.most == 1
    await sender.close()
