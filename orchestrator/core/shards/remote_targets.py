"""Targets that live in another shard, as this shard's jobs see them."""

from collections.abc import Sequence

from msgspec import field

from orchestrator.core.shards.session_messages import (
    LineUp,
    News,
    PassUp,
    Report,
    SessionSender,
    step_of_record,
)
from orchestrator.core.shards.steps_across import StepAcross, StepsAcross
from orchestrator.core.targets.step_at_target import begun_order, sibling_claims
from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.settling import Ended
from orchestrator.domain.ids import AttemptId
from orchestrator.ports.targets import (
    AttemptEnded,
    Claim,
    Jobs,
    Late,
    Placed,
    RegionsGone,
    RunStep,
    SendAttempt,
    Shut,
    Started,
    Turn,
    Withdraw,
)


class _StepAway(StepAcross, kw_only=True):
    """What a step has at the other shard, so that its successor can give it again. Turns are by leg."""

    claims: dict[int, LineUp] = field(default_factory=dict)
    """By leg: what waits for a permit there, or has its turn."""
    order: RunStep | None = None
    open: dict[AttemptId, bool] = field(default_factory=dict)
    """Attempts that were placed, and whether each was sent."""

    @property
    def attempts(self) -> dict[AttemptId, bool]:
        """Attempts that were placed, and are not over."""
        return self.open


class RemoteTargets:
    """``Targets`` whose messages travel to another shard.

    What is asked for while there is no session is sent in the next one. A session that ends has lost all
    attempts, and what waited lines up anew.

    Args:
        sender: Sends to the other shard's ``RemoteJobs``.
    """

    _jobs: Jobs

    def __init__(self, sender: SessionSender) -> None:
        self._sender = sender
        self._steps: StepsAcross[_StepAway] = StepsAcross(lambda turn: turn.ticket.leg, sender.forget)
        self._draining = False

    def __len__(self) -> int:
        """Count the steps that have anything there."""
        return len(self._steps)

    @property
    def attempts_open(self) -> int:
        """Count the attempts there that are not over."""
        return sum(len(step.open) for step in self._steps.values())

    def drain(self) -> None:
        """Start nothing more there."""
        self._draining = True

    def announce(self, news: News) -> None:
        """Say that something is on disk that is the other shard's. Without a session it finds that itself."""
        self._sender.send(news)
        self._sender.forget((news.job, news.step))

    def line_up(self, claim: Claim, *, spends: bool = False) -> None:
        """Let a leg wait for its permit."""
        name = (claim.ticket.job_id, claim.ticket.step)
        if (step := self._steps.get(name)) is None:
            step = self._steps[name] = _StepAway()
        order = step.claims[claim.ticket.leg] = LineUp(claim, spends)
        self._sender.send(order)

    def run(self, order: RunStep) -> None:
        """Use a turn, unless it was lost with its session: the leg has lined up anew then."""
        if (step := self._steps.answer(order.turn)) is not None:
            step.order = order
            self._sender.send(order)

    def pass_up(self, turn: Turn) -> None:
        """Nobody wants this turn any more."""
        if (step := self._steps.answer(turn)) is not None:
            step.claims.pop(turn.ticket.leg, None)
            self._sender.send(PassUp(turn))

    def send(self, order: SendAttempt) -> None:
        """Send a placed attempt, unless it was lost or withdrawn meanwhile."""
        step = self._steps.get((order.job, order.step))
        if step is not None and not step.withdrawn and order.attempt in step.open:
            step.open[order.attempt] = True
            self._sender.send(order)

    def withdraw(self, orders: Sequence[Withdraw]) -> None:
        """Steps are over. Of what was placed the ends are still to be heard; all else is forgotten."""
        for order in orders:
            name = (order.job, order.step)
            step = self._steps.get(name)
            if step is None or step.withdrawn:
                continue
            self._sender.send(order)
            step.withdrawn = True
            step.claims.clear()
            step.turns.clear()
            self._steps.forget_if_over(name)

    def receive(self, report: Report) -> None:
        """Take a report of the other shard's targets. Of what was withdrawn only ends count: all else comes
        back by itself with the withdrawal.
        """
        if isinstance(report, AttemptEnded):
            self._ended(report)
            return
        step = self._steps.get(step_of_record(report))
        if step is not None and not step.withdrawn:
            self._tell(step, report)

    def begin(self, jobs: Jobs) -> None:
        """Tell ``jobs`` of their attempts and turns from now on."""
        self._jobs = jobs

    def line_up_anew(self) -> None:
        """A session has begun: line up whatever waits."""
        for step in self._steps.values():
            for order in step.claims.values():
                self._sender.send(order)

    def session_lost(self) -> None:
        """What was there is gone: what waits lines up anew in the next session, attempts are lost."""
        for step in self._steps.values():
            step.turns.clear()
            step.order = None
        for (job, number), step in list(self._steps.items()):
            for attempt, sent in list(step.open.items()):
                self._ended(AttemptEnded(job, number, attempt, _LOST if sent else _LOST_UNSENT))

    def _tell(self, step: _StepAway, report: Turn | Placed | Started | Late | Shut | RegionsGone) -> None:
        match report:
            case Turn():
                self._steps.offer(step, report)
                if self._draining:
                    self.pass_up(report)
                else:
                    self._jobs.turn(report)
            case Placed():
                self._placed(step, report)
            case Started():
                self._jobs.started(report)
            case Late():
                self._jobs.late(report)
            case Shut():
                self._jobs.shut(report)
            case RegionsGone():
                step.claims.pop(report.leg, None)
                self._jobs.gone(report)

    def _placed(self, step: _StepAway, placed: Placed) -> None:
        step.claims.pop(placed.leg, None)
        if step.order is not None:
            begun = begun_order(step.order, placed.leg)
            for claim in sibling_claims(step.order, begun, placed.leg):
                step.claims[claim.ticket.leg] = LineUp(claim, spends=False)
        step.open[placed.attempt] = False
        self._jobs.placed(placed)

    def _ended(self, ended: AttemptEnded) -> None:
        name = (ended.job, ended.step)
        step = self._steps.get(name)
        if step is not None and step.open.pop(ended.attempt, None) is not None:
            self._steps.forget_if_over(name)
            self._jobs.ended(ended)


_LOST = Ended(None, Fault.LOST, "the target's shard was lost while the request was under way")
_LOST_UNSENT = Ended(
    None, Fault.LOST, "the target's shard was lost before the request was sent", written=False
)
