"""One domain's limiter in virtual time, with customers in front of it and a strict server behind it."""

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.execution.retry import backoff_ms
from orchestrator.domain.ids import AccountId, CustomerId, JobId, TargetDomain
from orchestrator.domain.pace.pacing import Pace, PaceCaps
from orchestrator.domain.queueing.fairness import Weight, one_each
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import PathClass
from orchestrator.domain.steering.learned import Learned
from orchestrator.domain.steering.steering import Steering

EPOCH_MS = 1_763_674_200_000


@dataclass(slots=True)
class HeapTimer:
    """Something that will happen, and may be called off."""

    callback: Callable[[], None] | None

    def cancel(self) -> None:
        """Call it off."""
        self.callback = None


class HeapClock:
    """The Clock port on virtual time: ``run_until`` lets it pass. Times are seconds."""

    def __init__(self, now: float = 1_000.0) -> None:
        self._now = now
        self._timers: list[tuple[float, int, HeapTimer]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def boot_s(self) -> float:
        """Seconds that go on while the machine sleeps, too."""
        return self._now

    def unix_ms(self) -> int:
        """Unix milliseconds."""
        return EPOCH_MS + int(self._now * 1000)

    def call_at(self, when: float, callback: Callable[[], None]) -> HeapTimer:
        """Call back at monotonic ``when``."""
        timer = HeapTimer(callback)
        heapq.heappush(self._timers, (max(when, self._now), next(self._numbers), timer))
        return timer

    def step(self) -> None:
        """Let time pass until the next timer."""
        self._now, _, timer = heapq.heappop(self._timers)
        if timer.callback is not None:
            timer.callback()

    def run_until(self, end: float) -> None:
        """Let time pass."""
        while self._timers and self._timers[0][0] <= end:
            self.step()
        self._now = max(self._now, end)


class Server(Protocol):
    """A target: answers each request that arrives at ``now``."""

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        """Answer one request."""


def response(status: int = 200, **headers: object) -> HttpResponse:
    """Write an answer; underscores in header names are hyphens."""
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return HttpResponse(status=status, headers=named, body=b"")


@dataclass(slots=True)
class SlidingWindow:
    """At most ``limit`` requests in any second, refused ones not counted."""

    limit: int
    headers: Mapping[str, object] = field(default_factory=dict)
    taken: deque[float] = field(default_factory=deque)

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        while self.taken and self.taken[0] <= now - 1:
            self.taken.popleft()
        if len(self.taken) >= self.limit:
            return response(429, **self.headers)
        self.taken.append(now)
        return response(200, **self.headers)


@dataclass(slots=True)
class FixedWindow:
    """At most ``limit`` requests in each second of the clock."""

    limit: int
    headers: Mapping[str, object] = field(default_factory=dict)
    second: int = 0
    taken: int = 0

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        if int(now) != self.second:
            self.second, self.taken = int(now), 0
        if self.taken >= self.limit:
            return response(429, **self.headers)
        self.taken += 1
        return response(200, **self.headers)


@dataclass(slots=True)
class TokenBucket:
    """``limit`` tokens a second, as many as that at once."""

    limit: int
    headers: Mapping[str, object] = field(default_factory=dict)
    tokens: float = 0.0
    at: float = 0.0

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        self.tokens = min(self.limit, self.tokens + (now - self.at) * self.limit)
        self.at = now
        if self.tokens < 1:
            return response(429, **self.headers)
        self.tokens -= 1
        return response(200, **self.headers)


@dataclass(frozen=True, slots=True)
class Start:
    """A request that went out. Times are virtual s."""

    ticket: Ticket
    queued_at: float
    at: float
    status: int

    @property
    def waited_s(self) -> float:
        """Time from queue to start."""
        return self.at - self.queued_at


class Outlet:
    """Keeps work waiting, sends it to a server as the limiter lets it out, and writes down what went.

    ``repeats``: how often what is refused comes again, after its backoff.
    """

    def __init__(
        self,
        server: Server,
        *,
        pace: Pace,
        caps: PaceCaps | None = None,
        latency_s: tuple[float, float] = (0.02, 0.04),
        connect_s: tuple[float, float] = (0.0, 0.0),
        weight: Weight = one_each,
        account_queues: bool = False,
        learned: Learned | None = None,
        clock: HeapClock | None = None,
        repeats: float = 0,
    ) -> None:
        self.clock = clock or HeapClock()
        self.began = self.clock.now()
        self.server = server
        self.starts: list[Start] = []
        self.changes = 0
        self._latency_s = latency_s
        self._connect_s = connect_s
        self._random = Random(7)
        self._repeats = repeats
        self._repeated: Counter[JobId] = Counter()
        self._queued: dict[tuple[JobId, int], float] = {}
        self._numbers = itertools.count()
        steering = Steering(pace, caps or PaceCaps(), account_queues=account_queues)
        if learned is not None:
            steering.restore(learned, self.clock.now(), self.clock.unix_ms())
        self.limiter = self._limiter(steering, weight)

    def _limiter(self, steering: Steering, weight: Weight) -> DomainLimiter:
        return DomainLimiter(
            TargetDomain("api.example.com"),
            self.clock,
            steering,
            weight=weight,
            not_before=0.0,
            launch=self._launch,
            opens_at=lambda _domain, now: now,
        )

    def put(
        self,
        count: int = 1,
        customer: str = "cust_a",
        account: str | None = None,
        *,
        cost: float = 1.0,
        path: str = "",
    ) -> list[Ticket]:
        """Queue requests, and give their tickets."""
        tickets = []
        for _ in range(count):
            number = next(self._numbers)
            ticket = Ticket(
                number,
                JobId(f"job_{number:09d}"),
                customer=CustomerId(customer),
                account=AccountId(account) if account is not None else None,
                cost=cost,
                path=PathClass(path),
            )
            tickets.append(ticket)
            self._queued[ticket.job_id, 0] = self.clock.now()
            self.limiter.enqueue(ticket)
        return tickets

    def put_at(self, times: Iterable[float], customer: str, account: str | None = None) -> None:
        """Queue one request at each of these times, counted from the beginning."""
        for at in times:
            self.clock.call_at(self.began + at, lambda: self._put_one(customer, account))

    def _put_one(self, customer: str, account: str | None) -> None:
        self.put(1, customer, account)

    def run(self, seconds: float) -> "Outlet":
        """Let time pass."""
        self.clock.run_until(self.clock.now() + seconds)
        return self

    def between(self, since: float, until: float, customer: str | None = None) -> list[Start]:
        """List what started in a span of time, counted from the beginning."""
        return [
            start
            for start in self.starts
            if since <= start.at - self.began < until and customer in (None, start.ticket.customer)
        ]

    def _launch(self, limiter: DomainLimiter, ticket: Ticket, permit: int) -> None:
        connects_s = self._random.uniform(*self._connect_s) if self._connect_s[1] else 0.0
        if connects_s:
            self.clock.call_at(self.clock.now() + connects_s, lambda: self._start(ticket, permit))
        else:
            self._start(ticket, permit)

    def _start(self, ticket: Ticket, permit: int) -> None:
        now = self.clock.now()
        self.limiter.started(permit, now)
        answer = self.server.answer(ticket, now)
        self.starts.append(Start(ticket, self._queued.pop((ticket.job_id, 0)), now, answer.status))
        back_at = now + self._random.uniform(*self._latency_s)
        self.clock.call_at(back_at, lambda: self._answered(ticket, permit, answer, now))

    def _answered(self, ticket: Ticket, permit: int, answer: HttpResponse, started_at: float) -> None:
        self.changes += self.limiter.hear(permit, answer, started_at, started_at)
        self.limiter.closed(permit)
        if answer.status in (429, 503) and self._repeated[ticket.job_id] < self._repeats:
            delay_s = backoff_ms(self._repeated[ticket.job_id], None, self._random.random()) / 1000
            self._repeated[ticket.job_id] += 1
            self.clock.call_at(self.clock.now() + delay_s, lambda: self._put_again(ticket))

    def _put_again(self, ticket: Ticket) -> None:
        self._queued[ticket.job_id, 0] = self.clock.now()
        self.limiter.enqueue(ticket)
