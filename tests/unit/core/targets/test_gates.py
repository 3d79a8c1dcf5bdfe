"""Who goes on when a gate opens: nobody waits for a lane that can't use what opened."""

import pytest

from orchestrator.core.targets.target_queue import TargetQueue
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.binding import TROUBLE_KEY
from orchestrator.domain.steering.throttles import UNTOLD_KEY
from tests.support.gated import Bound, Told, a_ticket, gated_queue


class Played:
    """A queue behind gates, each of which lets one out a second."""

    def __init__(self, *gates: str) -> None:
        self.queue: TargetQueue = gated_queue(Bound({key: Told(places=100) for key in gates}))
        self._numbers = 0

    def put(self, customer: str, account: str = "x", path: str = "", *, first: bool = True) -> Ticket:
        """Queue a request."""
        self._numbers += 1
        ticket = a_ticket(self._numbers, customer, account, path, first=first)
        (self.queue.push if first else self.queue.push_spare)(ticket)
        return ticket

    def go(self, now: float, most: int = 100) -> list[Ticket]:
        """Let out what may go."""
        gone: list[Ticket] = []
        while len(gone) < most:
            self.queue.open_due(now)
            ticket, _ = self.queue.next(now)
            if ticket is None:
                break
            self.queue.take(ticket, now)
            gone.append(ticket)
        return gone


def test_who_is_held_up_elsewhere_does_not_keep_the_next_from_going() -> None:
    played = Played(TROUBLE_KEY, "@a")
    assert len([played.put("a"), *played.go(0.0)]) == 2
    troubled, well = played.put("a", path=TROUBLE_KEY), played.put("a")
    assert played.go(0.5) == []
    other = played.put("b", path=TROUBLE_KEY)
    assert played.go(0.9) == [other]
    assert played.go(1.0) == [well]
    assert played.go(2.0) == [troubled]


def test_a_further_leg_that_nobody_asks_for_does_not_keep_a_first_one_from_going() -> None:
    played = Played("@a")
    played.put("a")
    played.go(0.0)
    spare = played.put("a", first=False)
    assert played.go(0.1) == []
    first = played.put("a", "y")
    assert played.go(0.1) == []
    others = [played.put("b") for _ in range(5)]
    assert first in played.go(1.0, 3)
    assert played.go(1.0) == others[2:]
    assert played.go(2.0) == [spare]


@pytest.mark.parametrize("let_out_before", [True, False])
def test_who_has_older_work_elsewhere_does_not_keep_the_next_from_going(let_out_before: bool) -> None:
    """Customers may share an account: that of one is no further than what else it has allows."""
    played = Played("x")
    played.queue.push(a_ticket(100, "w"))
    played.go(0.0)
    held = [a_ticket(101, "a"), a_ticket(102, "b")]
    for ticket in held:
        played.queue.push(ticket)
    assert played.go(0.1) == []
    if let_out_before:
        played.queue.open_due(1.0)
    for _ in range(50):
        played.put("a", "y")
    assert held[1] in played.go(1.0, 3)
    assert held[0] not in played.go(3.0, 3)


@pytest.mark.parametrize("answers", range(7))
def test_a_lane_that_tries_in_vain_keeps_its_place(answers: int) -> None:
    """Each answer lets one try: else whose turn it is would hang on how many answers there are."""
    played = Played(UNTOLD_KEY)
    for customer in "wxyz":
        for _ in range(3):
            played.put(customer)
    went = []
    for second in range(12):
        for ticket in played.go(float(second)):
            went.append(str(ticket.customer))
            for _ in range(answers):
                played.queue.look_again(ticket)
                assert played.go(second + 0.5) == []
    assert went == [*"wxyz"] * 3


@pytest.mark.parametrize("opened", ["at its time", "for all"])
def test_each_lane_may_come_before_the_one_let_out_before_it(opened: str) -> None:
    """A customer's accounts share its turn and its gate: that many give way one to the next."""
    held = Told(places=5_000, paused_until=10.0)
    queue = gated_queue(Bound({"@a": held}))
    tickets = [a_ticket(number, "a", f"account_{number}") for number in range(3_000, 0, -1)]
    for ticket in tickets:
        queue.push(ticket)
        assert queue.next(0.0)[0] is None
    if opened == "for all":
        queue.open_all()
    else:
        queue.open_due(10.0)
        queue.look_again(tickets[0])
    for second in range(10, 13):
        assert queue.next(second)[0] == tickets[-(second - 9)]
        queue.take(tickets[-(second - 9)], second)
        queue.open_due(second + 1)


def test_a_gate_that_is_tried_before_its_time_has_one_time() -> None:
    queue = gated_queue(Bound({"@a": Told(places=5, paused_until=3_600.0)}))
    tickets = [a_ticket(number, "a") for number in range(1_000)]
    for ticket in tickets:
        queue.push(ticket)
    for ticket in tickets[:900]:
        queue.next(0.0)
        queue.withdraw(ticket, spare=False)
    assert queue.next(0.0) == (None, 3_600.0)
    assert queue._gates is not None
    assert len(queue._gates._due) <= 10
    queue.open_due(3_600.0)
    assert queue.next(3_600.0)[0] == tickets[900]
