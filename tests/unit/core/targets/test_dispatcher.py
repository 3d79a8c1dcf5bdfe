"""What an attempt's end, or its silence, means for the pace and for its owner."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from orchestrator.core.counters import Counters
from orchestrator.core.regions.peers import PeerBook
from orchestrator.core.targets.answer_intake import AnswerIntake
from orchestrator.core.targets.dispatcher import PATIENCE_S, Dispatcher, OpenAttempt
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.core.targets.routes import Routes
from orchestrator.domain.exchange import HttpRequest, HttpResponse
from orchestrator.domain.execution.settling import Ended
from orchestrator.domain.ids import AttemptId, JobId, NodeAddress, NodeName, RegionName, TargetDomain
from orchestrator.domain.pace.pacing import Pace, PaceCaps
from orchestrator.domain.queueing.fairness import one_each
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.steering import Steering
from orchestrator.messages.names import executor_address
from orchestrator.messages.types import AttemptDone, AttemptStarted, PermitUnused
from orchestrator.ports.targets import Turn
from tests.support.virtual_loop import VirtualClock, VirtualLoop
from tests.unit.http.gateway import SilentLinks

IAD = RegionName("iad")
NODE = executor_address(IAD)
OTHER_NODE = NodeAddress(IAD, NodeName("executor-iad-2"))
REQUEST = HttpRequest(method="GET", url="http://203.0.113.7/", headers=(), body=None, timeout_ms=1_000)
OVERDUE_S = 2 * REQUEST.timeout_ms / 1000 + PATIENCE_S + 2


class Owner:
    """Remembers how its attempts ended."""

    def __init__(self) -> None:
        self.ended: dict[AttemptId, Ended] = {}

    def attempt_started(self, attempt: AttemptId, opened: OpenAttempt, started_ms: int) -> None:
        """Nothing to do."""

    def attempt_ready(self, attempt: AttemptId, opened: OpenAttempt) -> None:
        """Nothing to do."""

    def attempt_ended(self, attempt: AttemptId, opened: OpenAttempt, ended: Ended) -> None:
        self.ended[attempt] = ended


class Bench:
    """A dispatcher and one domain in virtual time; each ticket let out becomes an attempt in iad."""

    def __init__(self, loop: VirtualLoop, pace: Pace) -> None:
        self.clock = VirtualClock(loop, epoch_ms=0)
        self.owner = Owner()
        self.sent_at: dict[AttemptId, float] = {}
        peers = PeerBook([NODE], SilentLinks(), self.clock)
        routes = Routes(self.clock, peers, lambda _name: self.domain, lambda _ticket, _cause: None)
        self.answers = AnswerIntake(lambda work: self.tasks.add(loop.create_task(work)))
        self.tasks: set[asyncio.Task[None]] = set()
        self.dispatcher = Dispatcher(
            peers,
            self.clock,
            Counters(),
            limiter=lambda _name: self.domain,
            routes=routes,
            answers=self.answers,
            steered=_nothing,
        )
        self.domain = DomainLimiter(
            TargetDomain("203.0.113.7:80"),
            self.clock,
            Steering(pace, PaceCaps()),
            weight=one_each,
            not_before=0.0,
            launch=self._launch,
            opens_at=lambda _domain, now: now,
        )
        self.dispatcher.begin(self.owner)

    def queue(self, name: str) -> AttemptId:
        """Queue a job; its attempt has the same name."""
        self.domain.enqueue(Ticket(0, JobId(name)))
        return AttemptId(name)

    def _launch(self, domain: DomainLimiter, ticket: Ticket, permit: int) -> None:
        attempt = AttemptId(ticket.job_id)
        self.sent_at[attempt] = self.clock.now()
        self.dispatcher.send(
            attempt,
            REQUEST,
            turn=Turn(domain.name, ticket, permit),
            permit=permit,
            region=IAD,
            named=True,
        )


def run(pace: Pace, play: Callable[[Bench, VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop(Random(1))

    async def begin() -> None:
        await play(Bench(loop, pace), loop)

    loop.run(begin())


async def _pass(loop: VirtualLoop, seconds: float) -> None:
    moment = loop.create_future()
    loop.call_later(seconds, moment.set_result, None)
    await moment


def test_what_an_answer_lets_out_goes_at_the_pace_that_it_asks_for() -> None:
    async def play(bench: Bench, loop: VirtualLoop) -> None:
        first, second = bench.queue("first"), bench.queue("second")
        await _pass(loop, 3.0)
        slower = HttpResponse(status=200, headers={"x-ezthrottle-rps": "0.1"}, body=b"")
        bench.dispatcher.done(NODE, AttemptDone(first, 0.5, slower))
        await _pass(loop, 30.0)
        assert bench.sent_at[second] >= 0.5 + 10.0

    run(Pace(1, 2), play)


@pytest.mark.parametrize(
    ("headers", "repeated"),
    [
        ({"x-ezthrottle-rps": "0.1, 0.1"}, {"x-ezthrottle-rps": "0.1\n0.1"}),
        ({"x-aquifer-rps": "5, 0.1"}, {"x-aquifer-rps": "5\n0.1"}),
        ({"retry-after": "10, 7"}, {"retry-after": "10\n7"}),
        ({"retry-after": "9.5"}, {}),
    ],
)
def test_lines_that_came_twice_hold_the_next_request_back(
    headers: dict[str, str], repeated: dict[str, str]
) -> None:
    async def play(bench: Bench, loop: VirtualLoop) -> None:
        first, second = bench.queue("first"), bench.queue("second")
        await _pass(loop, 3.0)
        slower = HttpResponse(status=200, headers=headers, body=b"", repeated=repeated)
        bench.dispatcher.done(NODE, AttemptDone(first, 0.5, slower))
        await _pass(loop, 30.0)
        assert bench.sent_at[second] >= 0.5 + 10.0

    run(Pace(1, 2), play)


def test_an_attempt_that_nobody_reports_on_counts_as_written() -> None:
    async def play(bench: Bench, loop: VirtualLoop) -> None:
        attempt = bench.queue("silent")
        await _pass(loop, OVERDUE_S)
        assert bench.owner.ended[attempt].written

    run(Pace(), play)


def test_an_overdue_attempt_whose_permit_came_back_counts_as_unwritten() -> None:
    async def play(bench: Bench, loop: VirtualLoop) -> None:
        attempt = bench.queue("connecting")
        bench.dispatcher.unused(NODE, PermitUnused(attempt))
        await _pass(loop, OVERDUE_S)
        assert not bench.owner.ended[attempt].written

    run(Pace(), play)


def test_what_another_node_reports_of_an_attempt_counts_for_nothing() -> None:
    async def play(bench: Bench, loop: VirtualLoop) -> None:
        attempt = bench.queue("first")
        answer = AttemptDone(attempt, 0.0, HttpResponse(status=200, headers={}, body=b""))
        bench.dispatcher.unused(OTHER_NODE, PermitUnused(attempt))
        bench.dispatcher.done(OTHER_NODE, answer)
        assert bench.owner.ended == {}
        assert bench.domain.in_flight == 1
        bench.dispatcher.done(NODE, answer)
        assert bench.owner.ended[attempt].written

    run(Pace(), play)


@pytest.mark.parametrize(("reported_s", "counts_from_s"), [(-600.0, 0.0), (1.0, 1.0), (600.0, 3.0)])
def test_no_start_is_before_its_request_was_sent_or_after_it_is_told(
    reported_s: float, counts_from_s: float
) -> None:
    async def play(bench: Bench, loop: VirtualLoop) -> None:
        first, second = bench.queue("first"), bench.queue("second")
        began = loop.time()
        await _pass(loop, 3.0)
        bench.dispatcher.started(NODE, AttemptStarted(first, began + reported_s))
        await _pass(loop, 30.0)
        assert bench.sent_at[second] - began == pytest.approx(counts_from_s + 10.0, abs=0.1)

    run(Pace(0.1, 2), play)


def _nothing(_of: object) -> None:
    """Care for nothing."""
