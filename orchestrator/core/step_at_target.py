"""A step that is at work at its target: which of its legs wait there, and which attempts it has."""

from msgspec import Struct

from orchestrator.domain.ids import AttemptId, RegionName
from orchestrator.ports.clock import Timer
from orchestrator.ports.targets import Claim, RunStep


class OpenLeg(Struct):
    """A leg that goes. ``permit`` is None once its attempt is sent: the dispatcher holds it then."""

    leg: int
    region: RegionName
    permit: int | None


class StepAtTarget:
    """There is one from the first leg that a supervisor lines up or that goes out, until it is withdrawn.
    Of a job that only waits for its first permit there is none.
    """

    __slots__ = ("claims", "hedges", "open", "order")

    def __init__(self) -> None:
        self.order: RunStep | None = None
        """The latest that went out."""
        self.claims: dict[int, Claim] = {}
        """Of the legs that wait, be it in a queue or kept away from it."""
        self.open: dict[AttemptId, OpenLeg] = {}
        self.hedges: dict[AttemptId, Timer] | None = None
        """Most steps are no hedges."""

    def watch(self, attempt: AttemptId, timer: Timer) -> None:
        """Wait for an attempt to be late."""
        if self.hedges is None:
            self.hedges = {}
        self.hedges[attempt] = timer

    def close(self, attempt: AttemptId) -> None:
        """An attempt is over; nobody waits any more for it to be late."""
        self.open.pop(attempt, None)
        timer = self.hedges.pop(attempt, None) if self.hedges is not None else None
        if timer is not None:
            timer.cancel()
