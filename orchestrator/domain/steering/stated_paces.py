"""The paces that a target stated: its domain's, and those of accounts."""

import math
from dataclasses import replace

from orchestrator.domain.headers.signals import Signal
from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.pace.pacing import Pace, PaceCaps, PaceState, steer
from orchestrator.domain.steering.account_paces import NEVER
from orchestrator.domain.steering.binding import Binding, Word
from orchestrator.domain.steering.heard import Heard
from orchestrator.domain.steering.throttles import customer_key


class StatedPaces:
    """What the target said last of its domain, until that lapses. One customer alone lowers the pace of all
    for a minute at most: then what held before holds again. All times are monotonic seconds.
    """

    __slots__ = ("_before", "_binding", "_told_at", "_told_customer", "base", "caps", "state")

    def __init__(self, base: Pace, caps: PaceCaps, binding: Binding) -> None:
        self.base = base
        self.caps = caps
        self.state = PaceState(base)
        self._binding = binding
        self._told_customer: CustomerId | None = None
        """Who was told the pace in force."""
        self._before: PaceState | None = None
        """What held before one customer alone was told of a lower pace."""
        self._told_at = NEVER

    @property
    def stated(self) -> bool:
        """Whether it is not the one that the domain began with."""
        return self.state.pace != self.base

    @property
    def lapses_at(self) -> float:
        """When it lapses; infinite where it does not."""
        return math.inf if self.state.lapses_at is None else self.state.lapses_at

    def tell(self, signal: Signal, heard: Heard, now: float) -> bool:
        """Follow what an answer said of the domain; say whether the pace changed."""
        customer = heard.customer
        if heard.answered_at < self._told_at:
            # Regions report in their own time: what a target raised it may have lowered since.
            signal = _no_higher(signal, self.state.pace)
        self._told_at = max(self._told_at, heard.answered_at)
        before = self.state
        state = steer(before, signal, base=self.base, caps=self.caps, now=now)
        others = self._before or (before if self._told_customer != customer else None)
        if state.lapses_at is not None or (others is not None and _lower(state, others)):
            throttle = self._binding.throttles.of(customer_key(customer), now)
            throttle.told.tell(state.pace, now, state.source)
            asked = (state.pace.rps, float(state.pace.max_concurrent))
            until = self._binding.binds_until(Word.PACE, customer, asked, now)
            if until <= now:
                return False
            self._before = others if until < math.inf else self._before
            state = state.until(
                until if state.lapses_at is not None else min(now + state.pace.lapse_s, until)
            )
        else:
            self._binding.throttles.let_go(customer)
            self._before = None
        self.state, self._told_customer = state, customer
        return state.pace != before.pace

    def tell_account(self, account: AccountId, signal: Signal, heard: Heard, pace: Pace, now: float) -> bool:
        """Follow what an account's answer said as that account's own pace, and nobody else's; say whether it
        is new. ``pace`` is in force at the domain.
        """
        throttle = self._binding.throttles.account(account, heard.customer, now)
        before = throttle.told.state(now) or PaceState(pace)
        if not throttle.told.is_latest(heard.answered_at):
            signal = _no_higher(signal, before.pace)
        state = steer(before, signal, base=self.base, caps=self.caps, now=now)
        return self._binding.accounts.tell(account, state, now)

    def lapse(self, now: float) -> None:
        """Let go of what is over: what others were told before holds again, or what the domain began with."""
        if now < self.lapses_at:
            return
        before = self._before
        if before is None or (before.lapses_at is not None and before.lapses_at <= now):
            before = PaceState(self.base)
        self.state = self.state.rest(before, now)
        if self.state is before or self.state.lapses_at is None:
            self._hold(self.state)

    def restore(self, pace: Pace, source: str, lapses_at: float | None, now: float) -> None:
        """Take up a pace again that was stated in an earlier life."""
        told = Signal(rps=pace.rps, max_concurrent=pace.max_concurrent, source=source)
        state = steer(self.state, told, base=self.base, caps=self.caps, now=now)
        self.state = state if lapses_at is None else state.until(lapses_at)

    def forget(self) -> None:
        """Go by the pace that the domain began with."""
        self._hold(PaceState(self.base))

    def _hold(self, state: PaceState) -> None:
        self.state, self._told_customer, self._before = state, None, None


def _no_higher(signal: Signal, pace: Pace) -> Signal:
    return replace(
        signal,
        rps=signal.rps and min(signal.rps, pace.rps),
        max_concurrent=signal.max_concurrent and min(signal.max_concurrent, pace.max_concurrent),
    )


def _lower(state: PaceState, before: PaceState) -> bool:
    return state.pace.rps < before.pace.rps or state.pace.max_concurrent < before.pace.max_concurrent
