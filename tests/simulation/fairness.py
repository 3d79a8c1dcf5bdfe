"""The queues' promises, judged by what they were asked and what they gave.

Deficit round robin (Shreedhar and Varghese, 1995) with permits of one size: between two of an account's
turns every other account has at most one, of as many permits as its weight. Only who comes anew may see
two of another: one that came before it, and one that is due because eight newcomers have gone in a row.
So of two accounts that both have work none gets ahead by more than two turns, and however many jobs one has
queued, the first job of another waits for no more of them than that.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.policies import ExecutionMode
from orchestrator.domain.queueing.lanes import LaneKey
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import UNKNOWN_PATH
from tests.simulation.history import Grant, History
from tests.simulation.queues import Move, QueueEvent, QueueLog
from tests.simulation.scenario import Scenario

NEWCOMERS_WAIT = 2
"""Turns of another that who has just come may see before its own."""
TURNS_AHEAD = 2.0
ROUNDING = 1e-9


def nobody_is_passed_over(scenario: Scenario, history: History) -> Iterator[str]:
    """Whoever has work and is not held back sees of each other account at most one turn between its own,
    and at most two before its first.
    """
    for log in history.queues:
        passed: defaultdict[_Party, Counter[_Party]] = defaultdict(Counter)
        settled: set[_Party] = set()
        for event, queue in _replay(log):
            ready = queue.ready()
            settled &= ready.keys()
            for gone in passed.keys() - ready.keys():
                del passed[gone]
            if event.move is Move.GOES:
                mine = queue.party(event)
                for other in (party for party in ready if party.spare == mine.spare and party != mine):
                    passed[other][mine] += 1
                    turns = 1 if other in settled else NEWCOMERS_WAIT
                    if passed[other][mine] > turns * event.weight:
                        yield f"{other} was passed over {passed[other][mine]} times by {mine}, {_at(event)}"
                passed.pop(mine, None)
                settled.add(mine)


def shares_keep_together(scenario: Scenario, history: History) -> Iterator[str]:
    """While two accounts have work, what they got, by weight, drifts apart by two turns at most."""
    for log in history.queues:
        leads: dict[tuple[_Party, _Party], _Lead] = {}
        for event, queue in _replay(log):
            ready = queue.ready()
            for pair in [pair for pair in leads if not (pair[0] in ready and pair[1] in ready)]:
                del leads[pair]
            if event.move is Move.GOES:
                mine = queue.party(event)
                for other in (party for party in ready if party.spare == mine.spare and party != mine):
                    first, second = sorted((mine, other))
                    lead = leads.setdefault((first, second), _Lead())
                    lead.move((1 if mine == first else -1) / event.weight)
                    if lead.spread > TURNS_AHEAD + ROUNDING:
                        yield f"{first} and {second} drifted {lead.spread:.2f} turns apart, {_at(event)}"


def the_lowest_key_goes_first(scenario: Scenario, history: History) -> Iterator[str]:
    """Within an account's turn the order key decides, so that priority helps and nothing starves. What was
    set apart, for its path, goes by it among its own kind.
    """
    for log in history.queues:
        for event, queue in _replay(log):
            if event.move is Move.GOES and event.ticket is not None:
                first = min(queue.ready_before(event, event.ticket), default=event.ticket)
                if first < event.ticket:
                    yield f"{event.ticket} went before {first}, {_at(event)}"


def first_legs_go_before_further_ones(scenario: Scenario, history: History) -> Iterator[str]:
    """A leg whose step another leg began goes only while no first leg may, whichever queue it comes from."""
    began = _first_grants(history)
    for log in history.queues:
        for event, queue in _replay(log):
            if event.move is not Move.GOES or not (event.spare or _is_further(event.ticket, event.at, began)):
                continue
            yield from (
                f"a further leg, {event.ticket}, went before {ticket}, {_at(event)}"
                for party, tickets in queue.ready().items()
                for ticket in tickets
                if not (party.spare or ticket is event.ticket or _is_further(ticket, event.at, began))
            )


def no_leg_waits_twice(scenario: Scenario, history: History) -> Iterator[str]:
    """A leg has one ticket in its target's queue at most: the turn of a second would come back unused."""
    for log in history.queues:
        for event, queue in _replay(log):
            if event.move is Move.WAITS and event.ticket is not None and queue.has(event.ticket):
                yield f"{event.ticket} waits twice, {_at(event)}"


_Began = dict[tuple[JobId, int], Grant]
"""The first grant of each step. One that a shard had not written when it died is known to no other."""


def _first_grants(history: History) -> _Began:
    known = {
        attempt.id
        for stored in history.final.values()
        for attempt in (stored.course.attempts if stored.course else ())
    }
    began: _Began = {}
    for grant in history.grants:
        job = history.submitted.get(grant.job_id)
        fanout = job is not None and job.spec.steps[grant.step].execution_mode is ExecutionMode.FANOUT
        if grant.attempt in known and not fanout:
            began.setdefault((grant.job_id, grant.step), grant)
    return began


def _is_further(ticket: Ticket | None, at: float, began: _Began) -> bool:
    first = began.get((ticket.job_id, ticket.step)) if ticket is not None else None
    return first is not None and ticket is not None and first.at < at and first.leg != ticket.leg


@dataclass(frozen=True, slots=True, order=True)
class _Party:
    """Whoever has turns of its own: a customer, or one account of it; ``spare`` for its further legs."""

    customer: str
    account: str
    spare: bool


@dataclass(slots=True)
class _Lead:
    """By how many turns one account is ahead of another, and how far that went either way."""

    now: float = 0.0
    least: float = 0.0
    most: float = 0.0

    @property
    def spread(self) -> float:
        return self.most - self.least

    def move(self, turns: float) -> None:
        self.now += turns
        self.least, self.most = min(self.least, self.now), max(self.most, self.now)


_Place = tuple[bool, LaneKey]
"""A lane, and whether it is one of further legs."""


@dataclass(slots=True)
class _Queue:
    """Who waits, and in which lanes that may go."""

    by_account: bool = False
    lanes: dict[_Place, list[Ticket]] = field(default_factory=dict)
    held: set[_Place] = field(default_factory=set)

    def ready(self) -> dict[_Party, list[Ticket]]:
        """List the tickets that may go, by whose turn it would be."""
        found: dict[_Party, list[Ticket]] = {}
        for (spare, lane), tickets in self.lanes.items():
            if tickets and (spare, lane) not in self.held:
                found.setdefault(self._party(lane, spare=spare), []).extend(tickets)
        return found

    def ready_before(self, event: QueueEvent, ticket: Ticket) -> Iterator[Ticket]:
        """List what may go in the same turn: from a common lane, or set apart with ``ticket``."""
        for place, tickets in self.lanes.items():
            set_apart = place[1][2] != UNKNOWN_PATH and ticket not in tickets
            mine = self._party(place[1], spare=place[0]) == self.party(event)
            if mine and not set_apart and place not in self.held:
                yield from tickets

    def has(self, ticket: Ticket) -> bool:
        """Whether a leg waits, in any lane."""
        return any(ticket in tickets for tickets in self.lanes.values())

    def party(self, event: QueueEvent) -> _Party:
        """Say whose turn an event belongs to."""
        assert event.lane is not None
        return self._party(event.lane, spare=event.spare)

    def follow(self, event: QueueEvent) -> None:
        """Take an event in."""
        self.by_account = event.by_account
        if event.lane is None:
            self.lanes.clear()
            self.held.clear()
            return
        place = event.spare, event.lane
        match event.move:
            case Move.WAITS if event.ticket is not None:
                self.lanes.setdefault(place, []).append(event.ticket)
            case Move.GOES | Move.DROPPED if event.ticket is not None:
                self._remove(place, event.ticket)
            case Move.SET_APART if event.ticket is not None:
                self._remove(place, event.ticket)
                self.lanes.setdefault(place, []).append(event.ticket)
            case Move.HELD:
                self.held.add(place)
            case Move.FREED:
                self.held.discard(place)

    def _remove(self, place: _Place, ticket: Ticket) -> None:
        """Take a ticket out of the lane where it waits: its account's common one, or its path class's."""
        spare, (customer, account, _) = place
        lanes = [
            tickets
            for (of_spare, lane), tickets in self.lanes.items()
            if (of_spare, *lane[:2]) == (spare, customer, account) and ticket in tickets
        ]
        lanes[0].remove(ticket)

    def _party(self, lane: LaneKey, *, spare: bool) -> _Party:
        customer, account, _ = lane
        return _Party(customer, (account or "") if self.by_account else "", spare)


def _replay(log: QueueLog) -> Iterator[tuple[QueueEvent, _Queue]]:
    """Give each event with the queue as it was before it."""
    queue = _Queue(by_account=log.events[0].by_account if log.events else False)
    for event in log.events:
        yield event, queue
        queue.follow(event)


def _at(event: QueueEvent) -> str:
    return f"at {event.at:.3f} s"
