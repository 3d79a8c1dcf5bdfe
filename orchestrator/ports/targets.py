"""How jobs and targets speak to each other: in records that name things and hold none, so that they may cross
a process border.

A job's supervisor says what it wants of a target. The target's side has the queue, the pace, the breakers,
the choice of region, the turns of siblings, the moment of a hedge, the permits and the attempts. What becomes
of the job is the supervisor's alone. Attempt ids carry the shard and the epoch of the target's side.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from orchestrator.domain.exchange import HttpRequest
from orchestrator.domain.execution.run import NOWHERE, Site
from orchestrator.domain.execution.settling import Ended, Failure, FailureCode
from orchestrator.domain.execution.step_plan import StepPlan
from orchestrator.domain.health.breaker import Cause
from orchestrator.domain.ids import AttemptId, JobId, RegionName, TargetDomain
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import PathClass


class Claim(Struct, frozen=True):
    """A leg that wants a permit of ``domain``. ``spare``: it uses only what no first leg of its target wants.

    ``may_leave``: its step has a fallback.
    """

    domain: TargetDomain
    ticket: Ticket
    spare: bool = False
    may_leave: bool = False


class Turn(Struct, frozen=True):
    """The turn of a ticket has come: it has a permit, which is used or comes back."""

    domain: TargetDomain
    ticket: Ticket
    permit: int


class RunStep(Struct, frozen=True):
    """Use a turn for the step, as ``plan`` has it. ``path`` is what the request asks for."""

    turn: Turn
    plan: StepPlan
    path: PathClass
    may_leave: bool


class SendAttempt(Struct, frozen=True):
    """Send the request of an attempt that was ``Placed``. ``once``: it may be sent once only, and is marked
    before it goes.
    """

    job: JobId
    step: int
    attempt: AttemptId
    request: HttpRequest
    once: bool = False


class Withdraw(Struct, frozen=True):
    """A step is over: nobody waits for its permits any more, and its attempts are cancelled. ``claim`` is
    what may wait of a step of which nothing went out.
    """

    domain: TargetDomain
    job: JobId
    step: int
    regions: tuple[RegionName, ...]
    claim: Claim | None = None


class Placed(Struct, frozen=True):
    """A leg has its permit and its region, and ``at`` which of its nodes: its attempt is to be sent now."""

    job: JobId
    step: int
    leg: int
    attempt: AttemptId
    region: RegionName
    at: Site = NOWHERE


class Started(Struct, frozen=True):
    """An attempt's first byte was written (Unix ms)."""

    job: JobId
    step: int
    attempt: AttemptId
    started_ms: int


class AttemptEnded(Struct, frozen=True):
    """An attempt is over. ``healthy`` are the regions where it might go on, the fastest first."""

    job: JobId
    step: int
    attempt: AttemptId
    ended: Ended
    healthy: tuple[RegionName, ...] = ()


class Late(Struct, frozen=True):
    """An attempt of a hedge takes longer than the target's answers do."""

    job: JobId
    step: int
    attempt: AttemptId


class Shut(Struct, frozen=True):
    """Every way that a step that waits may take to its target is shut, by ``cause``."""

    job: JobId
    step: int
    cause: Cause


class RegionsGone(Struct, frozen=True):
    """A leg that had its turn may run in ``regions`` only, and they have been down for ``down_s``."""

    job: JobId
    step: int
    leg: int
    regions: tuple[RegionName, ...]
    down_s: float

    @property
    def failure(self) -> Failure:
        """Say what the leg ends with."""
        return Failure(FailureCode.REGIONS_DOWN, f"{', '.join(self.regions)} down for {self.down_s:g} s")


class Targets(Protocol):
    """The targets' side, as jobs see it."""

    def line_up(self, claim: Claim, *, spends: bool = False) -> None:
        """Let a leg wait for its permit; one that ``spends`` waits for the target's retry budget first."""

    def run(self, order: RunStep) -> None:
        """Use a turn: for a leg that can be sent now, which is then ``placed``; else the leg waits on, or is
        told of as ``shut`` or ``gone``.
        """

    def pass_up(self, turn: Turn) -> None:
        """Nobody wants this turn any more."""

    def send(self, order: SendAttempt) -> None:
        """Send a placed attempt. One that was withdrawn meanwhile is not sent."""

    def withdraw(self, orders: Sequence[Withdraw]) -> None:
        """Steps are over: none of them starts anything from here on."""


class Jobs(Protocol):
    """The jobs' side, as targets see it."""

    def turn(self, turn: Turn) -> None:
        """Answer with ``run`` or ``pass_up``, at once or once the job is read."""

    def placed(self, placed: Placed) -> None:
        """Answer with ``send``."""

    def started(self, started: Started) -> None:
        """An attempt's first byte was written."""

    def ended(self, ended: AttemptEnded) -> None:
        """An attempt is over. Each that was ``placed`` is told of so, one of a step that was withdrawn too,
        whether it was sent or not.
        """

    def late(self, late: Late) -> None:
        """A hedge may want a further leg."""

    def shut(self, shut: Shut) -> bool:
        """A step may go on elsewhere; say whether it did at once: it was withdrawn then."""

    def gone(self, gone: RegionsGone) -> None:
        """A leg can't run: its turn is passed up."""
