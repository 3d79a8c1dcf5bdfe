from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.queueing.fairness import FairQueue
from orchestrator.domain.queueing.lanes import Lane
from orchestrator.domain.queueing.ticket import Ticket
from tests.support.long import drawn

ALL = ["a", "b", "c"]
ACCOUNTS = st.sampled_from(ALL).map(CustomerId)
KEYS = st.integers(0, 20)


class HoldingGate:
    def __init__(self) -> None:
        self.lanes: list[Lane] = []

    def park(self, lane: Lane) -> None:
        self.lanes.append(lane)

    def pass_on(self) -> None:
        """Open to all at once, or to none."""

    def let_go(self, lane: Lane) -> None:
        self.lanes.remove(lane)


class Waiting(RuleBasedStateMachine):
    """The queue against plain lists: lowest key within an account, nobody passed over, spares at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue()
        self.first: dict[CustomerId, list[Ticket]] = {}
        self.spare: dict[CustomerId, list[Ticket]] = {}
        self.passed_over: Counter[CustomerId] = Counter()
        self.gate = HoldingGate()
        self.held: set[CustomerId] = set()
        self.pushed = 0
        self.gone: set[Ticket] = set()

    @rule(account=ACCOUNTS, key=KEYS)
    def push(self, account: CustomerId, key: int) -> None:
        ticket = self._ticket(account, key, 0)
        self.queue.push(ticket)
        self.first.setdefault(account, []).append(ticket)

    @rule(account=ACCOUNTS, key=KEYS)
    def push_spare(self, account: CustomerId, key: int) -> None:
        ticket = self._ticket(account, key, 1)
        self.queue.push_spare(ticket)
        self.spare.setdefault(account, []).append(ticket)

    @rule(account=ACCOUNTS, spare=st.booleans(), number=st.integers(0, 5))
    def withdraw(self, account: CustomerId, spare: bool, number: int) -> None:
        mine = (self.spare if spare else self.first).get(account)
        if mine:
            ticket = mine.pop(number % len(mine))
            self.gone.add(ticket)
            self.queue.thin_out(ticket, self._is_gone, spare=spare)

    @rule(account=ACCOUNTS)
    def close_a_gate(self, account: CustomerId) -> None:
        self.held.add(account)

    @rule()
    def open_all_gates(self) -> None:
        self.held.clear()
        while self.gate.lanes:
            self.gate.lanes.pop().unpark()

    @rule(by_account=st.booleans())
    def regroup(self, by_account: bool) -> None:
        self.queue.regroup(by_account=by_account)
        self.gate.lanes.clear()

    @rule()
    def take(self) -> None:
        shown = self.queue.peek(
            lambda ticket: self.gate if ticket.customer in self.held else None, self._is_gone
        )
        waiting = self._free(self.first) or self._free(self.spare)
        if shown is None:
            assert not waiting
            return
        assert self.queue.take() is shown
        assert shown.customer in waiting
        assert shown == min(waiting[shown.customer])
        self._note_turn(shown.customer, waiting)
        waiting[shown.customer].remove(shown)

    def _note_turn(self, customer: CustomerId, waiting: dict[CustomerId, list[Ticket]]) -> None:
        self.passed_over.update(other for other in waiting if other != customer)
        self.passed_over[customer] = 0
        assert max(self.passed_over.values()) <= 2 * len(ALL)

    def _free(self, tickets: dict[CustomerId, list[Ticket]]) -> dict[CustomerId, list[Ticket]]:
        parked = {lane.key[0] for lane in self.gate.lanes} | self.held
        return {customer: mine for customer, mine in tickets.items() if mine and customer not in parked}

    @invariant()
    def first_legs_are_counted(self) -> None:
        first, spare = (sum(map(len, tickets.values())) for tickets in (self.first, self.spare))
        gone = sum(not ticket.leg for ticket in self.gone)
        assert len(self.queue) == first + gone
        assert bool(self.queue) == bool(first or spare or self.gone)
        # Of what may have been withdrawn twice, half is left.
        assert len(self.gone) <= first + spare

    def _is_gone(self, ticket: Ticket) -> bool:
        gone = ticket in self.gone
        self.gone.discard(ticket)
        return gone

    def _ticket(self, account: CustomerId, key: int, leg: int) -> Ticket:
        self.pushed += 1
        return Ticket(key, JobId(f"job_1_{self.pushed:04d}"), leg, account)


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(max_examples=drawn(80), stateful_step_count=40, deadline=None)


def test_whoever_waits_gets_a_turn_though_the_queue_is_regrouped_after_each() -> None:
    queue = FairQueue()
    for number in range(60):
        customer = CustomerId("abc"[number % 3])
        queue.push(Ticket(number, JobId(f"job_1_{number:04d}"), 0, customer))
    served = []
    for number in range(9):
        shown = queue.peek()
        assert shown is queue.take()
        served.append(shown.customer)
        queue.regroup(by_account=number % 2 == 0)
    assert served == [*"abc"] * 3
