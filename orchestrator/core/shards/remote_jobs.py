"""Jobs that live in another shard, as this shard's targets see them."""

from typing import assert_never

from msgspec import field

from orchestrator.core.shards.newcomers import Newcomers
from orchestrator.core.shards.session_messages import (
    DeliveriesStored,
    JobStored,
    LineUp,
    Order,
    PassUp,
    SessionSender,
    StepName,
)
from orchestrator.core.shards.steps_across import StepAcross, StepsAcross
from orchestrator.domain.ids import AttemptId, RegionName, TargetDomain
from orchestrator.ports.targets import (
    AttemptEnded,
    Jobs,
    Late,
    Placed,
    RegionsGone,
    RunStep,
    SendAttempt,
    Shut,
    Started,
    Targets,
    Turn,
    Withdraw,
)


class _StepHere(StepAcross, kw_only=True):
    """What a step of another shard's job has here, so that it can be taken back. Turns are by permit."""

    domain: TargetDomain
    regions: tuple[RegionName, ...] = ()
    open: set[AttemptId] = field(default_factory=set)

    @property
    def attempts(self) -> set[AttemptId]:
        """Attempts that were placed, and are not over."""
        return self.open


class RemoteJobs:
    """``Jobs`` whose messages travel to another shard, from where their orders come.

    Args:
        targets: This shard's.
        sender: Sends to the other shard's ``RemoteTargets``.
        homes: Whose each step is that is not of this shard's own jobs: kept here.
    """

    _newcomers: Newcomers

    def __init__(self, targets: Targets, sender: SessionSender, homes: dict[StepName, Jobs]) -> None:
        self._targets = targets
        self._sender = sender
        self._homes = homes
        self._steps: StepsAcross[_StepHere] = StepsAcross(lambda turn: turn.permit, self._forgotten)

    def __len__(self) -> int:
        """Count the steps that have anything here."""
        return len(self._steps)

    def begin(self, newcomers: Newcomers) -> None:
        """Tell ``newcomers`` of what the other shard has put on disk for this one."""
        self._newcomers = newcomers

    def receive(self, order: Order) -> None:
        """Take an order of the other shard's jobs."""
        match order:
            case LineUp(claim, spends):
                self._at_work((claim.ticket.job_id, claim.ticket.step), claim.domain)
                self._targets.line_up(claim, spends=spends)
            case RunStep(turn, plan):
                if (step := self._steps.answer(turn)) is not None:
                    step.regions = plan.listed
                    self._targets.run(order)
            case PassUp(turn):
                if self._steps.answer(turn) is not None:
                    self._targets.pass_up(turn)
            case SendAttempt():
                self._send(order)
            case Withdraw():
                self._withdraw(order)
            case JobStored(job):
                self._newcomers.job_stored(job)
            case DeliveriesStored(job):
                self._newcomers.deliveries_stored(job)
            case _:
                assert_never(order)

    def end(self) -> None:
        """The session is over: take back all that its jobs have here."""
        self._sender.end()
        steps = list(self._steps.items())
        for _, step in steps:
            step.withdrawn = True
        self._targets.withdraw([Withdraw(s.domain, job, n, s.regions) for (job, n), s in steps])
        for name, step in steps:
            self._take_turns_back(step)
            self._steps.forget(name)

    def turn(self, turn: Turn) -> None:
        """A ticket has its turn."""
        step = self._steps[turn.ticket.job_id, turn.ticket.step]
        if step.withdrawn:
            self._targets.pass_up(turn)
        else:
            self._steps.offer(step, turn)
            self._sender.send(turn)

    def placed(self, placed: Placed) -> None:
        """A leg has its permit and its region."""
        self._steps[placed.job, placed.step].open.add(placed.attempt)
        self._sender.send(placed)

    def started(self, started: Started) -> None:
        """An attempt's first byte was written."""
        self._sender.send(started)

    def ended(self, ended: AttemptEnded) -> None:
        """An attempt is over."""
        name = (ended.job, ended.step)
        step = self._steps[name]
        if ended.attempt in step.open:
            step.open.remove(ended.attempt)
            self._sender.send(ended)
            self._steps.forget_if_over(name)

    def late(self, late: Late) -> None:
        """A hedge may want a further leg."""
        self._sender.send(late)

    def shut(self, shut: Shut) -> bool:
        """A step may go on elsewhere; whether it does is heard later."""
        self._sender.send(shut)
        return False

    def gone(self, gone: RegionsGone) -> None:
        """A leg can't run."""
        self._sender.send(gone)

    def _send(self, order: SendAttempt) -> None:
        step = self._steps.get((order.job, order.step))
        if step is not None and order.attempt in step.open:
            self._targets.send(order)

    def _withdraw(self, order: Withdraw) -> None:
        name = (order.job, order.step)
        if (step := self._steps.get(name)) is None:
            return
        step.withdrawn = True
        self._targets.withdraw([order])
        self._take_turns_back(step)
        self._steps.forget_if_over(name)

    def _take_turns_back(self, step: _StepHere) -> None:
        turns, step.turns = step.turns, {}
        for turn in turns.values():
            self._targets.pass_up(turn)

    def _at_work(self, name: StepName, domain: TargetDomain) -> None:
        if name not in self._steps:
            self._steps[name] = _StepHere(domain=domain)
            self._homes[name] = self

    def _forgotten(self, name: StepName) -> None:
        del self._homes[name]
        self._sender.forget(name)
