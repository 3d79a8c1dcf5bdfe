"""Which shard a message is for: that of its target, or that of its job."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from orchestrator.core.shards.session_messages import StepName
from orchestrator.domain.ids import JobId, ShardName, TargetDomain, shard_of_attempt
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
    Targets,
    Turn,
    Withdraw,
)


class TargetRouter:
    """``Targets`` of every shard.

    Args:
        own_name: This shard's.
        own: Its targets.
        there: Those of the others.
        owner: Says which shard a target is at.
    """

    def __init__(
        self,
        own_name: ShardName,
        own: Targets,
        there: Mapping[ShardName, Targets],
        owner: Callable[[TargetDomain], ShardName],
    ) -> None:
        self._by_shard = {own_name: own, **there}
        self._owner = owner

    def line_up(self, claim: Claim, *, spends: bool = False) -> None:
        """Let a leg wait for its permit."""
        self._at(claim.domain).line_up(claim, spends=spends)

    def run(self, order: RunStep) -> None:
        """Use a turn."""
        self._at(order.turn.domain).run(order)

    def pass_up(self, turn: Turn) -> None:
        """Nobody wants this turn any more."""
        self._at(turn.domain).pass_up(turn)

    def send(self, order: SendAttempt) -> None:
        """Send a placed attempt: by the shard that has placed it."""
        self._by_shard[shard_of_attempt(order.attempt)].send(order)

    def withdraw(self, orders: Sequence[Withdraw]) -> None:
        """Steps are over."""
        by_shard: defaultdict[ShardName, list[Withdraw]] = defaultdict(list)
        for order in orders:
            by_shard[self._owner(order.domain)].append(order)
        for shard, its_orders in by_shard.items():
            self._by_shard[shard].withdraw(its_orders)

    def _at(self, domain: TargetDomain) -> Targets:
        return self._by_shard[self._owner(domain)]


class JobRouter:
    """``Jobs`` of every shard that have steps at this one's targets.

    Args:
        own: This shard's.
        homes: Of every step that is another shard's, whom to tell.
    """

    def __init__(self, own: Jobs, homes: Mapping[StepName, Jobs]) -> None:
        self._own = own
        self._homes = homes

    def turn(self, turn: Turn) -> None:
        """A ticket has its turn."""
        self._of(turn.ticket.job_id, turn.ticket.step).turn(turn)

    def placed(self, placed: Placed) -> None:
        """A leg has its permit and its region."""
        self._of(placed.job, placed.step).placed(placed)

    def started(self, started: Started) -> None:
        """An attempt's first byte was written."""
        self._of(started.job, started.step).started(started)

    def ended(self, ended: AttemptEnded) -> None:
        """An attempt is over."""
        self._of(ended.job, ended.step).ended(ended)

    def late(self, late: Late) -> None:
        """A hedge may want a further leg."""
        self._of(late.job, late.step).late(late)

    def shut(self, shut: Shut) -> bool:
        """A step may go on elsewhere; say whether it did at once."""
        return self._of(shut.job, shut.step).shut(shut)

    def gone(self, gone: RegionsGone) -> None:
        """A leg can't run."""
        self._of(gone.job, gone.step).gone(gone)

    def _of(self, job: JobId, step: int) -> Jobs:
        return self._homes.get((job, step), self._own)
