"""The pace in force at one domain: what its target said about it, and what an answer changes."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from orchestrator.domain.active_limits import OPERATOR, ActiveLimit
from orchestrator.domain.binding import NEVER, Binding, Word, customer_key
from orchestrator.domain.budgets import Budget, BudgetUnit, read_budgets
from orchestrator.domain.heard import REFUSALS, AccountTold, Heard, Learned
from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.overruling import SetPace
from orchestrator.domain.pacing import Limiter, Pace, PaceCaps, PaceState, steer
from orchestrator.domain.refusals import Finding
from orchestrator.domain.signals import CONCURRENT_MOST, RPS_LEAST, SILENT, Signal, read_signal, retry_after_s
from orchestrator.domain.throttle import Throttle, active_pace
from orchestrator.domain.waiting import still_to_wait_ms

PACE_WINDOW_MOST_S = 60.0
"""A quota of so short a window is a pace; one of a longer window may be used up faster at first."""
SHORT_WINDOW_S = 2.0
STATED_FOR_S = 60.0
OURS = 0.9
"""Where so much of a short window's quota was ours, an empty one says nothing that the pace does not keep."""


class Steering:
    """The pace in force at one domain, and the throttles that hold beside it (``binding``)."""

    __slots__ = (
        "_base",
        "_before",
        "_caps",
        "_set",
        "_set_until",
        "_stated_at",
        "_told_at",
        "_told_customer",
        "binding",
        "state",
    )

    def __init__(self, base: Pace, caps: PaceCaps, *, account_queues: bool = False) -> None:
        self._base = base
        self._caps = caps
        self.state = PaceState(base)
        self.binding = Binding(account_queues=account_queues)
        self._told_customer: CustomerId | None = None
        """Who was told the pace in force."""
        self._before: PaceState | None = None
        """What held before one customer alone was told of a lower pace."""
        self._told_at = NEVER
        self._stated_at = NEVER
        """When the target last stated its pace on an answer that let a request through."""
        self._set: SetPace | None = None
        """What the operator set in its place, and until when."""
        self._set_until = math.inf

    @property
    def pace(self) -> Pace:
        """The domain's pace: of all, but of those accounts that were told a pace of their own."""
        return self.state.pace if self._set is None else self._set.over(self.state.pace)

    @property
    def together(self) -> Pace:
        """The pace that all keep to together: the domain's, or while accounts have paces of their own, the
        most that the operator allows.
        """
        if self.binding.each is None:
            return self.pace
        most = Pace(self._caps.rps, self._caps.max_concurrent)
        return most if self._set is None else self._set.over(most)

    @property
    def steered(self) -> bool:
        """Whether the pace in force is not the one that it began with."""
        return self.state.pace != self._base

    @property
    def next_change_at(self) -> float:
        """When something lapses by itself; infinite where nothing does."""
        lapses_at = math.inf if self.state.lapses_at is None else self.state.lapses_at
        return min(lapses_at, self.binding.next_change_at, self._set_until)

    def at_rest(self, now: float) -> bool:
        """Whether nothing that was told holds any more."""
        return not self.steered and self.binding.at_rest(now)

    def active_limits(self, now: float) -> Iterator[ActiveLimit]:
        """Show what holds the domain's requests back, besides the pace that it began with."""
        if self._set is not None:
            yield active_pace(self.pace, OPERATOR, None if self._set_until == math.inf else self._set_until)
        elif self.steered:
            yield active_pace(self.state.pace, self.state.source, self.state.lapses_at)
        if self.binding.throttle is not None:
            yield from self.binding.throttle.active_limits(now)

    def active_limits_for(self, customer: CustomerId | None, now: float) -> Iterator[ActiveLimit]:
        """Show what binds a customer here, or the accounts whose answers it was last to hear; of None, what
        binds anybody.
        """
        return self.binding.active_limits_for(customer, self.active_limits(now), now)

    def overrule(self, pace: SetPace | None, until: float) -> None:
        """Keep to what the operator set, until monotonic ``until``; None: no longer."""
        self._set, self._set_until = pace, until if pace is not None else math.inf

    def forget(self, *, but_queues: bool = False) -> None:
        """Forget what was learned; ``but_queues``: not whether each account has a queue."""
        self.state, self._told_customer, self._before = PaceState(self._base), None, None
        self.binding.forget()
        if not but_queues:
            self.binding.queues_told = None

    def share(self, now: float) -> None:
        """Keep those to the domain's pace that were told none of their own."""
        self.binding.share(self.pace, now)
        if self.binding.troubles is not None:
            self.binding.troubles.pace = self.pace

    def hear(
        self,
        heard: Heard,
        limiter: Limiter,
        now: float,
        at: datetime,
        count_in: Callable[[Throttle], None] = lambda _: None,
    ) -> bool:
        """Take what an answer says about pace; say whether anything changed that outlives a restart.

        Args:
            heard: The answer.
            limiter: What keeps all to the domain's pace.
            now: The present.
            at: The same, by the clock on the wall.
            count_in: Lets a throttle count what was let out before it was there.

        """
        signal = read_signal(heard.headers)
        budgets = read_budgets(heard.headers, at)
        wait_s = retry_after_s(heard.headers, at)
        wait_s = wait_s if wait_s is not None and wait_s > 0 else None
        rate_is_set = self._set is not None and self._set.rps is not None
        if self._set is not None:
            signal, budgets = self._set.heeded(signal), tuple(self._set.heeded_of(budgets))
        if self.binding.account_queues and heard.account is not None and heard.binds_account:
            signal = _strictest(signal, budgets)
        told = not signal.silent or any(budget.exhausted for budget in budgets)
        finding = self._judge(heard, now, asks_to_wait=wait_s is not None or told)
        # What was found by trying may have been taken back.
        changed = finding in (Finding.CONTAINED, Finding.NOTHING)
        if finding is Finding.CONTAINED:
            return changed
        changed |= not signal.silent and self._tell(signal, heard, now)
        for budget in budgets:
            changed |= self._learn(budget, signal, heard, limiter, now, count_in)
        if wait_s is not None:
            changed |= self._pause(heard, now, wait_s)
        if finding is Finding.LOWERS and not told and not rate_is_set:
            # What is set is not found by trying.
            changed |= self._slow_down(heard, limiter, now)
        if heard.status not in REFUSALS:
            self._note_stated(signal, budgets, now)
            self._answered(heard, now)
        return changed

    def lapse(self, now: float) -> bool:
        """Let go of what is over; say whether the pace changed."""
        before = self.pace
        self.binding.lapse(now)
        if now >= self._set_until:
            self.overrule(None, math.inf)
        if self.state.lapses_at is not None and now >= self.state.lapses_at:
            self.state, self._told_customer, self._before = self._fallen_back(now), None, None
        self.share(now)
        return self.pace != before

    def learned(self, now: float, unix_ms: int) -> Learned:
        """Write down what has to outlive a restart."""

        def unix(at: float) -> int:
            return unix_ms + int((at - now) * 1000)

        lapses_at, throttle = self.state.lapses_at, self.binding.throttle
        paused = throttle is not None and throttle.paused_until > now
        accounts = (self.binding.throttles or {}).items()
        return Learned(
            pace=self.state.pace if self.steered else None,
            source=self.state.source,
            saved_ms=unix_ms,
            lapses_ms=None if lapses_at is None else unix(lapses_at),
            account_queues=self.binding.queues_told,
            paused_until_ms=unix(throttle.paused_until) if throttle is not None and paused else None,
            tried_rps=throttle.tried_rate(now) if throttle is not None else None,
            accounts_paused=tuple((key, unix(t.paused_until)) for key, t in accounts if t.paused_until > now),
            accounts_told=tuple(
                AccountTold(
                    key,
                    pace.rps,
                    pace.max_concurrent,
                    None if lapses_at == math.inf else unix(lapses_at),
                    source,
                )
                for key, pace, lapses_at, source in self.binding.accounts_told(now)
            ),
        )

    def restore(self, learned: Learned, now: float, unix_ms: int) -> None:
        """Take up again what was written down; what has lapsed meanwhile is left."""
        set_ms = unix_ms if learned.saved_ms is None else learned.saved_ms

        def monotonic(at_ms: int) -> float:
            return now + still_to_wait_ms(at_ms, set_ms, unix_ms) / 1000

        self.binding.queues_told = learned.account_queues
        if (pace := learned.pace) is not None:
            told = Signal(rps=pace.rps, max_concurrent=pace.max_concurrent, source=learned.source)
            state = steer(self.state, told, base=self._base, caps=self._caps, now=now)
            if learned.lapses_ms is not None:
                lapses_at = monotonic(learned.lapses_ms)
                state = replace(state, lapses_at=min(state.lapses_at or lapses_at, lapses_at))
            self.state = state
        if learned.paused_until_ms is not None and learned.paused_until_ms > unix_ms:
            self.binding.own().pause(monotonic(learned.paused_until_ms), now)
        if learned.tried_rps is not None:
            self.binding.own().try_rate(self.state.pace.rps, learned.tried_rps, now)
        for kept in learned.accounts_told if self.binding.account_queues else ():
            if kept.lapses_ms is None or kept.lapses_ms > unix_ms:
                ends_at = None if kept.lapses_ms is None else monotonic(kept.lapses_ms)
                pace, account = Pace(kept.rps, kept.max_concurrent), AccountId(kept.account)
                self.binding.tell_account(account, PaceState(pace, ends_at, kept.source), now)
        for key, until_ms in learned.accounts_paused:
            if until_ms > unix_ms:
                self.binding.throttle_of(key, now).pause(monotonic(until_ms), now)

    def _tell(self, signal: Signal, heard: Heard, now: float) -> bool:
        changed, customer = self.binding.switch(signal.account_queues, now), heard.customer
        if signal.rps is None and signal.max_concurrent is None:
            return changed
        if self.binding.account_queues and heard.account is not None:
            return self._tell_account(signal, heard, heard.account, now) or changed
        if heard.answered_at < self._told_at:
            # Regions report in their own time: what a target raised it may have lowered since.
            signal = _no_higher(signal, self.state.pace)
        self._told_at = max(self._told_at, heard.answered_at)
        before = self.state
        state = steer(before, signal, base=self._base, caps=self._caps, now=now)
        others = self._before or (before if self._told_customer != customer else None)
        if state.lapses_at is not None or (others is not None and _lower(state, others)):
            self.binding.throttle_of(customer_key(customer), now).tell(state.pace, now, state.source)
            asked = (state.pace.rps, float(state.pace.max_concurrent))
            until = self.binding.binds_until(Word.PACE, customer, asked, now)
            if until <= now:
                return changed
            self._before = others if until < math.inf else self._before
            state = replace(state, lapses_at=min(state.lapses_at or now + state.pace.lapse_s, until))
        else:
            self.binding.let_go(customer)
            self._before = None
        self.state, self._told_customer = state, customer
        return changed or state.pace != before.pace

    def _tell_account(self, signal: Signal, heard: Heard, account: AccountId, now: float) -> bool:
        """Take what an account's answer told as that account's own pace, and nobody else's."""
        throttle = self.binding.account(account, heard.customer, now)
        before = PaceState(self.binding.told_pace(account, now) or self.pace)
        if not throttle.is_latest(heard.answered_at):
            signal = _no_higher(signal, before.pace)
        state = steer(before, signal, base=self._base, caps=self._caps, now=now)
        return self.binding.tell_account(account, state, now)

    def _fallen_back(self, now: float) -> PaceState:
        """Say what holds when a lowered pace lapses: what others were told before, or what it began with."""
        before = self._before
        holds = before is not None and (before.lapses_at is None or before.lapses_at > now)
        return before if before is not None and holds else PaceState(self._base)

    def _learn(
        self,
        budget: Budget,
        signal: Signal,
        heard: Heard,
        limiter: Limiter,
        now: float,
        count_in: Callable[[Throttle], None],
    ) -> bool:
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
        for throttle, until in self.binding.bound(heard, budget.unit, asked, now, shared=shared):
            count_in(throttle)
            throttle.learn(_within(budget, until - now), now, told_at=heard.answered_at, own_cost=heard.cost)
        return changed

    def _told_by(self, budget: Budget, signal: Signal, heard: Heard, now: float) -> bool:
        """Read a budget as a pace, where it is one. What an answer says outright about the domain wins."""
        told = _as_signal(budget)
        if told.silent:
            return False
        if not heard.binds_account or heard.account is None:
            said = (told.rps and signal.rps) or (told.max_concurrent and signal.max_concurrent)
            return not said and self._tell(told, heard, now)
        if self.binding.account_queues:
            # It was told with the rest of what the answer says of its account.
            return False
        pace = Pace(told.rps or self.state.pace.rps, told.max_concurrent or self.state.pace.max_concurrent)
        if pace.rps < self.state.pace.rps or pace.max_concurrent < self.state.pace.max_concurrent:
            self.binding.account(heard.account, heard.customer, now).tell(pace, now, budget.header)
        asked = (pace.rps, float(pace.max_concurrent))
        return self.binding.two_accounts_heard(Word.PACE, heard.account, asked, now) and self._tell(
            told, heard, now
        )

    def _is_ours(self, budget: Budget, limiter: Limiter, now: float) -> bool:
        """Whether the pace itself keeps a short window's quota, nobody else spending from it."""
        if not _is_pace(budget) or budget.limit is None or (budget.window_s or 0) > SHORT_WINDOW_S:
            return False
        return not budget.exhausted or limiter.recent(now) >= OURS * budget.limit

    def _judge(self, heard: Heard, now: float, *, asks_to_wait: bool) -> Finding | None:
        if not heard.refused:
            return Finding.CONTAINED if self.binding.contains(heard) else None
        stated = now < self._stated_at + STATED_FOR_S
        return self.binding.judge(heard, self.pace, now, asks_to_wait=asks_to_wait, stated=stated)

    def _note_stated(self, signal: Signal, budgets: Sequence[Budget], now: float) -> None:
        if signal.rps is None and not any(_as_signal(budget).rps for budget in budgets):
            return
        if now >= self._stated_at + STATED_FOR_S:
            self.binding.doubt_tried_rates()
        self._stated_at = now

    def _pause(self, heard: Heard, now: float, wait_s: float) -> bool:
        for throttle, until in self.binding.bound(heard, Word.PAUSE, (1 / wait_s,), now):
            throttle.pause(min(now + wait_s, until), now)
        return True

    def _slow_down(self, heard: Heard, limiter: Limiter, now: float) -> bool:
        lowered = False
        for throttle, _ in self.binding.bound(heard, Word.REFUSAL, (), now):
            told = throttle.pace(now) if self._paces_itself(throttle, now) else None
            starts, pace = (limiter, self.pace) if told is None else (throttle.told, told)
            # Much faster than just now nothing was tried.
            begin = 2 * max(1, starts.recent(now)) / pace.window_s
            ceiling = self._ceiling(throttle, now)
            lowered |= throttle.refused(heard.job, heard.started_at, now, ceiling=ceiling, begin=begin)
        return lowered

    def _paces_itself(self, throttle: Throttle, now: float) -> bool:
        return self.binding.each is not None and throttle.told_now(now) is not None

    def _ceiling(self, throttle: Throttle, now: float) -> float:
        """Say which rate a throttle's grows back to once refusals end."""
        told = throttle.pace(now) if self._paces_itself(throttle, now) else None
        if told is not None:
            return told.rps
        if throttle is not self.binding.throttle or self.binding.each is None:
            return self.pace.rps
        return max(self.pace.rps, self.binding.together(self._caps.rps, now))

    def _answered(self, heard: Heard, now: float) -> None:
        self.binding.heard_answer(heard, now)
        own = self.binding.throttle
        bound = [throttle for _, throttle in self.binding.throttles_of(heard.customer, heard.account, now)]
        for throttle in bound if own is None else [own, *bound]:
            if throttle.tried_rate(now) is not None:
                ceiling = self._ceiling(throttle, now)
                throttle.answered(heard.job, heard.started_at, now, ceiling=ceiling)


def _no_higher(signal: Signal, pace: Pace) -> Signal:
    return replace(
        signal,
        rps=min(signal.rps or pace.rps, pace.rps),
        max_concurrent=min(signal.max_concurrent or pace.max_concurrent, pace.max_concurrent),
    )


def _strictest(signal: Signal, budgets: Iterable[Budget]) -> Signal:
    """Join what an answer says of one account's pace: outright, and by its budgets."""
    for told in map(_as_signal, budgets):
        if told.rps is not None and (signal.rps is None or told.rps < signal.rps):
            signal = replace(signal, rps=told.rps, source=told.source)
        if told.max_concurrent is not None and told.max_concurrent < (signal.max_concurrent or math.inf):
            signal = replace(signal, max_concurrent=told.max_concurrent, source=signal.source or told.source)
    return signal


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
