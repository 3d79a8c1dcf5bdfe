"""The limiter's promise, checked from outside: by first bytes, and by what targets said.

At the moment of a grant the limiter has to have room for it: of all that was granted before, no more may
have started in the last window, be about to start, or be in flight, than the pace then in force allows.
So whichever request of a window was granted last, the window's requests fit its pace, with nothing forgiven.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator
from math import inf

from msgspec import Struct

from orchestrator.domain.ids import AccountId, CustomerId, TargetDomain
from orchestrator.domain.pace.pacing import LAPSE_INTERVALS, LAPSE_LEAST_S, Pace
from orchestrator.domain.requests.accounts import account_of
from orchestrator.domain.steering.heard import REFUSALS
from orchestrator.domain.steering.witnesses import ALONE_MOST_S, AS_LITTLE, WITNESSED_WITHIN_S
from tests.simulation.faults import SlowDisk
from tests.simulation.history import AnswerHeard, Grant, History, ShardBegan, TargetRequest
from tests.simulation.scenario import Scenario
from tests.simulation.specs import EPOCH_MS

ROUNDING_S = 1e-6
COMMITS_BEFORE_SENDING = 3
"""A job may be read, and an at-most-once attempt is marked, between taking a permit and sending."""


class Start(Struct, frozen=True):
    """A request and the grant that it started by; ``order`` counts grants."""

    order: int
    grant: Grant
    request: TargetRequest

    @property
    def at(self) -> float:
        """Virtual s of the first byte."""
        return self.request.first_byte_at

    def in_flight_at(self, at: float, history: History) -> bool:
        """Whether its connection was open. What a frozen executor holds can't be closed: not counted."""
        if self.request.closed_at is not None and self.request.closed_at <= at:
            return False
        return not history.frozen_s(self.request.region, at - ROUNDING_S, at + ROUNDING_S)


def every_start_was_granted(scenario: Scenario, history: History) -> Iterator[str]:
    """Nothing reaches a target around its limiter."""
    granted = {id(start.request) for starts in starts_by_domain(history).values() for start in starts}
    for request in history.requests:
        if id(request) not in granted:
            at = f"{request.first_byte_at:.3f} s"
            yield f"attempt {request.number} of {request.job_id} started ungranted at {at}"


def the_pace_is_never_exceeded(scenario: Scenario, history: History) -> Iterator[str]:
    """No rolling window holds more first bytes than the pace in force allows."""
    for whose, starts, line in lines(scenario, history):
        for last in starts:
            paces = line.when_granted(last)
            excess = min(_most_in_a_window(starts, last, pace.window_s) - pace.starts for pace in paces)
            if excess > 0:
                when = f"at {last.at:.3f} s, granted {last.grant.at:.3f} s"
                yield f"{whose} got {excess} too many {when}: {paces}"


def in_flight_is_never_exceeded(scenario: Scenario, history: History) -> Iterator[str]:
    """When a request is let out, fewer are in flight than the pace in force allows."""
    for whose, starts, line in lines(scenario, history):
        for last in starts:
            beside = (s for s in line.sharing(starts, last) if s.order <= last.order)
            places = sum(s.in_flight_at(last.grant.at, history) for s in beside)
            paces = line.when_granted(last)
            if places > max(pace.max_concurrent for pace in paces):
                yield f"{whose} had {places} in flight by a grant at {last.grant.at:.3f} s: {paces}"


def lines(scenario: Scenario, history: History) -> Iterator[tuple[str, list[Start], "PaceLine"]]:
    """Give what keeps to one pace together, and that pace: all starts at a domain; where accounts have queues
    the starts of each that was told a pace of its own, and those of all others.
    """
    queues = {target.host for target in scenario.targets if target.account_queues}
    for domain, starts in starts_by_domain(history).items():
        if domain.partition(":")[0] in queues:
            yield from _lines_by_account(scenario, history, domain, starts)
        else:
            yield str(domain), starts, PaceLine(scenario, history, domain)


def _lines_by_account(
    scenario: Scenario, history: History, domain: TargetDomain, starts: list[Start]
) -> Iterator[tuple[str, list[Start], "PaceLine"]]:
    rest = RestLine(scenario, history, domain)
    by_account: defaultdict[AccountId | None, list[Start]] = defaultdict(list)
    for start in starts:
        by_account[account_of_request(history, start.request)].append(start)
    untold = by_account.pop(None, [])
    for account, own in by_account.items():
        line = AccountLine(scenario, history, domain, rest, account, own)
        rest.accounts.update((start.order, line) for start in own)
        untold += [start for start in own if line.told_when_granted(start) is False]
        told = [start for start in own if line.told_when_granted(start)]
        yield f"{domain} of {account}", told, line
    yield f"{domain} of the others", sorted(untold, key=lambda start: start.at), rest


def account_of_request(history: History, sent: AnswerHeard | TargetRequest) -> AccountId | None:
    """Name the account in whose name a request was sent; None where it named none."""
    job = history.submitted.get(sent.job_id)
    if job is None:
        return None
    spec = next(spec for spec in job.spec.steps if spec.url == sent.url)
    return account_of(job.customer, spec.account, spec.headers, spec.url)


def grant_slack_s(scenario: Scenario) -> float:
    """How long a permit may have been taken before its grant is posted."""
    slow_s = max((fault.for_s for fault in scenario.faults if isinstance(fault, SlowDisk)), default=0.0)
    return slow_s + COMMITS_BEFORE_SENDING * scenario.disk_s[1]


def starts_by_domain(history: History) -> dict[TargetDomain, list[Start]]:
    """Match each request with the last grant before it, in order of first bytes."""
    grants = defaultdict(list)
    for order, grant in enumerate(history.grants):
        grants[grant.job_id, grant.number, grant.region].append((grant.at, order, grant))
    starts = defaultdict(list)
    for request in history.requests:
        candidates = grants[request.job_id, request.number, request.region]
        before = bisect_right(candidates, request.first_byte_at + ROUNDING_S, key=lambda entry: entry[0])
        if before:
            _, order, grant = candidates[before - 1]
            starts[request.domain].append(Start(order, grant, request))
    return starts


class Held(Struct, frozen=True):
    """A pace in force, and when it lapses: virtual s, infinite where it does not."""

    pace: Pace
    lapses_at: float


class PaceLine:
    """A domain's pace over time, from what its target said in answers that reached the shard."""

    def __init__(
        self,
        scenario: Scenario,
        history: History,
        domain: TargetDomain,
        binds: Callable[[AnswerHeard], bool] = lambda _: True,
    ) -> None:
        self._base = scenario.pace
        self._slack_s = grant_slack_s(scenario)
        self._customers = CustomersTold(history, domain)
        self._lapses_at = inf
        self._lowered_since = inf
        self._told_last: CustomerId | None = None
        self._others: Held | None = None
        """What was told others than who lowered it since: that holds again when the lowered pace lapses."""
        self._times = [0.0]
        self._paces = [self._at_first()]
        heard: list[AnswerHeard | ShardBegan] = [
            *(a for a in history.heeded() if a.domain == domain and a.steers and binds(a)),
            *(began for began in history.shards if began.shard == scenario.owner(domain)),
        ]
        for event in sorted(heard, key=lambda event: event.at):
            self._lapse(event.at)
            if isinstance(event, AnswerHeard):
                self._told(event)
            else:
                self._found(event, domain)
        self._lapse(history.ended_at)

    def _at_first(self) -> Pace:
        return self._base

    def when_granted(self, start: Start) -> list[Pace]:
        """List the paces in force from when a start's permit was taken until it was sent."""
        first = bisect_left(self._times, start.grant.taken_at - ROUNDING_S) - 1
        return self._paces[max(0, first) : bisect_right(self._times, start.grant.at + ROUNDING_S)]

    def sharing(self, starts: list[Start], last: Start) -> list[Start]:
        """List those that may take the places that the grant of ``last`` had to find free."""
        return starts

    def fastest(self, since: float, until: float) -> float:
        """Say how many requests a second the pace allowed at most between two times."""
        first = bisect_right(self._times, since - self._slack_s) - 1
        return max(pace.rps for pace in self._paces[max(0, first) : bisect_right(self._times, until)])

    def at(self, when: float) -> Pace:
        """Say which pace is in force at a time."""
        return self._paces[bisect_right(self._times, when) - 1]

    def _told(self, answer: AnswerHeard) -> None:
        before, customer = Held(self._paces[-1], self._lapses_at), self._customers.whose(answer)
        pace = Pace(answer.rps or before.pace.rps, answer.max_concurrent or before.pace.max_concurrent)
        others, kept = self._others_than(customer, before), self._others
        witnessed = self._lowers(pace, others) and self._customers.hear(answer, pace)
        if not witnessed and not self._customers.alone(answer):
            self._told_alone(answer, pace, before)
            return
        # The second to be told as little replaces nothing: what the first replaced comes back, if anything.
        lapses_at = self._lapse_at(answer, pace)
        if not witnessed:
            lapses_at = min(lapses_at, self._customers.alone_until(answer))
        self._set(answer.at, pace, lapses_at, others)
        self._others = kept if witnessed else self._others
        self._told_last = customer

    def _told_alone(self, answer: AnswerHeard, asked: Pace, before: Held) -> None:
        """Bind all only to what is no lower than before."""
        pace = Pace(max(asked.rps, before.pace.rps), max(asked.max_concurrent, before.pace.max_concurrent))
        lapses_at = min(self._lapse_at(answer, asked), self._lapses_at)
        self._set(answer.at, pace, lapses_at, self._others)
        if pace != before.pace:
            self._told_last = self._customers.whose(answer)

    def _others_than(self, customer: CustomerId | None, before: Held) -> Held | None:
        return self._others or (before if customer != self._told_last else None)

    def _lowers(self, pace: Pace, others: Held | None) -> bool:
        return _lower(pace, self._base) or (others is not None and _lower(pace, others.pace))

    def _lapse_at(self, answer: AnswerHeard, pace: Pace) -> float:
        """Say when a pace lapses that an answer lowered."""
        lapse_s = max(LAPSE_LEAST_S, LAPSE_INTERVALS * pace.window_s)
        self._lowered_since = min(self._lowered_since, answer.at)
        # Alone in what it was told, a customer holds all others down for a minute.
        return min(answer.at + lapse_s, self._lowered_since + LAPSE_LEAST_S)

    def _found(self, began: ShardBegan, domain: TargetDomain) -> None:
        learned = began.paces.get(domain)
        lapses_ms = learned.lapses_ms if learned is not None else None
        lapses_at = inf if lapses_ms is None else (lapses_ms - EPOCH_MS) / 1000
        told = learned.pace if learned is not None else None
        self._customers.begin(began.at)
        self._told_last = None
        self._set(began.at, told or self._base, lapses_at)

    def _set(self, at: float, pace: Pace, lapses_at: float, others: Held | None = None) -> None:
        lowered = self._lowers(pace, others)
        self._lapses_at = lapses_at if lowered else inf
        self._lowered_since = min(self._lowered_since, at) if lowered else inf
        self._others = others if lowered else None
        self._times.append(at)
        self._paces.append(pace)

    def _lapse(self, now: float) -> None:
        while self._lapses_at <= now:
            at, others = self._lapses_at, self._others
            back = others if others is not None and others.lapses_at > at else Held(self._base, inf)
            self._told_last = None
            self._set(at, back.pace, back.lapses_at)


class CustomersTold:
    """Which customers a domain's target told of a pace, and so whom that binds: what another was told as
    strictly, or who has not been alone with it for a minute yet, binds all.
    """

    def __init__(self, history: History, domain: TargetDomain) -> None:
        self._whose = {job_id: job.customer for job_id, job in history.submitted.items()}
        callers = {
            self._whose.get(request.job_id) for request in history.requests if request.domain == domain
        }
        self._only_one = len(callers) == 1
        self._asked = [answer for answer in history.answers if answer.domain == domain and _asks(answer)]
        self._began_at = 0.0
        self._paces: dict[CustomerId | None, tuple[float, Pace]] = {}
        """What each was told last, and when."""

    def begin(self, at: float) -> None:
        """Who was told what has not outlived a shard."""
        self._began_at = at
        self._paces.clear()

    def whose(self, answer: AnswerHeard) -> CustomerId | None:
        """Name the customer whose request was answered."""
        return self._whose.get(answer.job_id)

    def hear(self, answer: AnswerHeard, pace: Pace) -> bool:
        """Note what lower pace an answer told its customer; say whether another was told as little."""
        customer = self.whose(answer)
        others = [told for whose, told in self._paces.items() if whose != customer]
        self._paces[customer] = answer.at, pace
        return any(answer.at - at < WITNESSED_WITHIN_S and _as_little(other, pace) for at, other in others)

    def alone(self, answer: AnswerHeard) -> bool:
        """Say whether what one customer alone was told binds all: for a minute, or as there are no others."""
        return answer.at < self.alone_until(answer)

    def alone_until(self, answer: AnswerHeard) -> float:
        """Say until when what one customer alone was told binds all, whatever it was told before."""
        return inf if self._only_one else self._first_asked(self.whose(answer)) + ALONE_MOST_S

    def _first_asked(self, customer: CustomerId | None) -> float:
        """Say when it may first have been told something that nobody else was, of whatever kind."""
        asked = (answer for answer in self._asked if self._whose.get(answer.job_id) == customer)
        return min(answer.at for answer in asked if answer.at >= self._began_at)


def _asks(answer: AnswerHeard) -> bool:
    told = answer.steers or answer.quota is not None or answer.retry_after_s is not None
    return told or answer.status in REFUSALS


def _lower(pace: Pace, than: Pace) -> bool:
    return pace.rps < than.rps or pace.max_concurrent < than.max_concurrent


def _as_little(other: Pace, pace: Pace) -> bool:
    most = AS_LITTLE * pace.max_concurrent
    return other.rps <= AS_LITTLE * pace.rps and other.max_concurrent <= most


class RestLine(PaceLine):
    """The pace of all that were told none of their own."""

    def __init__(self, scenario: Scenario, history: History, domain: TargetDomain) -> None:
        super().__init__(
            scenario, history, domain, lambda answer: account_of_request(history, answer) is None
        )
        self.accounts: dict[int, AccountLine] = {}
        """By the order of each start that is of an account."""

    def sharing(self, starts: list[Start], last: Start) -> list[Start]:
        """Leave out whose account was told a pace meanwhile: it is none of them any more, and counts what it
        has in flight for itself.
        """
        return [
            start
            for start in starts
            if (line := self.accounts.get(start.order)) is None or line.told_when_granted(last) is False
        ]


class AccountLine(PaceLine):
    """The pace that one account was told as its own, and when it was told none. What it was not told of a
    rate and a number in flight, or has lapsed of them, stands as 0 in ``_paces``: it is as for all others.
    """

    def __init__(
        self,
        scenario: Scenario,
        history: History,
        domain: TargetDomain,
        rest: PaceLine,
        account: AccountId | None,
        starts: list[Start],
    ) -> None:
        self._rest, self._account = rest, account
        self._starts = starts
        self._parts_until = 0.0, 0.0
        super().__init__(
            scenario, history, domain, lambda answer: account_of_request(history, answer) == account
        )

    def _at_first(self) -> Pace:
        return _TOLD_NOTHING

    def sharing(self, starts: list[Start], last: Start) -> list[Start]:
        """Count all its own, also what was let out before it was told anything."""
        return self._starts

    def when_granted(self, start: Start) -> list[Pace]:
        """List them with what is everybody's in them."""
        shared = self._rest.when_granted(start)
        return [_joined(own, other) for own in super().when_granted(start) for other in shared]

    def told_when_granted(self, start: Start) -> bool | None:
        """Whether it had a pace of its own when a start's permit was taken; None where that can't be said."""
        own = {pace != _TOLD_NOTHING for pace in super().when_granted(start)}
        return own.pop() if len(own) == 1 else None

    def _told(self, answer: AnswerHeard) -> None:
        had = self._paces[-1]
        lapse_s = _joined(_asked(answer, had), self._rest.at(answer.at)).lapse_s
        rps_until, most_until = self._parts_until
        if answer.rps:
            rps_until = answer.at + lapse_s if answer.rps < self._base.rps else inf
        if answer.max_concurrent:
            lowers = answer.max_concurrent < self._base.max_concurrent
            most_until = answer.at + lapse_s if lowers else inf
        self._keep(answer.at, _asked(answer, had), rps_until, most_until)

    def _found(self, began: ShardBegan, domain: TargetDomain) -> None:
        learned = began.paces.get(domain)
        kept = [told for told in learned.accounts_told if told.account == self._account] if learned else []
        if not kept:
            self._keep(began.at, _TOLD_NOTHING, 0.0, 0.0)
            return
        until = inf if kept[0].lapses_ms is None else (kept[0].lapses_ms - EPOCH_MS) / 1000
        self._keep(began.at, Pace(kept[0].rps, kept[0].max_concurrent), until, until)

    def _keep(self, at: float, pace: Pace, rps_until: float, most_until: float) -> None:
        self._parts_until = rps_until, most_until
        self._times.append(at)
        self._paces.append(pace)

    def _lapse(self, now: float) -> None:
        for at in sorted(until for until in self._parts_until if until <= now):
            pace, (rps_until, most_until) = self._paces[-1], self._parts_until
            rps = pace.rps if rps_until > at else 0
            most = pace.max_concurrent if most_until > at else 0
            if (rps, most) != (pace.rps, pace.max_concurrent):
                self._keep(at, Pace(rps, most), rps_until, most_until)


_TOLD_NOTHING = Pace(0, 0)


def _asked(answer: AnswerHeard, before: Pace) -> Pace:
    return Pace(answer.rps or before.rps, answer.max_concurrent or before.max_concurrent)


def _joined(own: Pace, shared: Pace) -> Pace:
    return Pace(own.rps or shared.rps, own.max_concurrent or shared.max_concurrent)


def _most_in_a_window(starts: list[Start], last: Start, window_s: float) -> int:
    """Count the starts in the fullest window that holds ``last`` and nothing granted after it."""
    near = [s.at for s in starts if s.order <= last.order and abs(s.at - last.at) < window_s - ROUNDING_S]
    return max(
        sum(at <= other < at + window_s - ROUNDING_S for other in near) for at in near if at <= last.at
    )
