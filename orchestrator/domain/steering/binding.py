"""Whom a target's words bind: its domain, an account or a customer, each with a throttle of its own.

``X-EZTHROTTLE-*``, ``X-Aqueduct-*`` and 503s bind the domain; a 429 or a budget that answers a request with
credentials binds that account, and the domain once two accounts hear it. What lowers a domain's pace and
only one customer hears binds others for a minute at most; it binds that customer as long as it was meant.
Another customer bears witness only to what it was told as strictly, of the same kind. Where each account
has a queue, a pace binds the account that was answered: it leaves the domain's, which all others share.
"""

import math
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Any

from msgspec.structs import replace

from orchestrator.domain.headers.budgets import BudgetUnit
from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.pace.active_limits import ActiveLimit, ActiveLimitKind, Scope
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.account_paces import AccountPaces
from orchestrator.domain.steering.heard import Heard
from orchestrator.domain.steering.refusal_judge import RefusalJudge
from orchestrator.domain.steering.throttle import Throttle
from orchestrator.domain.steering.throttles import CUSTOMER_MARK, Throttles, customer_key
from orchestrator.domain.steering.witnesses import Asked, Soloists, Witnesses

TROUBLE_KEY, SUSPECTS_KEY = "~", "?"
"""Of the throttles that path classes in trouble share, and suspects; no account or customer is named so."""


class Word(Enum):
    """What a target may say."""

    PACE = auto()
    PAUSE = auto()
    REFUSAL = auto()


Kind = Word | BudgetUnit
"""What witnesses can bear witness to. Each kind has its own: a budget says nothing of a pause."""


class Binding:
    """Joins a domain's throttles, the paces of its accounts and the judge of its refusals, and says whom an
    answer binds. All times are monotonic seconds.
    """

    __slots__ = ("_refused", "_soloists", "_witnesses", "accounts", "judge", "throttles")

    def __init__(self, *, account_queues: bool = False) -> None:
        self.throttles = Throttles()
        self.accounts = AccountPaces(self.throttles, queues=account_queues)
        self.judge = RefusalJudge(self.throttles)
        # Most domains never need these: an idle one has to be small.
        self._witnesses: dict[tuple[Kind, bool], Witnesses] | None = None
        self._soloists: Soloists | None = None
        self._refused: tuple[CustomerId, float] | None = None
        """Who alone was refused without a word, and until when that binds the whole domain."""

    @property
    def any(self) -> bool:
        """Whether anybody is bound by more than the domain's own throttle."""
        return bool(
            self.throttles.by_key or self.accounts.each is not None or self.judge.troubles is not None
        )

    @property
    def next_change_at(self) -> float:
        """When a throttle's rate goes over to a customer, or no account has a pace of its own any more;
        infinite where nothing of that will be.
        """
        handed_over_at = math.inf if self._refused is None else self._refused[1]
        return min(handed_over_at, self.accounts.next_change_at)

    def at_rest(self, now: float) -> bool:
        """Whether no throttle holds any more."""
        told = self.accounts.queues_told is not None or self._refused is not None
        return not told and self.throttles.at_rest(now)

    def lapse(self, now: float) -> None:
        """Let go of what is over."""
        if self._refused is not None and now >= self._refused[1]:
            # Nobody else was refused: from now on the rate found by trying binds the one who was.
            self.throttles.hand_over(self._refused[0], now)
            self._refused = None
        if self.throttles.own is not None and self.throttles.own.at_rest(now):
            self.throttles.own = None
            self.judge.forget()

    def on_the_way_of(self, ticket: Ticket, now: float) -> list[tuple[str, Throttle]]:
        """List what a request has to go through, besides the domain's own throttle: what binds its customer
        and its account, and the share of those that wait apart.
        """
        bound = self.accounts.bound(ticket.customer, ticket.account, now)
        troubles = self.judge.troubles
        if troubles is None or self.judge.apart(ticket) is None:
            return bound
        known = self.throttles.known(ticket.customer, ticket.account)
        rps = min([troubles.pace.rps, *(throttle.rate(now) for throttle in known)])
        if self.judge.in_trouble(ticket):
            return [(TROUBLE_KEY, troubles.trickle(rps, now)), *bound]
        return [(SUSPECTS_KEY, troubles.suspects(rps, now)), *bound]

    def forget(self) -> None:
        """Drop every throttle, and who bore witness to what. Whether accounts have queues stays as it is."""
        self._witnesses = self._soloists = self._refused = None
        self.throttles.forget()
        self.accounts.forget()
        self.judge.forget()

    def binds_until(self, kind: Kind, customer: CustomerId, asked: Asked, now: float) -> float:
        """Note what a customer was told; say until when that binds all: a time that has passed where it binds
        that customer only.
        """
        witnesses = self._who_heard(kind)
        if not witnesses.hear(customer, asked, now):
            self._soloists = self._soloists or Soloists()
            return self._soloists.binds_until(customer, now)
        if kind is Word.REFUSAL:
            # Each is a blow to the rate of all: those of one customer must not add up to those of many.
            witnesses.use_up(customer)
        return math.inf

    def pause(self, heard: Heard, now: float, wait_s: float) -> bool:
        """Let those wait whom an answer binds that named a wait; say that this is worth keeping."""
        for throttle, until in self.bound(heard, Word.PAUSE, (1 / wait_s,), now):
            throttle.pause(min(now + wait_s, until), now)
        return True

    def two_accounts_paced(self, account: AccountId, pace: Pace, now: float) -> bool:
        """Note which pace an account was told; say whether that is the domain's matter."""
        return self.two_accounts_heard(Word.PACE, account, (pace.rps, float(pace.max_concurrent)), now)

    def two_accounts_heard(self, kind: Kind, account: AccountId, asked: Asked, now: float) -> bool:
        """Note what an account was told; say whether that is the domain's matter."""
        heard = self._who_heard(kind, account=True).hear(account, asked, now)
        return heard and not self.accounts.have_queues

    def _who_heard(self, kind: Kind, *, account: bool = False) -> Witnesses:
        self._witnesses = self._witnesses if self._witnesses is not None else {}
        return self._witnesses.setdefault((kind, account), Witnesses())

    def bound(
        self, heard: Heard, kind: Kind, asked: Asked, now: float, *, shared: bool = True
    ) -> list[tuple[Throttle, float]]:
        """List whom an answer binds, and until when. ``shared``: of two accounts that hear it, all."""
        if not heard.binds_account or heard.account is None:
            return self._domain_or_customer(heard.customer, kind, asked, now)
        bound = [(self.throttles.account(heard.account, heard.customer, now), math.inf)]
        if shared and self.two_accounts_heard(kind, heard.account, asked, now):
            bound += self._domain_or_customer(heard.customer, kind, asked, now)
        return bound

    def _domain_or_customer(
        self, customer: CustomerId, kind: Kind, asked: Asked, now: float
    ) -> list[tuple[Throttle, float]]:
        until, throttles = self.binds_until(kind, customer, asked, now), self.throttles
        if until <= now:
            return [(throttles.of(customer_key(customer), now), math.inf)]
        if kind is Word.REFUSAL:
            # A rate is found by trying, and by one throttle: it goes over to the customer whole.
            self._refused = None if until == math.inf else (customer, until)
            return [(throttles.domain(), until)]
        alone = [] if until == math.inf else [(throttles.of(customer_key(customer), now), math.inf)]
        return [(throttles.domain(), until), *alone]

    def active_limits_for(
        self, customer: CustomerId | None, shown: Iterable[ActiveLimit], now: float
    ) -> Iterator[ActiveLimit]:
        """Show what binds a customer here, or the accounts whose answers it was last to hear, besides what
        is ``shown`` of the domain; of None, what binds anybody.
        """
        # While what one customer was told holds the whole domain, it stands there.
        all_of_it = {(signal.kind, signal.source, signal.rps) for signal in shown}
        for key, throttle in (self.throttles.by_key or {}).items():
            whose = throttle.heard_by or CustomerId(key.removeprefix(CUSTOMER_MARK))
            if customer not in (None, whose):
                continue
            for signal in _limits_of(key, throttle, now):
                if signal.binds is Scope.ACCOUNT or (signal.kind, signal.source, signal.rps) not in all_of_it:
                    yield signal

    def limit_apart(self, ticket: Ticket, now: float) -> ActiveLimit | None:
        """Show what path classes in trouble share, where a request is of one; None where it is not."""
        troubles = self.judge.troubles
        if troubles is None or not troubles.hold(ticket.account, ticket.path):
            return None
        _, throttle = self.on_the_way_of(ticket, now)[0]
        pace = throttle.pace(now)
        rps = None if pace is None else pace.rps
        return ActiveLimit(kind=ActiveLimitKind.TROUBLE, source=ticket.path, rps=rps, binds=Scope.PATH)

    def limits_for(
        self, customer: CustomerId, account: AccountId | None, now: float
    ) -> Iterator[ActiveLimit]:
        """Show what binds a customer's requests with an account, besides what binds the whole domain."""
        for key, throttle in self.accounts.bound(customer, account, now):
            yield from _limits_of(key, throttle, now)


def _limits_of(key: str, throttle: Throttle, now: float) -> Iterator[ActiveLimit]:
    if key.startswith(CUSTOMER_MARK):
        whose = CustomerId(key.removeprefix(CUSTOMER_MARK))
        named: dict[str, Any] = {"binds": Scope.CUSTOMER, "customer": whose}
    else:
        named = {"binds": Scope.ACCOUNT, "customer": throttle.heard_by, "account": AccountId(key)}
    return (replace(signal, **named) for signal in throttle.active_limits(now))
