"""The world that EZThrottle talks to: targets and webhook receivers, behind the Egress port."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from urllib.parse import urlsplit

from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.domain.ids import DeliveryId, JobId, RegionName, target_domain
from orchestrator.ports.egress import EgressError, Gate, Timed
from tests.simulation.history import Delivery, History, TargetRequest
from tests.simulation.quotas import Quotas, account_at_target, quota_headers
from tests.simulation.scenario import CALM, Mood, ReceiverPlan, Scenario, TargetPlan, Temper
from tests.simulation.specs import ALWAYS_404
from tests.support.virtual_loop import VirtualLoop

GARBAGE = ("NaN", "1e309", "-1", "0", "inf", "fast")
LARGE_BODY = b"z" * 150_000
HEADER_RPS = "x-ezthrottle-rps"
HEADER_CONCURRENT = "x-ezthrottle-max-concurrent"
HEADER_ACCOUNT_QUEUE = "x-ezthrottle-account-queue"


class Outside:
    """Targets and receivers of one run: draws how each request is met, and keeps their logs."""

    def __init__(self, loop: VirtualLoop, random: Random, scenario: Scenario, history: History) -> None:
        self.loop = loop
        self.random = random
        self.history = history
        self.quotas = Quotas()
        self._calm_s = scenario.calm_s
        self._targets = {plan.host: plan for plan in scenario.targets}
        self._receivers = {plan.host: plan for plan in scenario.receivers}

    def target(self, request: HttpRequest) -> TargetPlan:
        """Find the target of a request."""
        return self._targets[urlsplit(request.url).netloc]

    def receiver(self, request: HttpRequest) -> ReceiverPlan:
        """Find the receiver of a delivery."""
        return self._receivers[urlsplit(request.url).netloc]

    def mood(self, temper: Temper, *, mends: bool = True) -> Mood:
        """Draw how the next request is met."""
        moods = (CALM if self.calm and mends else temper).moods
        return self.random.choices([mood for mood, _ in moods], [weight for _, weight in moods])[0]

    def latency_s(self, temper: Temper) -> float:
        """Draw how long it takes."""
        return self.random.uniform(*(CALM if self.calm else temper).latency_s)

    @property
    def calm(self) -> bool:
        """Whether everybody has come to rest."""
        return self.loop.time() >= self._calm_s


class TargetEgress:
    """The Egress port of one executor. Every first byte is a line of the target's log."""

    def __init__(self, outside: Outside, region: RegionName) -> None:
        self._outside = outside
        self._region = region
        self._open: list[TargetRequest] = []

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        """Connect, pass the gate, write, read."""
        target = self._outside.target(request)
        mood = self._mood(request, target)
        await self._connect(request, target, mood)
        await gate()
        if mood is Mood.CLOSED_EARLY:
            raise EgressError(Fault.CONNECT, "the connection was closed before the request could start")
        with self._first_byte(request) as line:
            if not self._pays(request, target):
                mood = Mood.TOO_MANY
            return await self._answer(request, target, mood, line)

    async def close(self) -> None:
        """Nothing is held."""

    def die(self) -> None:
        """The executor was killed: its connections are closed by the system."""
        for line in self._open:
            line.closed_at = self._outside.loop.time()
        self._open.clear()

    def _mood(self, request: HttpRequest, target: TargetPlan) -> Mood:
        if ALWAYS_404 in request.url:
            return Mood.NOT_FOUND
        if request.method in target.broken and not self._outside.calm:
            return self._outside.random.choice([Mood.TOO_MANY, Mood.UNAVAILABLE])
        return self._outside.mood(target.temper)

    async def _connect(self, request: HttpRequest, target: TargetPlan, mood: Mood) -> None:
        random = self._outside.random
        slow = not self._outside.calm and random.random() < target.slow_connect
        takes_s = random.choice([0.049, 0.06, 0.3, 1.5]) if slow else random.choice([0.0, 0.004])
        if takes_s:
            await asyncio.sleep(min(takes_s, request.timeout_ms / 1000))
        if takes_s > request.timeout_ms / 1000:
            raise EgressError(Fault.CONNECT_TIMEOUT, "no connection in time")
        if mood is Mood.REFUSED:
            raise EgressError(Fault.CONNECT, "connection refused")

    @contextmanager
    def _first_byte(self, request: HttpRequest) -> Iterator[TargetRequest]:
        headers = dict(request.headers)
        line = TargetRequest(
            domain=target_domain(request.url),
            region=self._region,
            job_id=JobId(headers["X-EZThrottle-Job-Id"]),
            number=int(headers["X-EZThrottle-Attempt"]),
            method=request.method,
            url=request.url,
            body=request.body,
            first_byte_at=self._outside.loop.time(),
        )
        self._outside.history.requests.append(line)
        self._open.append(line)
        try:
            yield line
        finally:
            if line in self._open:
                line.closed_at = self._outside.loop.time()
                self._open.remove(line)

    async def _answer(
        self, request: HttpRequest, target: TargetPlan, mood: Mood, line: TargetRequest
    ) -> HttpResponse:
        takes_s = self._outside.latency_s(target.temper)
        limit_s = request.timeout_ms / 1000
        await asyncio.sleep(limit_s if mood is Mood.HANGS else min(takes_s, limit_s))
        if mood is Mood.HANGS or takes_s >= limit_s:
            raise EgressError(Fault.TIMEOUT, "no answer in time")
        if mood.status is None:
            raise EgressError(Fault.BROKEN, "the connection broke")
        line.status, line.answered_at = mood.status, self._outside.loop.time()
        headers = self._headers(target, mood, line) | self._quota_headers(request, target, line)
        body = LARGE_BODY if self._outside.random.random() < 0.02 else b"answer"
        return HttpResponse(status=mood.status, headers=headers, body=body)

    def _pays(self, request: HttpRequest, target: TargetPlan) -> bool:
        """Take a request from its account's quota, where there is one; say whether there was enough."""
        account = account_at_target(request)
        job = self._outside.history.submitted.get(JobId(dict(request.headers)["X-EZThrottle-Job-Id"]))
        if target.quota is None or not account or job is None:
            return True
        cost = next(spec.cost for spec in job.spec.steps if spec.url == request.url)
        now = self._outside.loop.time()
        return self._outside.quotas.charge(target.quota, target.host, account, cost, now)

    def _quota_headers(self, request: HttpRequest, target: TargetPlan, line: TargetRequest) -> dict[str, str]:
        account = account_at_target(request)
        if target.quota is None or not account or line.status == Mood.UNAVAILABLE.status:
            return {}
        now = self._outside.loop.time()
        line.quota = self._outside.quotas.told(target.quota, target.host, account, now)
        return quota_headers(target.quota, line.quota)

    def _headers(self, target: TargetPlan, mood: Mood, line: TargetRequest) -> dict[str, str]:
        random = self._outside.random
        headers = {"content-type": "text/plain"}
        if mood in (Mood.TOO_MANY, Mood.UNAVAILABLE) and random.random() < 0.6:
            line.retry_after_s = random.choice([0.0, 1.0, 3.0])
            headers["retry-after"] = f"{line.retry_after_s:.0f}"
        if random.random() < target.signals:
            rps, concurrent = random.choice(target.paces)
            headers |= {HEADER_RPS: str(rps)} if rps else {HEADER_RPS: random.choice(GARBAGE)}
            headers |= {HEADER_CONCURRENT: str(concurrent)} if concurrent else {}
        if target.account_queues:
            headers[HEADER_ACCOUNT_QUEUE] = "enabled"
        return headers


class ReceiverEgress:
    """The Egress port of the webhook actor. Every delivery is a line of the receiver's log."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        """Write at once, and read."""
        receiver = self._outside.receiver(request)
        mood = self._outside.mood(receiver.temper, mends=receiver.mends)
        await gate()
        if mood is Mood.REFUSED:
            raise EgressError(Fault.CONNECT, "connection refused")
        line = self._log(request)
        await asyncio.sleep(self._outside.latency_s(receiver.temper))
        if mood is Mood.HANGS:
            await asyncio.sleep(request.timeout_ms / 1000)
            raise EgressError(Fault.TIMEOUT, "no answer in time")
        line.status, line.answered_at = mood.status, self._outside.loop.time()
        headers = {"retry-after": "1"} if mood is Mood.TOO_MANY else {}
        return HttpResponse(status=mood.status or 200, headers=headers, body=b"")

    async def close(self) -> None:
        """Nothing is held."""

    def _log(self, request: HttpRequest) -> Delivery:
        line = Delivery(
            at=self._outside.loop.time(),
            url=request.url,
            webhook_id=DeliveryId(dict(request.headers)["webhook-id"]),
            body=request.body or b"",
        )
        self._outside.history.deliveries.append(line)
        return line
