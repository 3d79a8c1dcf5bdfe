"""What one domain's target said, and whom that binds.

``X-EZTHROTTLE-*``, ``X-Aqueduct-*`` and 503s bind the domain; a 429 or a budget that answers a request with
credentials binds that account, and the domain once two accounts hear it. What lowers a domain's pace and
only one customer hears binds others for a minute at most; it binds that customer as long as it was meant.
Another customer bears witness only to what it was told as strictly, of the same kind.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from http import HTTPStatus

from orchestrator.domain.active_limits import ActiveLimit, Scope
from orchestrator.domain.budgets import Budget, BudgetUnit, read_budgets
from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.pacing import Limiter, Pace, PaceCaps, PaceState, steer
from orchestrator.domain.signals import CONCURRENT_MOST, RPS_LEAST, SILENT, Signal, read_signal, retry_after_s
from orchestrator.domain.throttle import Throttle, active_pace
from orchestrator.domain.witnesses import Asked, Soloists, Witnesses

PACE_WINDOW_MOST_S = 60.0
"""A quota of so short a window is a pace; one of a longer window may be used up faster at first."""
SHORT_WINDOW_S = 2.0
OURS = 0.9
"""Where so much of a short window's quota was ours, an empty one says nothing that the pace does not keep."""
SWITCHED_AT_MOST_EVERY_S = 60.0
THROTTLES_MOST = 10_000
SWEPT_FROM = 64
_REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class _Word(Enum):
    """What a target may say."""

    PACE = auto()
    PAUSE = auto()
    REFUSAL = auto()


_Kind = _Word | BudgetUnit
"""What witnesses can bear witness to. Each kind has its own: a budget says nothing of a pause."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer, and whose request it answers. ``started_at`` and ``answered_at`` are monotonic seconds;
    ``probe``: the request tried whether the target is back, one at a time.
    """

    status: int
    headers: dict[str, str]
    customer: CustomerId
    account: AccountId | None
    started_at: float
    answered_at: float
    probe: bool = False

    @property
    def refused(self) -> bool:
        """Whether the target may bear no more. A 503 to a probe only says that it is not back yet."""
        return self.status in _REFUSALS and not (self.probe and self.status == HTTPStatus.SERVICE_UNAVAILABLE)

    @property
    def binds_account(self) -> bool:
        """Whether what it refuses or budgets is the account's matter."""
        return self.account is not None and self.status != HTTPStatus.SERVICE_UNAVAILABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a target has taught, as it is kept on disk. Times are Unix ms. What it did not say is None: that
    is the operator's to change.
    """

    pace: Pace | None = None
    lapses_ms: int | None = None
    account_queues: bool | None = None
    paused_until_ms: int | None = None
    tried_rps: float | None = None
    accounts_paused: tuple[tuple[str, int], ...] = ()
    source: str = field(default="", compare=False)


def customer_key(customer: CustomerId) -> str:
    """Name the throttle that binds a customer, whatever its account."""
    return f"@{customer}"


class Steering:
    """The pace in force at one domain, and the throttles of the domain, its accounts and customers."""

    __slots__ = (
        "_base",
        "_before",
        "_caps",
        "_queues_by_default",
        "_queues_told",
        "_refused",
        "_soloists",
        "_swept_at",
        "_switched_at",
        "_told_at",
        "_told_customer",
        "_witnesses",
        "state",
        "throttle",
        "throttles",
    )

    def __init__(self, base: Pace, caps: PaceCaps, *, account_queues: bool = False) -> None:
        self._base = base
        self._caps = caps
        self._queues_by_default = account_queues
        self._queues_told: bool | None = None
        self.state = PaceState(base)
        self.throttle: Throttle | None = None
        """The domain's own."""
        self.throttles: dict[str, Throttle] | None = None
        """By account id, or ``customer_key``."""
        # Most domains never need these: an idle one has to be small.
        self._witnesses: dict[tuple[_Kind, bool], Witnesses] | None = None
        self._soloists: Soloists | None = None
        self._told_customer: CustomerId | None = None
        """Who was told the pace in force."""
        self._before: PaceState | None = None
        """What held before one customer alone was told of a lower pace."""
        self._refused: tuple[CustomerId, float] | None = None
        """Who alone was refused without a word, and until when that binds the whole domain."""
        self._switched_at = float("-inf")
        self._told_at = float("-inf")
        self._swept_at = SWEPT_FROM

    @property
    def steered(self) -> bool:
        """Whether the pace in force is not the one that it began with."""
        return self.state.pace != self._base

    @property
    def account_queues(self) -> bool:
        """Whether each account has a queue of its own."""
        return self._queues_by_default if self._queues_told is None else self._queues_told

    @property
    def next_change_at(self) -> float:
        """When something lapses by itself; infinite where nothing does."""
        lapses_at = self.state.lapses_at
        handed_over_at = self._refused[1] if self._refused is not None else math.inf
        return handed_over_at if lapses_at is None else min(lapses_at, handed_over_at)

    def at_rest(self, now: float) -> bool:
        """Whether nothing that was told holds any more."""
        holding = [self.throttle] if self.throttle is not None else []
        holding += (self.throttles or {}).values()
        told = self.steered or self._queues_told is not None or self._refused is not None
        return not told and all(throttle.at_rest(now) for throttle in holding)

    def throttles_of(self, customer: CustomerId, account: AccountId | None) -> list[tuple[str, Throttle]]:
        """List what binds a customer's requests with an account, besides the domain's own throttle."""
        if not self.throttles:
            return []
        keys = (customer_key(customer), *((account,) if account else ()))
        return [(key, self.throttles[key]) for key in keys if key in self.throttles]

    def active_limits(self, now: float) -> Iterator[ActiveLimit]:
        """Show what holds the domain's requests back, besides the pace that it began with."""
        if self.steered:
            yield active_pace(self.state.pace, self.state.source, self.state.lapses_at)
        if self.throttle is not None:
            yield from self.throttle.active_limits(now)

    def active_limits_for(self, customer: CustomerId, now: float) -> Iterator[ActiveLimit]:
        """Show what binds a customer here, or the accounts whose answers it was last to hear."""
        own = (self.throttles or {}).get(customer_key(customer))
        # While what one customer was told holds the whole domain, it stands there.
        all_of_it = {(signal.kind, signal.source, signal.rps) for signal in self.active_limits(now)}
        for signal in own.active_limits(now) if own is not None else ():
            if (signal.kind, signal.source, signal.rps) not in all_of_it:
                yield replace(signal, binds=Scope.CUSTOMER)
        for key, throttle in (self.throttles or {}).items():
            for signal in throttle.active_limits(now) if throttle.heard_by == customer else ():
                yield replace(signal, binds=Scope.ACCOUNT, account=AccountId(key))

    def hear(self, heard: Heard, limiter: Limiter, now: float, at: datetime) -> bool:
        """Take what an answer says about pace; say whether anything changed that outlives a restart."""
        signal = read_signal(heard.headers)
        budgets = read_budgets(heard.headers, at)
        wait_s = retry_after_s(heard.headers, at)
        changed = not signal.silent and self._tell(signal, heard, now)
        for budget in budgets:
            changed |= self._learn(budget, signal, heard, limiter, now)
        if wait_s is not None:
            return self._pause(heard, now, wait_s) or changed
        if heard.refused and signal.silent and not any(budget.exhausted for budget in budgets):
            return self._slow_down(heard, limiter, now) or changed
        if heard.status not in _REFUSALS:
            self._answered(heard)
        return changed

    def lapse(self, now: float) -> bool:
        """Let go of what is over; say whether the pace changed."""
        before = self.state
        if self._refused is not None and now >= self._refused[1]:
            self._hand_over(self._refused[0], now)
        if self.state.lapses_at is not None and now >= self.state.lapses_at:
            self.state, self._told_customer, self._before = self._fallen_back(now), None, None
        if self.throttle is not None and self.throttle.at_rest(now):
            self.throttle = None
        return self.state.pace != before.pace

    def learned(self, now: float, unix_ms: int) -> Learned:
        """Write down what has to outlive a restart."""

        def unix(at: float) -> int:
            return unix_ms + int((at - now) * 1000)

        lapses_at, throttle = self.state.lapses_at, self.throttle
        paused = throttle is not None and throttle.paused_until > now
        accounts = (self.throttles or {}).items()
        return Learned(
            pace=self.state.pace if self.steered else None,
            source=self.state.source,
            lapses_ms=None if lapses_at is None else unix(lapses_at),
            account_queues=self._queues_told,
            paused_until_ms=unix(throttle.paused_until) if throttle is not None and paused else None,
            tried_rps=throttle.tried_rate if throttle is not None else None,
            accounts_paused=tuple((key, unix(t.paused_until)) for key, t in accounts if t.paused_until > now),
        )

    def restore(self, learned: Learned, now: float, unix_ms: int) -> None:
        """Take up again what was written down; what has lapsed meanwhile is left."""

        def monotonic(at_ms: int) -> float:
            return now + (at_ms - unix_ms) / 1000

        self._queues_told = learned.account_queues
        if (pace := learned.pace) is not None:
            told = Signal(rps=pace.rps, max_concurrent=pace.max_concurrent, source=learned.source)
            state = steer(self.state, told, base=self._base, caps=self._caps, now=now)
            if learned.lapses_ms is not None:
                lapses_at = monotonic(learned.lapses_ms)
                state = replace(state, lapses_at=min(state.lapses_at or lapses_at, lapses_at))
            self.state = state
        if learned.paused_until_ms is not None and learned.paused_until_ms > unix_ms:
            self._own().pause(monotonic(learned.paused_until_ms), now)
        if learned.tried_rps is not None:
            self._own().try_rate(self.state.pace.rps, learned.tried_rps)
        for key, until_ms in learned.accounts_paused:
            if until_ms > unix_ms:
                self._throttle(key, now).pause(monotonic(until_ms), now)

    def _tell(self, signal: Signal, heard: Heard, now: float) -> bool:
        changed, customer = self._switch(signal.account_queues, now), heard.customer
        if signal.rps is None and signal.max_concurrent is None:
            return changed
        if heard.answered_at < self._told_at:
            # Regions report in their own time: what a target raised it may have lowered since.
            signal = _no_higher(signal, self.state.pace)
        self._told_at = max(self._told_at, heard.answered_at)
        before = self.state
        state = steer(before, signal, base=self._base, caps=self._caps, now=now)
        others = self._before or (before if self._told_customer != customer else None)
        if state.lapses_at is not None or (others is not None and _lower(state, others)):
            self._throttle(customer_key(customer), now).tell(state.pace, now, state.source)
            asked = (state.pace.rps, float(state.pace.max_concurrent))
            until = self._binds_until(_Word.PACE, customer, asked, now)
            if until <= now:
                return changed
            self._before = others if until < math.inf else self._before
            state = replace(state, lapses_at=min(state.lapses_at or now + state.pace.lapse_s, until))
        else:
            self._let_go(customer)
            self._before = None
        self.state, self._told_customer = state, customer
        return changed or state.pace != before.pace

    def _fallen_back(self, now: float) -> PaceState:
        """Say what holds when a lowered pace lapses: what others were told before, or what it began with."""
        before = self._before
        holds = before is not None and (before.lapses_at is None or before.lapses_at > now)
        return before if before is not None and holds else PaceState(self._base)

    def _binds_until(self, kind: _Kind, customer: CustomerId, asked: Asked, now: float) -> float:
        """Note what a customer was told; say until when that binds all: a time that has passed where it binds
        that customer only.
        """
        witnesses = self._who_heard(kind)
        if not witnesses.hear(customer, asked, now):
            self._soloists = self._soloists or Soloists()
            return self._soloists.binds_until(customer, now)
        if kind is _Word.REFUSAL:
            # Each is a blow to the rate of all: those of one customer must not add up to those of many.
            witnesses.use_up(customer)
        return math.inf

    def _two_accounts_heard(self, kind: _Kind, account: AccountId, asked: Asked, now: float) -> bool:
        """Note what an account was told; say whether that is the domain's matter."""
        return self._who_heard(kind, account=True).hear(account, asked, now) and not self.account_queues

    def _who_heard(self, kind: _Kind, *, account: bool = False) -> Witnesses:
        self._witnesses = self._witnesses if self._witnesses is not None else {}
        return self._witnesses.setdefault((kind, account), Witnesses())

    def _let_go(self, customer: CustomerId) -> None:
        throttle = (self.throttles or {}).get(customer_key(customer))
        if throttle is not None:
            throttle.let_go()

    def _switch(self, account_queues: bool | None, now: float) -> bool:
        """Regrouping a long queue is work: a page that says now this and now that is not followed."""
        if (
            account_queues in (None, self.account_queues)
            or now < self._switched_at + SWITCHED_AT_MOST_EVERY_S
        ):
            return False
        self._queues_told = account_queues
        self._switched_at = now
        return True

    def _learn(self, budget: Budget, signal: Signal, heard: Heard, limiter: Limiter, now: float) -> bool:
        changed = self._told_by(budget, signal, heard, now)
        if (
            budget.unit is BudgetUnit.CONCURRENT
            or budget.remaining is None
            or (not heard.refused and self._is_ours(budget, limiter, now))
        ):
            return changed
        asked = (budget.remaining / max(budget.reset_s or budget.window_s or 1.0, 1.0),)
        # What is left of an account's own budget is no matter of the others'.
        shared = budget.exhausted or not heard.binds_account
        for throttle, until in self._bound(heard, budget.unit, asked, now, shared=shared):
            own = throttle is self.throttle
            throttle.learn(
                _within(budget, until - now),
                now,
                in_flight=max(0, (limiter.in_flight if own else throttle.out) - 1),
                cost_in_flight=throttle.cost_out,
            )
        return changed

    def _told_by(self, budget: Budget, signal: Signal, heard: Heard, now: float) -> bool:
        """Read a budget as a pace, where it is one. What an answer says outright about the domain wins."""
        told = _as_signal(budget)
        if told.silent:
            return False
        if not heard.binds_account or heard.account is None:
            said = (told.rps and signal.rps) or (told.max_concurrent and signal.max_concurrent)
            return not said and self._tell(told, heard, now)
        pace = Pace(told.rps or self.state.pace.rps, told.max_concurrent or self.state.pace.max_concurrent)
        if pace.rps < self.state.pace.rps or pace.max_concurrent < self.state.pace.max_concurrent:
            self._account(heard.account, heard.customer, now).tell(pace, now, budget.header)
        asked = (pace.rps, float(pace.max_concurrent))
        return self._two_accounts_heard(_Word.PACE, heard.account, asked, now) and self._tell(
            told, heard, now
        )

    def _is_ours(self, budget: Budget, limiter: Limiter, now: float) -> bool:
        """Whether the pace itself keeps a short window's quota, nobody else spending from it."""
        if not _is_pace(budget) or budget.limit is None or (budget.window_s or 0) > SHORT_WINDOW_S:
            return False
        return not budget.exhausted or limiter.recent(now) >= OURS * budget.limit

    def _pause(self, heard: Heard, now: float, wait_s: float) -> bool:
        if wait_s <= 0:
            return False
        for throttle, until in self._bound(heard, _Word.PAUSE, (1 / wait_s,), now):
            throttle.pause(min(now + wait_s, until), now)
        return True

    def _slow_down(self, heard: Heard, limiter: Limiter, now: float) -> bool:
        pace = self.state.pace
        # Much faster than just now nothing was tried.
        begin = 2 * max(1, limiter.recent(now)) / pace.window_s
        bound = self._bound(heard, _Word.REFUSAL, (), now)
        lowered = [t.refused(heard.started_at, now, ceiling=pace.rps, begin=begin) for t, _ in bound]
        return any(lowered)

    def _answered(self, heard: Heard) -> None:
        if self.throttle is not None:
            self.throttle.answered(heard.started_at, ceiling=self.state.pace.rps)
        for _, throttle in self.throttles_of(heard.customer, heard.account):
            throttle.answered(heard.started_at, ceiling=self.state.pace.rps)

    def _bound(
        self, heard: Heard, kind: _Kind, asked: Asked, now: float, *, shared: bool = True
    ) -> list[tuple[Throttle, float]]:
        """List whom an answer binds, and until when. ``shared``: of two accounts that hear it, all."""
        if not heard.binds_account or heard.account is None:
            return self._domain_or_customer(heard.customer, kind, asked, now)
        bound = [(self._account(heard.account, heard.customer, now), math.inf)]
        if shared and self._two_accounts_heard(kind, heard.account, asked, now):
            bound += self._domain_or_customer(heard.customer, kind, asked, now)
        return bound

    def _domain_or_customer(
        self, customer: CustomerId, kind: _Kind, asked: Asked, now: float
    ) -> list[tuple[Throttle, float]]:
        until = self._binds_until(kind, customer, asked, now)
        if until <= now:
            return [(self._throttle(customer_key(customer), now), math.inf)]
        if kind is _Word.REFUSAL:
            # A rate is found by trying, and by one throttle: it goes over to the customer whole.
            self._refused = None if until == math.inf else (customer, until)
            return [(self._own(), until)]
        alone = [] if until == math.inf else [(self._throttle(customer_key(customer), now), math.inf)]
        return [(self._own(), until), *alone]

    def _hand_over(self, customer: CustomerId, now: float) -> None:
        """Nobody else was refused: from now on the rate found by trying binds the one who was."""
        if self.throttle is not None:
            self._throttle(customer_key(customer), now).take_tried_rate(self.throttle)
        self._refused = None

    def _own(self) -> Throttle:
        self.throttle = self.throttle or Throttle()
        return self.throttle

    def _account(self, account: AccountId, customer: CustomerId, now: float) -> Throttle:
        throttle = self._throttle(account, now)
        throttle.heard_by = customer
        return throttle

    def _throttle(self, key: str, now: float) -> Throttle:
        self.throttles = self.throttles if self.throttles is not None else {}
        found = self.throttles.get(key)
        if found is None:
            self._sweep(now)
            found = self.throttles[key] = Throttle()
        return found

    def _sweep(self, now: float) -> None:
        """Drop what no longer binds anybody, when there is twice as much as after the last time."""
        throttles = self.throttles or {}
        if len(throttles) >= self._swept_at:
            kept = [(key, throttle) for key, throttle in throttles.items() if not throttle.at_rest(now)]
            self.throttles = dict(kept[-THROTTLES_MOST:])
            self._swept_at = max(SWEPT_FROM, 2 * len(self.throttles))


def _no_higher(signal: Signal, pace: Pace) -> Signal:
    return replace(
        signal,
        rps=min(signal.rps or pace.rps, pace.rps),
        max_concurrent=min(signal.max_concurrent or pace.max_concurrent, pace.max_concurrent),
    )


def _as_signal(budget: Budget) -> Signal:
    if budget.unit is BudgetUnit.CONCURRENT and budget.limit:
        most = int(min(max(budget.limit, 1), CONCURRENT_MOST))
        return Signal(max_concurrent=most, source=budget.header)
    if budget.unit is BudgetUnit.REQUESTS and budget.rate is not None and _is_pace(budget):
        return Signal(rps=max(budget.rate, RPS_LEAST), source=budget.header)
    return SILENT


def _is_pace(budget: Budget) -> bool:
    return budget.rate is not None and (budget.window_s or 0) <= PACE_WINDOW_MOST_S and not budget.refills


def _lower(state: PaceState, before: PaceState) -> bool:
    return state.pace.rps < before.pace.rps or state.pace.max_concurrent < before.pace.max_concurrent


def _within(budget: Budget, most_s: float) -> Budget:
    """Bound how long a budget holds: of what is left, as much as such a part of its time has."""
    if budget.reset_s is None or budget.reset_s <= most_s or budget.remaining is None:
        return budget
    share = most_s / budget.reset_s
    return replace(budget, reset_s=most_s, remaining=budget.remaining * share)
