"""Attempts under way: sends them to executors, and brings back what these report."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from http import HTTPStatus
from typing import Protocol

from msgspec.structs import replace

from orchestrator.core.counters import Counters
from orchestrator.core.regions.peer import Peer
from orchestrator.core.regions.peers import PeerBook
from orchestrator.core.targets.answer_intake import AnswerIntake
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.core.targets.routes import Routes
from orchestrator.domain.exchange import Fault, HttpRequest
from orchestrator.domain.execution.settling import Ended
from orchestrator.domain.headers.signals import retry_after_s
from orchestrator.domain.ids import AttemptId, NodeAddress, RegionName, TargetDomain
from orchestrator.messages.types import (
    AnswerHeld,
    AttemptDone,
    AttemptReady,
    AttemptStarted,
    CancelAttempt,
    GoAttempt,
    PermitUnused,
    RunAttempt,
    SendAnswer,
)
from orchestrator.ports.clock import Clock
from orchestrator.ports.targets import Turn

PATIENCE_S = 10.0
"""Beyond an attempt's own limits, before its silence counts as a loss."""
SWEEP_EVERY_S = 1.0
ANSWER_WITHIN_S = 60.0
"""From the moment it is asked for, before a large answer counts as lost."""


class Phase(Enum):
    """How far an attempt at an executor has come, as far as its permit goes."""

    SENT = auto()
    """It has the permit that it was sent with."""
    CONNECTING = auto()
    """That permit came back."""
    READY = auto()
    """It waits on a ready connection for another."""
    GOING = auto()
    """It has got it, and starts at once: this one does not come back."""


@dataclass(slots=True, kw_only=True)
class OpenAttempt:
    """An attempt at an executor. ``turn`` is one of its step's: it names the target, job and customer.
    ``permit`` is None while it has none: connecting, or ready.
    """

    turn: Turn
    peer: Peer
    permit: int | None
    phase: Phase = Phase.SENT
    probe: bool
    sent_at: float
    size: int
    time_limit_s: float
    due: float


class AttemptOwner(Protocol):
    """Whoever has to know how attempts go."""

    def attempt_started(self, attempt: AttemptId, opened: OpenAttempt, started_ms: int) -> None:
        """Its first byte was written."""

    def attempt_ready(self, attempt: AttemptId, opened: OpenAttempt) -> None:
        """It waits on a ready connection for a new permit."""

    def attempt_ended(self, attempt: AttemptId, opened: OpenAttempt, ended: Ended) -> None:
        """It is over."""


class Dispatcher:
    """Knows every attempt that an executor has, and what each one holds."""

    _owner: AttemptOwner

    def __init__(
        self,
        peers: PeerBook,
        clock: Clock,
        counters: Counters,
        *,
        limiter: Callable[[TargetDomain], DomainLimiter],
        routes: Routes,
        answers: AnswerIntake,
        steered: Callable[[DomainLimiter], None],
    ) -> None:
        self._peers = peers
        self._clock = clock
        self._counters = counters
        self._limiter = limiter
        self._routes = routes
        self._answers = answers
        self._steered = steered
        self._open: dict[AttemptId, OpenAttempt] = {}

    def begin(self, owner: AttemptOwner) -> None:
        """Tell ``owner`` of attempts from now on, and watch for those that nobody reports on."""
        self._owner = owner
        self._clock.call_at(self._clock.now() + SWEEP_EVERY_S, self._sweep)

    def __len__(self) -> int:
        """Count the attempts under way."""
        return len(self._open)

    def send(
        self,
        attempt: AttemptId,
        request: HttpRequest,
        *,
        turn: Turn,
        permit: int,
        region: RegionName,
        named: bool,
    ) -> None:
        """Send an attempt of the step whose turn it was, which ``named`` this region or did not; it starts at
        once if its connection is ready.
        """
        peer = self._peers.peer(region, named=named)
        size = request.size_at_node
        peer.take(size)
        limit_s = 2 * request.timeout_ms / 1000 + PATIENCE_S
        now = self._clock.now()
        self._open[attempt] = OpenAttempt(
            turn=turn,
            peer=peer,
            permit=permit,
            probe=self._routes.target_health.sent(turn.domain, region),
            sent_at=now,
            size=size,
            time_limit_s=limit_s,
            due=now + limit_s,
        )
        peer.link.post(RunAttempt(attempt, now, request))

    def go(self, attempt: AttemptId, permit: int) -> None:
        """Give a ready attempt its new permit. Where a breaker has opened meanwhile the attempt ends instead:
        its leg may go from elsewhere.
        """
        opened = self._open[attempt]
        if not self._routes.target_health.admits(opened.turn.domain, opened.peer.name):
            self._limiter(opened.turn.domain).unused(permit)
            opened.peer.link.post(CancelAttempt(attempt))
            self._close(attempt, _SHUT)
            return
        now = self._clock.now()
        opened.permit = permit
        opened.phase = Phase.GOING
        opened.probe = self._routes.target_health.sent(opened.turn.domain, opened.peer.name)
        opened.sent_at = now
        opened.due = now + opened.time_limit_s
        opened.peer.link.post(GoAttempt(attempt, now))

    def is_parked(self, attempt: AttemptId) -> bool:
        """Whether the attempt waits at its executor for a permit."""
        opened = self._open.get(attempt)
        return opened is not None and opened.phase is Phase.READY

    def cancel(self, attempt: AttemptId) -> None:
        """Ask for an attempt's end; its place comes back when the connection is closed."""
        opened = self._open.get(attempt)
        if opened is not None:
            opened.peer.link.post(CancelAttempt(attempt))

    def unused(self, sender: NodeAddress, message: PermitUnused) -> None:
        """A permit comes back; its attempt goes on connecting."""
        opened = self._reported(sender, message.attempt)
        if opened is not None and opened.phase is Phase.SENT:
            self._take_back(opened)

    def ready(self, sender: NodeAddress, message: AttemptReady) -> None:
        """An attempt's connection is ready: it needs a permit again."""
        opened = self._reported(sender, message.attempt)
        if opened is None:
            return
        if opened.phase is Phase.SENT:
            # This message has overtaken the one that gives the permit back.
            self._take_back(opened)
        if opened.phase is Phase.CONNECTING:
            opened.phase = Phase.READY
            self._owner.attempt_ready(message.attempt, opened)

    def started(self, sender: NodeAddress, message: AttemptStarted) -> None:
        """An attempt that takes its time reports its first byte."""
        opened = self._reported(sender, message.attempt)
        if opened is not None and opened.permit is not None:
            self._note_start(message.attempt, opened, self._within(opened, message.at))

    def answer_held(self, sender: NodeAddress, message: AnswerHeld) -> None:
        """A large answer is at its executor: ask for it once there is room."""
        opened = self._reported(sender, message.attempt)
        if opened is not None:
            # Nobody's fault but this side's, however long it takes.
            opened.due = math.inf
            customer = opened.turn.ticket.customer
            self._answers.offer(
                message.attempt, customer, message.size, lambda: self._ask_for(message.attempt)
            )

    def _ask_for(self, attempt: AttemptId) -> bool:
        opened = self._open.get(attempt)
        if opened is None:
            return False
        opened.due = self._clock.now() + ANSWER_WITHIN_S
        opened.peer.link.post(SendAnswer(attempt))
        return True

    def done(self, sender: NodeAddress, message: AttemptDone) -> None:
        """An attempt is over and its connection closed or given back."""
        opened = self._reported(sender, message.attempt)
        if opened is None:
            return
        started_at = None if message.started_at is None else self._within(opened, message.started_at)
        # First of all: whatever follows may let others out, and they go at the pace that was just heard.
        self._hear(opened, message, started_at)
        if started_at is not None:
            self._note_start(message.attempt, opened, started_at)
        if message.fault is Fault.LOST:
            # It has fenced itself. Sent there again at once, the request would only come back.
            opened.peer.doubt()
        written = started_at is not None
        ended = Ended(
            message.response,
            message.fault,
            message.message,
            retry_after_s=_retry_after_s(message, self._clock.unix_ms()),
            written=written,
            probe=opened.probe,
            phases=message.phases,
        )
        self._learn(opened, ended, started_at)
        self._close(message.attempt, ended)

    def _learn(self, opened: OpenAttempt, ended: Ended, started_at: float | None) -> None:
        cause = ended.cause
        answered = ended.response is not None and started_at is not None
        took_s = self._clock.now() - started_at if answered and started_at is not None else None
        domain, region = opened.turn.domain, opened.peer.name
        if started_at is not None:
            self._counters.attempt_took(region, self._clock.now() - started_at)
            self._counters.start_delay.observe(started_at - opened.sent_at)
        if cause.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._counters.answered_429(domain)
        self._routes.target_health.ended(
            domain, region, opened.turn.ticket.job_id, cause, sent_at=opened.sent_at, took_s=took_s
        )
        self._routes.retry_budgets.ended(domain, cause)

    def _reported(self, sender: NodeAddress, attempt: AttemptId) -> OpenAttempt | None:
        """Find what a report is about; None where it is over, or another node has it."""
        opened = self._open.get(attempt)
        return opened if opened is not None and opened.peer.address == sender else None

    def _within(self, opened: OpenAttempt, reported_at: float) -> float:
        """Take a time that a node reports for what it can be: a region's clock may be thought ahead of this
        one or behind it, and nothing happens before it is sent, or after it is told.
        """
        return min(self._clock.now(), max(opened.sent_at, reported_at))

    def lose(self, peer: Peer) -> None:
        """A peer lost what it had."""
        for attempt in [a for a, opened in self._open.items() if opened.peer is peer]:
            if self._open[attempt].due == math.inf:
                # If it is heard again it must not wait to be asked for this.
                peer.link.post(CancelAttempt(attempt))
            self._lose(attempt)

    def _lose(self, attempt: AttemptId) -> None:
        self._close(attempt, _LOST if self._open[attempt].permit is not None else _LOST_UNWRITTEN)

    def _take_back(self, opened: OpenAttempt) -> None:
        permit, opened.permit, opened.phase = opened.permit, None, Phase.CONNECTING
        if permit is not None:
            self._limiter(opened.turn.domain).unused(permit)

    def _note_start(self, attempt: AttemptId, opened: OpenAttempt, at: float) -> None:
        if opened.permit is not None:
            self._limiter(opened.turn.domain).started(opened.permit, at)
        ago_ms = (self._clock.now() - at) * 1000
        self._owner.attempt_started(attempt, opened, self._clock.unix_ms() - int(ago_ms))

    def _close(self, attempt: AttemptId, ended: Ended) -> None:
        opened = self._open.pop(attempt)
        opened.peer.give_back(opened.size)
        outcome = f"{ended.response.status // 100}xx" if ended.response else str(ended.fault)
        self._counters.attempts[opened.peer.name, outcome] += 1
        self._owner.attempt_ended(attempt, opened, ended)
        # Only now: what of it is to be saved is counted already.
        self._answers.arrived(attempt)
        if opened.permit is not None:
            limiter = self._limiter(opened.turn.domain)
            give_back = limiter.closed if ended.written else limiter.unused
            give_back(opened.permit)
        self._routes.credit_back()

    def _hear(self, opened: OpenAttempt, message: AttemptDone, started_at: float | None) -> None:
        if message.response is None:
            return
        now = self._clock.now()
        answered_at = now if message.answered_at is None else self._within(opened, message.answered_at)
        started_at = now if started_at is None else started_at
        limiter = self._limiter(opened.turn.domain)
        if limiter.hear(opened.permit, message.response, started_at, answered_at, probe=opened.probe):
            self._steered(limiter)

    def _sweep(self) -> None:
        now = self._clock.now()
        overdue = [
            (attempt, opened)
            for attempt, opened in self._open.items()
            if now > opened.due and opened.phase is not Phase.READY
        ]
        for attempt, opened in overdue:
            opened.peer.link.post(CancelAttempt(attempt))
            self._lose(attempt)
        self._clock.call_at(now + SWEEP_EVERY_S, self._sweep)


def _retry_after_s(message: AttemptDone, unix_ms: int) -> float | None:
    if message.response is None:
        return None
    return retry_after_s(message.response.lines_apart, datetime.fromtimestamp(unix_ms / 1000, tz=UTC))


_LOST = Ended(None, Fault.LOST, "the region went down while the request was under way")
_LOST_UNWRITTEN = replace(_LOST, written=False)
_SHUT = replace(_LOST_UNWRITTEN, message="the way to the target was shut while the request waited to start")
