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

from orchestrator.domain.active_limits import ActiveLimit, ActiveLimitKind, Scope
from orchestrator.domain.budgets import BudgetUnit
from orchestrator.domain.fairness import Ticket
from orchestrator.domain.heard import REFUSALS, Heard
from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.pacing import Pace, PaceState
from orchestrator.domain.path_class import PathClass
from orchestrator.domain.refusals import AnsweredPaths, Finding, Judgement, Refusal, Refusals
from orchestrator.domain.throttle import Throttle
from orchestrator.domain.troubles import Troubles
from orchestrator.domain.witnesses import Asked, Soloists, Witnesses

SWITCHED_AT_MOST_EVERY_S = 60.0
THROTTLES_MOST = 10_000
ACCOUNTS_KEPT = 200
"""So many accounts' own paces outlive a restart; the others are told theirs with their next answers."""
SWEPT_FROM = 64
NEVER = -math.inf
"""One object for all: written out anew it is another each time, and there are very many domains."""


class Word(Enum):
    """What a target may say."""

    PACE = auto()
    PAUSE = auto()
    REFUSAL = auto()


Kind = Word | BudgetUnit
"""What witnesses can bear witness to. Each kind has its own: a budget says nothing of a pause."""


CUSTOMER_MARK = "@"
"""No account's id begins so."""
UNTOLD_KEY = ""
"""Of the throttle that those share that were told no pace of their own, where accounts have queues."""
TROUBLE_KEY, SUSPECTS_KEY = "~", "?"
"""Of the throttles that path classes in trouble share, and suspects; no account or customer is named so."""
SUSPECTS = PathClass("?")
"""Stands for the path class of whoever is only suspect."""


def customer_key(customer: CustomerId) -> str:
    """Name the throttle that binds a customer, whatever its account."""
    return f"{CUSTOMER_MARK}{customer}"


class Binding:
    """The throttles of one domain, its accounts and its customers. All times are monotonic seconds."""

    __slots__ = (
        "_answered",
        "_queues_by_default",
        "_refused",
        "_soloists",
        "_swept_at",
        "_switched_at",
        "_told_until",
        "_witnesses",
        "each",
        "queues_told",
        "throttle",
        "throttles",
        "troubles",
    )

    def __init__(self, *, account_queues: bool = False) -> None:
        self._queues_by_default = account_queues
        self.queues_told: bool | None = None
        """What the target said of account queues, if it did."""
        self.each: Pace | None = None
        """The pace of those that were told none of their own; None while that is everybody."""
        self._told_until = NEVER
        self.throttle: Throttle | None = None
        """The domain's own."""
        self.throttles: dict[str, Throttle] | None = None
        """By account id, or ``customer_key``."""
        # Most domains never need these: an idle one has to be small.
        self._witnesses: dict[tuple[Kind, bool], Witnesses] | None = None
        self._soloists: Soloists | None = None
        self._refused: tuple[CustomerId, float] | None = None
        """Who alone was refused without a word, and until when that binds the whole domain."""
        self._answered = AnsweredPaths()
        self.troubles: Troubles | None = None
        self._switched_at = NEVER
        self._swept_at = SWEPT_FROM

    @property
    def account_queues(self) -> bool:
        """Whether each account has a queue of its own."""
        return self._queues_by_default if self.queues_told is None else self.queues_told

    @property
    def next_change_at(self) -> float:
        """When a throttle's rate goes over to a customer, or no account has a pace of its own any more;
        infinite where nothing of that will be.
        """
        handed_over_at = math.inf if self._refused is None else self._refused[1]
        return handed_over_at if self.each is None else min(handed_over_at, self._told_until)

    def at_rest(self, now: float) -> bool:
        """Whether no throttle holds any more."""
        holding = [self.throttle] if self.throttle is not None else []
        holding += (self.throttles or {}).values()
        told = self.queues_told is not None or self._refused is not None
        return not told and all(throttle.at_rest(now) for throttle in holding)

    def lapse(self, now: float) -> None:
        """Let go of what is over."""
        if self._refused is not None and now >= self._refused[1]:
            self._hand_over(self._refused[0], now)
        if self.throttle is not None and self.throttle.at_rest(now):
            self.throttle = None
            self.troubles = None

    def throttles_of(
        self, customer: CustomerId, account: AccountId | None, now: float
    ) -> list[tuple[str, Throttle]]:
        """List what binds a customer's requests with an account, besides the domain's own throttle."""
        if not self.throttles and self.each is None:
            return []
        throttles = self.throttles or {}
        bound = [(key, throttles[key]) for key in (customer_key(customer), account) if key in throttles]
        if self.each is not None and self.told_pace(account, now) is None:
            bound.append((UNTOLD_KEY, self.untold(now)))
        return bound

    def told_pace(self, account: AccountId | None, now: float) -> Pace | None:
        """Say which pace an account was told as its own; None where it keeps to the domain's."""
        throttle = (self.throttles or {}).get(account) if account is not None else None
        told = throttle.told_now(now) if throttle is not None else None
        return told and told[0]

    def tell_account(self, account: AccountId, pace: PaceState, now: float) -> bool:
        """Keep an account to what its own answer told; say whether that is new."""
        throttle, before = self.throttle_of(account, now), self.told_pace(account, now)
        until = math.inf if pace.lapses_at is None else pace.lapses_at
        throttle.tell(pace.pace, now, pace.source, until=until)
        if before is None:
            # What it started until now counts with its target, and in no window of its own.
            throttle.told.pause(now + pace.pace.window_s)
        self._told_until = max(self._told_until, until)
        return before != pace.pace

    def begin_windows(self, at: float) -> None:
        """Let accounts that were told a pace wait a window of it from ``at`` on."""
        for _, throttle in self._accounts():
            if (told := throttle.told_now(at)) is not None:
                throttle.told.pause(at + told[0].window_s)

    def share(self, domain: Pace, now: float) -> None:
        """Keep those accounts to the ``domain``'s pace together that were told none of their own; while none
        was, that is everybody, and no matter of throttles.
        """
        apart = self.account_queues and now < self._told_until
        if not apart and self.each is not None:
            for _, throttle in self._accounts():
                throttle.let_go()
            self._told_until = NEVER
        self.each = domain if apart else None

    def untold(self, now: float) -> Throttle:
        """Find the throttle of those that were told no pace of their own, or make it."""
        throttle = self.throttle_of(UNTOLD_KEY, now)
        throttle.keep_to(self.each)
        return throttle

    def accounts_told(self, now: float) -> Iterator[tuple[str, Pace, float, str]]:
        """Give the paces that accounts were told, some of the latest: when each lapses, and its header."""
        told = ((key, throttle.told_now(now)) for key, throttle in self._accounts()) if self.each else ()
        known = [(key, *said) for key, said in told if said is not None and key != UNTOLD_KEY]
        return iter(known[-ACCOUNTS_KEPT:])

    def together(self, most: float, now: float) -> float:
        """Say how many requests a second all may send that send any, at most ``most``."""
        paces = (throttle.pace(now) for _, throttle in self._accounts() if not throttle.at_rest(now))
        return min(most, sum(pace.rps for pace in paces if pace is not None))

    def _accounts(self) -> Iterator[tuple[str, Throttle]]:
        throttles = (self.throttles or {}).items()
        return ((key, throttle) for key, throttle in throttles if not key.startswith(CUSTOMER_MARK))

    def on_the_way_of(self, ticket: Ticket, now: float) -> list[tuple[str, Throttle]]:
        """List what a request has to go through, besides the domain's own throttle: what binds its customer
        and its account, and the share of those that wait apart.
        """
        bound = self.throttles_of(ticket.customer, ticket.account, now)
        if self.troubles is None or (apart := self.apart(ticket)) is None:
            return bound
        rps = min(
            [self.troubles.pace.rps, *(t.rate(now) for t in self.known(ticket.customer, ticket.account))]
        )
        if apart == SUSPECTS:
            return [(SUSPECTS_KEY, self.troubles.suspects(rps, now)), *bound]
        return [(TROUBLE_KEY, self.troubles.trickle(rps, now)), *bound]

    def apart(self, ticket: Ticket) -> PathClass | None:
        """Say with what a request waits apart from others of its account: its path class, or SUSPECTS; None
        where it does not.
        """
        if self.troubles is None:
            return None
        if self.troubles.hold(ticket.account, ticket.path):
            return ticket.path
        account = self.throttles.get(ticket.account) if self.throttles and ticket.account else None
        for throttle in (self.throttle, account):
            refusals = throttle.refusals if throttle is not None else None
            if refusals is not None and refusals.suspects(ticket.job_id, ticket.path):
                return SUSPECTS
        return None

    def judge(self, heard: Heard, pace: Pace, now: float, *, asks_to_wait: bool, stated: bool) -> Finding:
        """Say what a refusal is about, and take back earlier ones that were no matter of the rate.

        Args:
            heard: The answer that refused.
            pace: The one in force.
            now: The present.
            asks_to_wait: Whether it named a wait that lies ahead, or told of its limits.
            stated: Whether the target states its pace where it lets requests through.

        """
        account = heard.account if heard.binds_account else None
        throttle = self.own() if account is None else self.account(account, heard.customer, now)
        if throttle.refusals is None:
            throttle.refusals = Refusals(self._answered if account is None else self._answered.copy())
        refusal = Refusal(heard.job, heard.customer, heard.path, heard.started_at, asks_to_wait)
        judgement = throttle.refusals.judge(refusal, now, stated=stated)
        self._take_back(judgement, account)
        self.troubles = Troubles(pace) if self.troubles is None else self.troubles
        if judgement.finding is Finding.CONTAINED:
            self.troubles.begin(account, heard.path, heard.customer)
        elif judgement.finding is Finding.HOLDS:
            for held in self.known(heard.customer, account):
                held.hold_rate(now)
        return judgement.finding

    def contains(self, heard: Heard) -> bool:
        """Whether an answer, be it a probe's, refuses what is of a path class in trouble already."""
        if heard.status not in REFUSALS or self.troubles is None:
            return False
        return self.troubles.of(heard.account if heard.binds_account else None, heard.path)

    def heard_answer(self, heard: Heard, now: float) -> None:
        """A request was let through."""
        self._answered.note(heard.path, now)
        if self.troubles is not None:
            self.troubles.heard_answer(heard.account, heard.path)
        for throttle in self.known(heard.customer, heard.account):
            if throttle.refusals is not None:
                throttle.refusals.heard_answer(heard.job, heard.customer, heard.path, heard.started_at, now)

    def doubt_tried_rates(self) -> None:
        """The target states a pace where it lets requests through, as it did not before: that outweighs what
        was found by trying, unless it refuses many all the same.
        """
        for throttle in (self.throttle, *(self.throttles or {}).values()):
            refusals = throttle.refusals if throttle is not None else None
            if throttle is not None and not (refusals is not None and refusals.many):
                throttle.forget_rate()

    def _take_back(self, judgement: Judgement, account: AccountId | None) -> None:
        for job, customer in judgement.withdrawn:
            for throttle in self.known(customer, account):
                throttle.withdraw(job)

    def known(self, customer: CustomerId, account: AccountId | None) -> list[Throttle]:
        """List the throttles that there are for a request: of its domain, its customer and its account."""
        throttles = self.throttles or {}
        found = [throttles[key] for key in (customer_key(customer), account) if key in throttles]
        return found if self.throttle is None else [self.throttle, *found]

    def active_limits_for(
        self, customer: CustomerId | None, shown: Iterable[ActiveLimit], now: float
    ) -> Iterator[ActiveLimit]:
        """Show what binds a customer here, or the accounts whose answers it was last to hear, besides what
        is ``shown`` of the domain; of None, what binds anybody.
        """
        # While what one customer was told holds the whole domain, it stands there.
        all_of_it = {(signal.kind, signal.source, signal.rps) for signal in shown}
        for key, throttle in (self.throttles or {}).items():
            whose = throttle.heard_by or CustomerId(key.removeprefix(CUSTOMER_MARK))
            if customer not in (None, whose):
                continue
            for signal in self._limits_of(key, throttle, now):
                if signal.binds is Scope.ACCOUNT or (signal.kind, signal.source, signal.rps) not in all_of_it:
                    yield signal

    def limit_apart(self, ticket: Ticket, now: float) -> ActiveLimit | None:
        """Show what path classes in trouble share, where a request is of one; None where it is not."""
        if self.troubles is None or not self.troubles.hold(ticket.account, ticket.path):
            return None
        _, throttle = self.on_the_way_of(ticket, now)[0]
        pace = throttle.pace(now)
        rps = None if pace is None else pace.rps
        return ActiveLimit(kind=ActiveLimitKind.TROUBLE, source=ticket.path, rps=rps, binds=Scope.PATH)

    def limits_for(
        self, customer: CustomerId, account: AccountId | None, now: float
    ) -> Iterator[ActiveLimit]:
        """Show what binds a customer's requests with an account, besides what binds the whole domain."""
        for key, throttle in self.throttles_of(customer, account, now):
            yield from self._limits_of(key, throttle, now)

    def _limits_of(self, key: str, throttle: Throttle, now: float) -> Iterator[ActiveLimit]:
        if key.startswith(CUSTOMER_MARK):
            whose = CustomerId(key.removeprefix(CUSTOMER_MARK))
            named: dict[str, Any] = {"binds": Scope.CUSTOMER, "customer": whose}
        else:
            named = {"binds": Scope.ACCOUNT, "customer": throttle.heard_by, "account": AccountId(key)}
        return (replace(signal, **named) for signal in throttle.active_limits(now))

    def forget(self) -> None:
        """Drop every throttle, and who bore witness to what. Whether accounts have queues stays as it is."""
        self.throttle = self.throttles = self._witnesses = self._soloists = self._refused = None
        self.each, self._told_until, self.troubles = None, NEVER, None
        self._swept_at = SWEPT_FROM

    def switch(self, account_queues: bool | None, now: float) -> bool:
        """Regrouping a long queue is work: a page that says now this and now that is not followed."""
        if (
            account_queues in (None, self.account_queues)
            or now < self._switched_at + SWITCHED_AT_MOST_EVERY_S
        ):
            return False
        self.queues_told = account_queues
        self._switched_at = now
        return True

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

    def two_accounts_heard(self, kind: Kind, account: AccountId, asked: Asked, now: float) -> bool:
        """Note what an account was told; say whether that is the domain's matter."""
        return self._who_heard(kind, account=True).hear(account, asked, now) and not self.account_queues

    def _who_heard(self, kind: Kind, *, account: bool = False) -> Witnesses:
        self._witnesses = self._witnesses if self._witnesses is not None else {}
        return self._witnesses.setdefault((kind, account), Witnesses())

    def let_go(self, customer: CustomerId) -> None:
        """A customer was told a better pace than its own throttle keeps to."""
        throttle = (self.throttles or {}).get(customer_key(customer))
        if throttle is not None:
            throttle.let_go()

    def bound(
        self, heard: Heard, kind: Kind, asked: Asked, now: float, *, shared: bool = True
    ) -> list[tuple[Throttle, float]]:
        """List whom an answer binds, and until when. ``shared``: of two accounts that hear it, all."""
        if not heard.binds_account or heard.account is None:
            return self._domain_or_customer(heard.customer, kind, asked, now)
        bound = [(self.account(heard.account, heard.customer, now), math.inf)]
        if shared and self.two_accounts_heard(kind, heard.account, asked, now):
            bound += self._domain_or_customer(heard.customer, kind, asked, now)
        return bound

    def _domain_or_customer(
        self, customer: CustomerId, kind: Kind, asked: Asked, now: float
    ) -> list[tuple[Throttle, float]]:
        until = self.binds_until(kind, customer, asked, now)
        if until <= now:
            return [(self.throttle_of(customer_key(customer), now), math.inf)]
        if kind is Word.REFUSAL:
            # A rate is found by trying, and by one throttle: it goes over to the customer whole.
            self._refused = None if until == math.inf else (customer, until)
            return [(self.own(), until)]
        alone = [] if until == math.inf else [(self.throttle_of(customer_key(customer), now), math.inf)]
        return [(self.own(), until), *alone]

    def _hand_over(self, customer: CustomerId, now: float) -> None:
        """Nobody else was refused: from now on the rate found by trying binds the one who was."""
        if self.throttle is not None:
            self.throttle_of(customer_key(customer), now).take_tried_rate(self.throttle)
        self._refused = None

    def own(self) -> Throttle:
        """Find the domain's own throttle, or make it."""
        self.throttle = self.throttle or Throttle()
        return self.throttle

    def account(self, account: AccountId, customer: CustomerId, now: float) -> Throttle:
        """Find an account's throttle, or make it, for what ``customer`` hears."""
        throttle = self.throttle_of(account, now)
        throttle.heard_by = customer
        return throttle

    def throttle_of(self, key: str, now: float) -> Throttle:
        """Find the throttle of an account or a ``customer_key``, or make it."""
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
