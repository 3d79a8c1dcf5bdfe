"""Paces of accounts' own, where each account has a queue: what one was told leaves the domain's, which all
others share.
"""

import math
from collections.abc import Iterator

from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.pace.pacing import Pace, PaceState
from orchestrator.domain.steering.throttle import Throttle
from orchestrator.domain.steering.throttles import UNTOLD_KEY, Throttles

SWITCHED_AT_MOST_EVERY_S = 60.0
ACCOUNTS_KEPT = 200
"""So many accounts' own paces outlive a restart; the others are told theirs with their next answers."""
NEVER = -math.inf
"""One object for all: written out anew it is another each time, and there are very many domains."""


class AccountPaces:
    """Whether accounts have queues, and which paces they were told. All times are monotonic seconds."""

    __slots__ = ("_queues_by_default", "_switched_at", "_throttles", "_told_until", "each", "queues_told")

    def __init__(self, throttles: Throttles, *, queues: bool) -> None:
        self._throttles = throttles
        self._queues_by_default = queues
        self.queues_told: bool | None = None
        """What the target said of account queues, if it did."""
        self.each: Pace | None = None
        """The pace of those that were told none of their own; None while that is everybody."""
        self._told_until = NEVER
        self._switched_at = NEVER

    @property
    def have_queues(self) -> bool:
        """Whether each account has a queue of its own."""
        return self._queues_by_default if self.queues_told is None else self.queues_told

    @property
    def next_change_at(self) -> float:
        """When no account has a pace of its own any more; infinite where none has one now."""
        return math.inf if self.each is None else self._told_until

    def switch(self, queues: bool | None, now: float) -> bool:
        """Follow what the target says of account queues; say whether that changed anything. Regrouping a long
        queue is work: a page that says now this and now that is not followed.
        """
        if queues in (None, self.have_queues) or now < self._switched_at + SWITCHED_AT_MOST_EVERY_S:
            return False
        self.queues_told = queues
        self._switched_at = now
        return True

    def bound(
        self, customer: CustomerId, account: AccountId | None, now: float
    ) -> list[tuple[str, Throttle]]:
        """List what binds a customer's requests with an account, besides the domain's own throttle."""
        if not self._throttles.by_key and self.each is None:
            return []
        bound = self._throttles.named(customer, account)
        if self.each is not None and self.pace_of(account, now) is None:
            bound.append((UNTOLD_KEY, self.untold(now)))
        return bound

    def pace_of(self, account: AccountId | None, now: float) -> Pace | None:
        """Say which pace an account was told as its own; None where it keeps to the domain's."""
        throttle = self._throttles.find(account) if account is not None else None
        told = throttle.told.state(now) if throttle is not None else None
        return None if told is None else told.pace

    def tell(self, account: AccountId, pace: PaceState, now: float) -> bool:
        """Keep an account to what its own answer told, and for what it did not tell to the domain's pace; say
        whether that is new.
        """
        throttle, before = self._throttles.of(account, now), self.pace_of(account, now)
        until = math.inf if pace.lapses_at is None else pace.lapses_at
        parts = pace.rps_until, pace.most_until
        # What was kept on disk says nothing of its parts: all of it was told.
        parts = (until, until) if parts == (None, None) else parts
        until = max(part for part in parts if part is not None)
        throttle.told.tell(pace.pace, now, pace.source, until=until, parts=parts, shared=self)
        if before is None:
            # What it started until now counts with its target, and in no window of its own.
            throttle.told.starts.pause(now + pace.pace.window_s)
        self._told_until = max(self._told_until, until)
        return before != pace.pace

    def begin_windows(self, at: float) -> None:
        """Let accounts that were told a pace wait a window of it from ``at`` on."""
        for _, throttle in self._throttles.of_accounts():
            if (told := throttle.told.state(at)) is not None:
                throttle.told.starts.pause(at + told.pace.window_s)

    def share(self, domain: Pace, now: float) -> None:
        """Keep those accounts to the ``domain``'s pace together that were told none of their own; while none
        was, that is everybody, and no matter of throttles.
        """
        apart = self.have_queues and now < self._told_until
        if not apart and self.each is not None:
            for _, throttle in self._throttles.of_accounts():
                throttle.told.let_go()
            self._told_until = NEVER
        self.each = domain if apart else None

    def untold(self, now: float) -> Throttle:
        """Find the throttle of those that were told no pace of their own, or make it."""
        throttle = self._throttles.of(UNTOLD_KEY, now)
        throttle.told.keep_to(self.each)
        return throttle

    def told(self, now: float) -> Iterator[tuple[str, PaceState]]:
        """Give the paces that accounts were told, some of the latest."""
        accounts = self._throttles.of_accounts() if self.each else ()
        told = ((key, throttle.told.state(now)) for key, throttle in accounts)
        known = [(key, said) for key, said in told if said is not None and key != UNTOLD_KEY]
        return iter(known[-ACCOUNTS_KEPT:])

    def together(self, most: float, now: float) -> float:
        """Say how many requests a second all may send that send any, at most ``most``."""
        accounts = self._throttles.of_accounts()
        paces = (throttle.pace(now) for _, throttle in accounts if not throttle.at_rest(now))
        return min(most, sum(pace.rps for pace in paces if pace is not None))

    def forget(self) -> None:
        """Forget what accounts were told; whether they have queues stays as it is."""
        self.each, self._told_until = None, NEVER
