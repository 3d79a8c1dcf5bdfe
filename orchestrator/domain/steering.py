"""What one domain's target said, and whom that binds.

``X-EZTHROTTLE-*``, ``X-Aqueduct-*`` and 503s bind the domain; a 429 or a budget that answers a request with
credentials binds that account, and the domain once two accounts hear it. What lowers a domain's pace and
only one customer hears binds others for a minute at most; from then on it binds that customer alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus

from orchestrator.domain.budgets import Budget, BudgetUnit, read_budgets
from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.in_force import Binds, InForce, SignalKind
from orchestrator.domain.pacing import Limiter, Pace, PaceCaps, PaceState, steer
from orchestrator.domain.signals import CONCURRENT_MOST, RPS_LEAST, SILENT, Signal, read_signal, retry_after_s
from orchestrator.domain.throttle import Throttle, pace_in_force
from orchestrator.domain.witnesses import WITNESSED_WITHIN_S, Witnesses

PACE_WINDOW_MOST_S = 60.0
"""A quota of so short a window is a pace; one of a longer window may be used up faster at first."""
SHORT_WINDOW_S = 2.0
OURS = 0.9
"""Where so much of a short window's quota was ours, an empty one says nothing that the pace does not keep."""
SWITCHED_AT_MOST_EVERY_S = 60.0
THROTTLES_MOST = 10_000
SWEPT_FROM = 64
_REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


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
    """What a target has taught, as it is kept on disk. Times are Unix ms."""

    pace: Pace
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
        "_accounts",
        "_base",
        "_budgeted",
        "_caps",
        "_customers",
        "_held",
        "_swept_at",
        "_switched_at",
        "_told_at",
        "account_queues",
        "state",
        "throttle",
        "throttles",
    )

    def __init__(self, base: Pace, caps: PaceCaps, *, account_queues: bool = False) -> None:
        self._base = base
        self._caps = caps
        self.account_queues = account_queues
        self.state = PaceState(base)
        self.throttle: Throttle | None = None
        """The domain's own."""
        self.throttles: dict[str, Throttle] | None = None
        """By account id, or ``customer_key``."""
        # Most domains never need these: an idle one has to be small.
        self._customers: Witnesses | None = None
        self._accounts: Witnesses | None = None
        self._budgeted: Witnesses | None = None
        self._held: tuple[CustomerId, float] | None = None
        self._switched_at = float("-inf")
        self._told_at = float("-inf")
        self._swept_at = SWEPT_FROM

    @property
    def steered(self) -> bool:
        """Whether the pace in force is not the one that it began with."""
        return self.state.pace != self._base

    @property
    def next_change_at(self) -> float:
        """When something lapses by itself; infinite where nothing does."""
        lapses_at = self.state.lapses_at
        held_until = self._held[1] if self._held is not None else float("inf")
        return held_until if lapses_at is None else min(lapses_at, held_until)

    def throttles_of(self, customer: CustomerId, account: AccountId | None) -> list[tuple[str, Throttle]]:
        """List what binds a customer's requests with an account, besides the domain's own throttle."""
        if not self.throttles:
            return []
        keys = (customer_key(customer), *((account,) if account else ()))
        return [(key, self.throttles[key]) for key in keys if key in self.throttles]

    def in_force(self, now: float) -> Iterator[InForce]:
        """Show what holds the domain's requests back, besides the pace that it began with."""
        if self.steered:
            ends_at = self.next_change_at
            until = None if ends_at == float("inf") else ends_at
            yield pace_in_force(self.state.pace, self.state.source, until)
        if self.throttle is not None:
            yield from self.throttle.in_force(now)

    def in_force_for(self, customer: CustomerId, now: float) -> Iterator[InForce]:
        """Show what binds a customer here, or the accounts whose answers it was last to hear."""
        own = (self.throttles or {}).get(customer_key(customer))
        for signal in own.in_force(now) if own is not None else ():
            # While a pace told to one customer holds the whole domain, it stands there.
            if signal.kind is not SignalKind.PACE or signal.rps != self.state.pace.rps:
                yield replace(signal, binds=Binds.CUSTOMER)
        for key, throttle in (self.throttles or {}).items():
            for signal in throttle.in_force(now) if throttle.heard_by == customer else ():
                yield replace(signal, binds=Binds.ACCOUNT, account=AccountId(key))

    def hear(self, heard: Heard, limiter: Limiter, now: float, at: datetime) -> bool:
        """Take what an answer says about pace; say whether anything changed that outlives a restart."""
        signal = read_signal(heard.headers)
        budgets = read_budgets(heard.headers, at)
        wait_s = retry_after_s(heard.headers, at) if heard.status >= HTTPStatus.BAD_REQUEST else None
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
        if self._held is not None and now >= self._held[1]:
            self._hand_over(self._held[0], now)
        if self.state.lapses_at is not None and now >= self.state.lapses_at:
            self.state = PaceState(self._base)
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
            pace=self.state.pace,
            source=self.state.source,
            lapses_ms=None if lapses_at is None else unix(lapses_at),
            account_queues=self.account_queues,
            paused_until_ms=unix(throttle.paused_until) if throttle is not None and paused else None,
            tried_rps=throttle.tried_rate if throttle is not None else None,
            accounts_paused=tuple((key, unix(t.paused_until)) for key, t in accounts if t.paused_until > now),
        )

    def restore(self, learned: Learned, now: float, unix_ms: int) -> None:
        """Take up again what was written down; what has lapsed meanwhile is left."""

        def monotonic(at_ms: int) -> float:
            return now + (at_ms - unix_ms) / 1000

        if learned.account_queues is not None:
            self.account_queues = learned.account_queues
        pace = learned.pace
        told = Signal(rps=pace.rps, max_concurrent=pace.max_concurrent, source=learned.source)
        state = steer(self.state, told, base=self._base, caps=self._caps, now=now)
        if state.lapses_at is not None and learned.lapses_ms is not None:
            state = replace(state, lapses_at=min(state.lapses_at, monotonic(learned.lapses_ms)))
        self.state = state
        if learned.paused_until_ms is not None and learned.paused_until_ms > unix_ms:
            self._own().pause(monotonic(learned.paused_until_ms), now)
        if learned.tried_rps is not None:
            self._own().try_rate(state.pace.rps, learned.tried_rps)
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
        state = steer(self.state, signal, base=self._base, caps=self._caps, now=now)
        if state.lapses_at is not None:
            self._throttle(customer_key(customer), now).tell(state.pace, now, state.source)
            self._customers = self._customers or Witnesses()
            until = self._customers.hear(customer, now)
            if until <= now:
                return changed
            self._held = None if until == float("inf") else (customer, until)
            state = replace(state, lapses_at=min(state.lapses_at, until))
        else:
            self._let_go(customer)
        before, self.state = self.state, state
        return changed or state.pace != before.pace

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
        self.account_queues = bool(account_queues)
        self._switched_at = now
        return True

    def _learn(self, budget: Budget, signal: Signal, heard: Heard, limiter: Limiter, now: float) -> bool:
        changed = self._told_by(budget, signal, heard, now)
        if (
            budget.unit is BudgetUnit.CONCURRENT
            or budget.remaining is None
            or self._is_ours(budget, limiter, now)
        ):
            return changed
        for throttle in self._bound(heard, now, strong=budget.exhausted):
            own = throttle is self.throttle
            throttle.learn(
                budget if not own else _within(budget, WITNESSED_WITHIN_S, self._held is not None),
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
        return False

    def _is_ours(self, budget: Budget, limiter: Limiter, now: float) -> bool:
        """Whether the pace itself keeps a short window's quota, nobody else spending from it."""
        if not _is_pace(budget) or budget.limit is None or (budget.window_s or 0) > SHORT_WINDOW_S:
            return False
        return not budget.exhausted or limiter.recent(now) >= OURS * budget.limit

    def _pause(self, heard: Heard, now: float, wait_s: float) -> bool:
        for throttle in self._bound(heard, now, strong=True):
            throttle.pause(now + wait_s, now)
        return wait_s > 0

    def _slow_down(self, heard: Heard, limiter: Limiter, now: float) -> bool:
        pace = self.state.pace
        # Much faster than just now nothing was tried.
        begin = 2 * max(1, limiter.recent(now)) / pace.window_s
        bound = self._bound(heard, now, strong=True)
        lowered = [t.refused(heard.started_at, now, ceiling=pace.rps, begin=begin) for t in bound]
        return any(lowered)

    def _answered(self, heard: Heard) -> None:
        if self.throttle is not None:
            self.throttle.answered(heard.started_at, ceiling=self.state.pace.rps)
        for _, throttle in self.throttles_of(heard.customer, heard.account):
            throttle.answered(heard.started_at, ceiling=self.state.pace.rps)

    def _bound(self, heard: Heard, now: float, *, strong: bool) -> list[Throttle]:
        """List whom a refusal or a budget binds. ``strong``: it lets nothing through for now."""
        if not heard.binds_account or heard.account is None:
            return [self._domain_or_customer(heard.customer, now, strong=strong)]
        bound = [self._account(heard.account, heard.customer, now)]
        if strong and not self.account_queues:
            self._accounts = self._accounts or Witnesses()
            if self._accounts.hear(heard.account, now) == float("inf"):
                bound.append(self._domain_or_customer(heard.customer, now, strong=strong))
        return bound

    def _domain_or_customer(self, customer: CustomerId, now: float, *, strong: bool) -> Throttle:
        if strong:
            witnesses = self._customers = self._customers or Witnesses()
        else:
            witnesses = self._budgeted = self._budgeted or Witnesses()
        until = witnesses.hear(customer, now)
        if until <= now:
            return self._throttle(customer_key(customer), now)
        self._held = None if until == float("inf") else (customer, until)
        return self._own()

    def _hand_over(self, customer: CustomerId, now: float) -> None:
        """Nobody else heard it: from now on it binds the one who did."""
        if self.throttle is not None:
            self._throttle(customer_key(customer), now).take_over(self.throttle, now)
        self.throttle, self._held = None, None

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


def _within(budget: Budget, most_s: float, alone: bool) -> Budget:
    """Bound how long one customer's word about a budget binds the whole domain."""
    if not alone or budget.reset_s is None or budget.reset_s <= most_s or budget.remaining is None:
        return budget
    share = most_s / budget.reset_s
    return replace(budget, reset_s=most_s, remaining=budget.remaining * share)
