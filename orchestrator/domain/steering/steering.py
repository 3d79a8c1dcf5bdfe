"""The pace in force at one domain: what its target said about it, and what an answer changes."""

import math
from collections.abc import Callable, Iterator
from datetime import datetime

from orchestrator.domain.headers.budgets import Budget
from orchestrator.domain.headers.signals import Signal
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.pace.active_limits import OPERATOR, ActiveLimit
from orchestrator.domain.pace.budget_paces import as_signal
from orchestrator.domain.pace.overruling import SetPace
from orchestrator.domain.pace.pacing import Limiter, Pace, PaceCaps, PaceState
from orchestrator.domain.steering.account_paces import NEVER
from orchestrator.domain.steering.answer_signals import AnswerSignals, read_answer
from orchestrator.domain.steering.binding import Binding
from orchestrator.domain.steering.budget_limits import follow_budget
from orchestrator.domain.steering.heard import Heard
from orchestrator.domain.steering.learned import Learned, take_up, write_down
from orchestrator.domain.steering.refusals import Finding
from orchestrator.domain.steering.stated_paces import StatedPaces
from orchestrator.domain.steering.throttle import Throttle, active_pace
from orchestrator.domain.steering.tried_rates import TriedRates

STATED_FOR_S = 60.0


class Steering:
    """The pace in force at one domain, and the throttles that hold beside it (``binding``)."""

    __slots__ = ("_set", "_set_until", "_stated", "_stated_at", "binding")

    def __init__(self, base: Pace, caps: PaceCaps, *, account_queues: bool = False) -> None:
        self.binding = Binding(account_queues=account_queues)
        self._stated = StatedPaces(base, caps, self.binding)
        self._stated_at = NEVER
        """When the target last stated its pace on an answer that let a request through."""
        self._set: SetPace | None = None
        """What the operator set in its place, and until when."""
        self._set_until = math.inf

    @property
    def state(self) -> PaceState:
        """What the target stated for its domain, as far as that holds."""
        return self._stated.state

    @property
    def pace(self) -> Pace:
        """The domain's pace: of all, but of those accounts that were told a pace of their own."""
        told = self._stated.state.pace
        return told if self._set is None else self._set.over(told)

    @property
    def together(self) -> Pace:
        """The pace that all keep to together: the domain's, or while accounts have paces of their own, the
        most that the operator allows.
        """
        if self.binding.accounts.each is None:
            return self.pace
        caps = self._stated.caps
        most = Pace(caps.rps, caps.max_concurrent)
        return most if self._set is None else self._set.over(most)

    @property
    def steered(self) -> bool:
        """Whether the pace in force is not the one that it began with."""
        return self._stated.stated

    @property
    def next_change_at(self) -> float:
        """When something lapses by itself; infinite where nothing does."""
        return min(self._stated.lapses_at, self.binding.next_change_at, self._set_until)

    def at_rest(self, now: float) -> bool:
        """Whether nothing that was told holds any more."""
        return not self.steered and self.binding.at_rest(now)

    def active_limits(self, now: float) -> Iterator[ActiveLimit]:
        """Show what holds the domain's requests back, besides the pace that it began with."""
        if self._set is not None:
            yield active_pace(self.pace, OPERATOR, None if self._set_until == math.inf else self._set_until)
        elif self.steered:
            yield active_pace(self.state.pace, self.state.source, self.state.lapses_at)
        if (own := self.binding.throttles.own) is not None:
            yield from own.active_limits(now)

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
        self._stated.forget()
        self.binding.forget()
        if not but_queues:
            self.binding.accounts.queues_told = None

    def share(self, now: float) -> None:
        """Keep those to the domain's pace that were told none of their own."""
        self.binding.accounts.share(self.pace, now)
        if (troubles := self.binding.judge.troubles) is not None:
            troubles.pace = self.pace

    def hear(
        self,
        heard: Heard,
        limiter: Limiter,
        now: float,
        at: datetime,
        count_in: Callable[[Throttle], None] = lambda _: None,
    ) -> bool:
        """Take what an answer says about pace; say whether anything changed that outlives a restart.

        ``limiter`` keeps all to the domain's pace, ``at`` is the present by the clock on the wall, and
        ``count_in`` lets a throttle count what was let out before it was there.
        """
        said = self._read(heard, at)
        finding = self._judge(heard, now, asks_to_wait=said.wait_s is not None or said.told)
        if finding is Finding.CONTAINED:
            return True
        # What was found by trying may have been taken back, as with what is contained.
        changed = finding is Finding.NOTHING
        changed |= not said.signal.silent and self._tell(said.signal, heard, now)
        for budget in said.budgets:
            changed |= self._told_by(budget, said.signal, heard, now)
            follow_budget(self.binding, budget, heard, limiter, now, count_in)
        if said.wait_s is not None:
            changed = self.binding.pause(heard, now, said.wait_s)
        rate_is_set = self._set is not None and self._set.rps is not None
        if finding is Finding.LOWERS and not said.told and not rate_is_set:
            # What is set is not found by trying.
            changed |= self._tried_rates.refused(heard, limiter, self.pace, now)
        if heard.let_through:
            if said.states_pace:
                self._note_stated(now)
            self.binding.judge.answered(heard, now)
            self._tried_rates.answered(heard, self.pace, now)
        return changed

    @property
    def _tried_rates(self) -> TriedRates:
        # Made when it is needed: it keeps nothing, and there are very many domains.
        return TriedRates(self.binding, self._stated.caps.rps)

    def _read(self, heard: Heard, at: datetime) -> AnswerSignals:
        """Read an answer; what the operator set in its place is not heeded."""
        said = read_answer(heard.headers, at)
        said = said if self._set is None else said.heeded(self._set)
        of_account = self.binding.accounts.have_queues and heard.account is not None and heard.binds_account
        return said.of_account() if of_account else said

    def lapse(self, now: float) -> bool:
        """Let go of what is over; say whether the pace changed."""
        before = self.pace
        self.binding.lapse(now)
        if now >= self._set_until:
            self.overrule(None, math.inf)
        self._stated.lapse(now)
        self.share(now)
        return self.pace != before

    def learned(self, now: float, unix_ms: int) -> Learned:
        """Write down what has to outlive a restart."""
        return write_down(self._stated, self.binding, now, unix_ms)

    def restore(self, learned: Learned, now: float, unix_ms: int) -> None:
        """Take up again what was written down; what has lapsed meanwhile is left."""
        take_up(learned, self._stated, self.binding, now, unix_ms)

    def _tell(self, signal: Signal, heard: Heard, now: float) -> bool:
        changed = self.binding.accounts.switch(signal.account_queues, now)
        if signal.rps is None and signal.max_concurrent is None:
            return changed
        if self.binding.accounts.have_queues and heard.account is not None:
            return self._stated.tell_account(heard.account, signal, heard, self.pace, now) or changed
        return self._stated.tell(signal, heard, now) or changed

    def _told_by(self, budget: Budget, signal: Signal, heard: Heard, now: float) -> bool:
        """Read a budget as a pace, where it is one. What an answer says outright about the domain wins."""
        told = as_signal(budget)
        if told.silent:
            return False
        if not heard.binds_account or heard.account is None:
            said = (told.rps and signal.rps) or (told.max_concurrent and signal.max_concurrent)
            return not said and self._tell(told, heard, now)
        if self.binding.accounts.have_queues:
            # It was told with the rest of what the answer says of its account.
            return False
        pace = Pace(told.rps or self.state.pace.rps, told.max_concurrent or self.state.pace.max_concurrent)
        if pace.rps < self.state.pace.rps or pace.max_concurrent < self.state.pace.max_concurrent:
            throttle = self.binding.throttles.account(heard.account, heard.customer, now)
            throttle.told.tell(pace, now, budget.header)
        return self.binding.two_accounts_paced(heard.account, pace, now) and self._tell(told, heard, now)

    def _judge(self, heard: Heard, now: float, *, asks_to_wait: bool) -> Finding | None:
        if not heard.refused:
            return Finding.CONTAINED if self.binding.judge.contains(heard) else None
        stated = now < self._stated_at + STATED_FOR_S
        return self.binding.judge.judge(heard, self.pace, now, asks_to_wait=asks_to_wait, stated=stated)

    def _note_stated(self, now: float) -> None:
        if now >= self._stated_at + STATED_FOR_S:
            self.binding.judge.doubt_tried_rates()
        self._stated_at = now
