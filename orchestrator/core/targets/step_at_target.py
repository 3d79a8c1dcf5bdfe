"""A step that is at work at its target: which of its legs wait there, and which attempts it has."""

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.ids import AttemptId, CustomerId, RegionName, TargetDomain
from orchestrator.domain.jobs.job import HedgePolicy
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.ports.clock import Timer
from orchestrator.ports.targets import Claim, RunStep


class OpenLeg(Struct):
    """A leg that goes. ``permit`` is None once its attempt is sent: the dispatcher holds it then. ``named``:
    its job names the region.
    """

    leg: int
    region: RegionName
    permit: int | None
    named: bool


class Watch(Struct):
    """An attempt that goes since ``since`` (monotonic s). ``first``: no other leg went before it.
    ``late``: it took longer than its policy's quantile.
    """

    domain: TargetDomain
    region: RegionName
    customer: CustomerId
    policy: HedgePolicy
    first: bool
    since: float
    timer: Timer | None = None
    late: bool = False


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
        self.hedges: dict[AttemptId, Watch] | None = None
        """Most steps are no hedges."""

    def watch(self, attempt: AttemptId, watch: Watch) -> None:
        """Keep how an attempt of a hedge stands."""
        if self.hedges is None:
            self.hedges = {}
        self.hedges[attempt] = watch

    def take_claim(self, attempt: AttemptId) -> Claim | None:
        """Take the claim of an attempt that waits on a ready connection; None where it claims nothing."""
        opened = self.open.get(attempt)
        return None if opened is None else self.claims.pop(opened.leg, None)

    def close(self, attempt: AttemptId) -> Watch | None:
        """An attempt is over; return what ``watch`` kept of it."""
        self.open.pop(attempt, None)
        return self.unwatch(attempt)

    def unwatch(self, attempt: AttemptId) -> Watch | None:
        """Return what ``watch`` kept of an attempt, and keep it no more."""
        return self.hedges.pop(attempt, None) if self.hedges is not None else None


def begun_order(order: RunStep, leg: int) -> RunStep:
    """Give the order as it stands once a leg has gone out: the first one of a step is known from then on,
    whoever's turn it was.
    """
    plan = order.plan
    return replace(order, plan=plan.begun_by(leg)) if not plan.sent and len(plan.legs) > 1 else order


def sibling_claims(order: RunStep, begun: RunStep, leg: int) -> list[Claim]:
    """Write the claims of the legs that line up once the first one has gone out; those of a hedge do not."""
    if begun is order or not order.plan.mode.conduct.together:
        return []
    return [claim_in(begun, sibling) for sibling in order.plan.waiting if sibling != leg]


def claim_in(order: RunStep, leg: int) -> Claim:
    """Write the claim of a leg of the same step; whatever its ticket did not say, the order does."""
    ours = order.turn.ticket
    ticket = Ticket(
        ours.order_key, ours.job_id, leg, ours.customer, ours.step, ours.account, ours.cost, order.path
    )
    return Claim(order.turn.domain, ticket, order.plan.is_spare(leg), order.may_leave)
