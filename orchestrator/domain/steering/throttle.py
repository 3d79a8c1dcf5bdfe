"""What a target asked of a domain, or of one account there, for the time being."""

import math
from collections.abc import Iterator

from msgspec import Struct

from orchestrator.domain.headers.budgets import Budget, BudgetUnit
from orchestrator.domain.headers.signals import LONGEST_WAIT_S
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.pace.active_limits import REFUSALS, RETRY_AFTER, ActiveLimit, ActiveLimitKind
from orchestrator.domain.pace.aimd import TriedRate
from orchestrator.domain.pace.pacing import CATCH_UP_S, Outlook, Pace
from orchestrator.domain.steering.quotas import Quotas
from orchestrator.domain.steering.refusals import Refusals
from orchestrator.domain.steering.told_pace import ToldPace


class Passage(Struct, frozen=True):
    """A request's way through a throttle. ``permit`` is of the pace that the throttle was told, if any;
    ``adopted``: another let it out. ``slot_s`` is the time that it took of a rate found by trying.
    """

    throttle: "Throttle"
    cost: float
    permit: int | None
    adopted: bool = False
    slot_s: float = 0.0

    def paced(self) -> "Passage":
        """Let it start in a window of the throttle's pace, though it passed before there was one."""
        if self.permit is not None:
            return self
        permit = self.throttle.told.starts.adopt()
        return Passage(self.throttle, self.cost, permit, adopted=True, slot_s=self.slot_s)

    def started(self, at: float) -> None:
        """Its first byte was written at monotonic ``at``."""
        if self.permit is not None:
            self.throttle.told.starts.started(self.permit, at)

    def unused(self, now: float) -> None:
        """It was not written: it gives everything back."""
        if self.permit is not None:
            starts = self.throttle.told.starts
            (starts.dismiss if self.adopted else starts.unused)(self.permit)
        self.throttle.refund(self.cost, self.slot_s)
        self.closed(now)

    def closed(self, now: float) -> None:
        """It is over."""
        if self.permit is not None:
            self.throttle.told.starts.closed(self.permit, now)
        self.throttle.out -= 1
        self.throttle.cost_out -= self.cost


class Throttle:
    """Pauses, a rate and budgets that hold together. Times are monotonic seconds; it only ever slows."""

    __slots__ = (
        "_last",
        "_paused_until",
        "_quotas",
        "_slot",
        "_tried",
        "cost_out",
        "counts_all",
        "heard_by",
        "out",
        "refusals",
        "told",
    )

    def __init__(self) -> None:
        self.out = 0
        """Requests in flight that this throttle let out."""
        self.cost_out = 0.0
        """Their tokens."""
        self.counts_all = False
        """Whether what was let out before it was there is among them."""
        self._paused_until = -math.inf
        self.told = ToldPace()
        """The pace that it keeps to."""
        self.heard_by: CustomerId | None = None
        """Whose request was told last what it asks; None where nobody's since the start."""
        self._tried: TriedRate | None = None
        self.refusals: Refusals | None = None
        """What is known of those that are a matter of this throttle."""
        self._quotas = Quotas()
        self._slot = -math.inf
        self._last = -math.inf

    @property
    def paused_until(self) -> float:
        """When its pause ends; in the past where there is none."""
        return self._paused_until

    def pace(self, now: float) -> Pace | None:
        """Give the pace that it keeps to, what it was told or otherwise; None where there is none."""
        return self.told.now(now)

    def tried_rate(self, now: float) -> float | None:
        """The rate found by trying (requests per second), while refusals without a word keep it low."""
        return None if self._tried is None else self._tried.rate(now)

    def rate(self, now: float) -> float:
        """Say how many requests a second it lets through at most, budgets and pauses apart."""
        pace = self.pace(now)
        told = math.inf if pace is None else pace.rps
        return told if self._tried is None else min(told, self._tried.rate(now))

    def next_at(self, now: float, cost: float) -> float:
        """When a request may go: ``now`` or later; infinite where one in flight has to end first."""
        told_at = self.told.next_at(now, self.out)
        if told_at is None:
            return math.inf
        due = max(now, self._paused_until, told_at)
        if self._tried is not None:
            due = max(due, self._tried.next_at(self._slot, now))
        return self._quotas.next_at(due, cost)

    def outlook(self, now: float, place_s: float) -> Outlook:
        """Estimate the next starts, budgets apart, where a place in flight is held for ``place_s``."""
        interval_s = self._tried_interval_s(now)
        tried = Outlook(max(now, self._paused_until, self._slot + interval_s), interval_s)
        kept = self.told.limiter(now)
        return tried if kept is None else tried.joined(kept.outlook(now, place_s))

    def paid_at(self, now: float, cost: float, count: int) -> float:
        """Estimate when budgets have paid for ``count`` requests of this cost."""
        return self._quotas.paid_at(now, cost, count)

    def spend(self, now: float, cost: float) -> Passage:
        """Let a request out."""
        self.out += 1
        self.cost_out += cost
        self._last = now
        slot_s = self._tried_interval_s(now)
        self._slot = max(self._slot + slot_s, now - CATCH_UP_S)
        self._quotas.spend(now, cost)
        kept = self.told.limiter(now)
        return Passage(self, cost, None if kept is None else kept.take(now), slot_s=slot_s)

    def adopt(self, cost: float, *, yet_to_start: bool) -> Passage:
        """Count a request as in flight that was let out before this throttle minded it. One that is
        ``yet_to_start`` starts in a window of this throttle's pace.
        """
        self.out += 1
        self.cost_out += cost
        return Passage(self, cost, self.told.starts.adopt() if yet_to_start else None, adopted=True)

    def refund(self, cost: float, slot_s: float) -> None:
        """Take back what a request did not use of the budgets, and of a rate found by trying."""
        self._quotas.refund(cost)
        self._slot -= slot_s

    def pause(self, until: float, now: float) -> None:
        """Let nothing out before ``until``."""
        self._paused_until = max(self._paused_until, min(until, now + LONGEST_WAIT_S))

    def learn(self, budget: Budget, now: float, *, told_at: float, own_cost: float | None) -> None:
        """Follow a budget, as an answer tells it. Other requests in flight may not be counted in it yet.

        Args:
            budget: What is left.
            now: The present.
            told_at: When the answer came.
            own_cost: Tokens of the request that it answers; None where that is not counted here.

        """
        if budget.remaining is None:
            return
        out = self._others_out(budget.unit, own_cost)
        self._quotas.follow(
            budget, budget.remaining, in_flight=out, now=now, since=self._last, told_at=told_at
        )

    def refused(self, job: JobId, started_at: float, now: float, *, ceiling: float, begin: float) -> bool:
        """A request was refused without a word about when or how much; say whether that lowered the rate.

        Args:
            job: Whose it was.
            started_at: When it started.
            now: The present.
            ceiling: The pace in force, in requests per second.
            begin: The rate at which refusals began, where it is the first.

        """
        if self._tried is None:
            self._tried = TriedRate(ceiling, begin)
        return self._tried.refused(job, started_at, now)

    def answered(self, job: JobId, started_at: float, now: float, *, ceiling: float) -> None:
        """A request of ``job`` was let through; the trying is over once the rate is back at ``ceiling``."""
        if self._tried is not None:
            self._tried.answered(job, started_at)
            if self._tried.rate(now) >= ceiling:
                self._tried = None

    def hold_rate(self, now: float) -> None:
        """Nobody is let through: time alone does not bring the rate back."""
        if self._tried is not None:
            self._tried.hold(now)

    def withdraw(self, job: JobId) -> None:
        """Take back what a job's refusal did to the rate."""
        if self._tried is not None:
            self._tried.withdraw(job)
            self._tried = self._tried if self._tried.lowered else None

    def forget_rate(self) -> None:
        """Go by a rate found by trying no longer."""
        self._tried = None

    def try_rate(self, ceiling: float, begin: float, now: float) -> None:
        """Go on from a rate that was found before."""
        self._tried = TriedRate(ceiling, begin, kept_at=now)

    def take_tried_rate(self, other: "Throttle") -> None:
        """Go on from the rate that another throttle found by trying; that one goes by it no longer."""
        self._tried, other._tried = other._tried or self._tried, None  # noqa: SLF001  # of its own kind
        self._slot = max(self._slot, other._slot)  # noqa: SLF001  # what it let out last was this one's

    def active_limits(self, now: float) -> Iterator[ActiveLimit]:
        """Show what holds requests back."""
        if now < self._paused_until:
            yield ActiveLimit(
                kind=ActiveLimitKind.PAUSE, source=RETRY_AFTER, until=self._paused_until, rps=0.0
            )
        if (told := self.told.state(now)) is not None:
            yield active_pace(told.pace, told.source, told.lapses_at)
        if self._tried is not None:
            yield ActiveLimit(kind=ActiveLimitKind.SLOWED, source=REFUSALS, rps=self._tried.rate(now))
        yield from self._quotas.active_limits(now)

    def at_rest(self, now: float) -> bool:
        """Whether nothing holds any more. Budgets whose reset has passed are dropped."""
        self._quotas.drop_expired(now)
        over_at = max(self._paused_until, self.told.lapses_at(now, self._last))
        holds = now < over_at or self._tried or self._quotas
        return not (holds or self.out) and (self.refusals is None or self.refusals.at_rest(now))

    def _others_out(self, unit: BudgetUnit, own_cost: float | None) -> float:
        if unit is BudgetUnit.TOKENS:
            return max(0.0, self.cost_out - (own_cost or 0.0))
        return max(0, self.out - (own_cost is not None))

    def _tried_interval_s(self, now: float) -> float:
        return 0.0 if self._tried is None else 1 / self._tried.rate(now)


def active_pace(pace: Pace, source: str, until: float | None) -> ActiveLimit:
    """Show a pace that a target told."""
    return ActiveLimit(
        kind=ActiveLimitKind.PACE,
        source=source,
        until=until,
        rps=pace.rps,
        max_concurrent=pace.max_concurrent,
    )
