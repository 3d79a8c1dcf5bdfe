from collections.abc import Iterator
from random import Random

import pytest

from orchestrator.domain.ids import AccountId, CustomerId, JobId
from orchestrator.domain.queueing.fairness import FairQueue
from orchestrator.domain.queueing.lanes import Gate, Lane
from orchestrator.domain.queueing.queue_position import PositionIndex, Standing
from orchestrator.domain.queueing.ticket import Ticket

WEIGHTS = {"cust_heavy": 3}


class Waiting:
    """A queue and the line beside it."""

    def __init__(self, *, by_account: bool = False) -> None:
        self.queue = FairQueue(lambda customer: WEIGHTS.get(customer, 1), by_account=by_account)
        self.line = PositionIndex()

    def add(self, customer: str, *keys: int, account: str | None = None) -> None:
        for key in keys:
            ticket = ticket_of(customer, key, account)
            self.queue.push(ticket)
            self.line.add(self.queue.turn_of(ticket), ticket)

    def stand(self, customer: str, key: int) -> Standing | None:
        return self.line.stand(CustomerId(f"cust_{customer}"), key, JobId(f"job_{key}"), self.queue)

    def place(self, customer: str, key: int) -> int | None:
        stand = self.stand(customer, key)
        return None if stand is None else stand.position

    def places(self, customer: str, *keys: int) -> list[int | None]:
        return [self.place(customer, key) for key in keys]

    def serve(self) -> Iterator[Ticket]:
        while (ticket := self.queue.peek()) is not None:
            assert self.queue.take() is ticket
            self.line.remove(self.queue.turn_of(ticket), ticket)
            yield ticket


def ticket_of(customer: str, key: int, account: str | None = None, leg: int = 0) -> Ticket:
    named = AccountId(account) if account is not None else None
    return Ticket(key, JobId(f"job_{key}"), leg, CustomerId(f"cust_{customer}"), account=named)


def test_a_customer_alone_is_served_in_order_of_its_keys() -> None:
    waiting = Waiting()
    waiting.add("a", 5, 1, 3)
    assert waiting.places("a", 1, 3, 5) == [1, 2, 3]


def test_customers_take_turns_and_whoever_came_first_begins() -> None:
    waiting = Waiting()
    waiting.add("a", 1, 2, 3, 4)
    waiting.add("b", 10, 11)
    assert waiting.places("a", 1, 2, 3, 4) == [1, 3, 5, 6]
    assert waiting.places("b", 10, 11) == [2, 4]


def test_a_heavier_plan_takes_more_permits_in_a_turn() -> None:
    waiting = Waiting()
    waiting.add("a", 1, 2)
    waiting.add("heavy", 10, 11, 12, 13)
    assert waiting.places("heavy", 10, 11, 12, 13) == [2, 3, 4, 6]
    assert waiting.places("a", 1, 2) == [1, 5]


def test_where_accounts_have_queues_of_their_own_they_take_turns_too() -> None:
    waiting = Waiting(by_account=True)
    waiting.add("a", 1, 2, account="x")
    waiting.add("a", 3, account="y")
    assert waiting.places("a", 1, 3, 2) == [1, 2, 3]
    assert waiting.line.waiting(CustomerId("cust_a")) == 3


def test_what_does_not_wait_has_no_place() -> None:
    waiting = Waiting()
    waiting.add("a", 1)
    assert (waiting.place("a", 2), waiting.place("b", 1)) == (None, None)
    assert next(waiting.serve()).order_key == 1
    assert (waiting.place("a", 1), waiting.line.waiting(CustomerId("cust_a")), waiting.line.count) == (
        None,
        0,
        0,
    )


def test_adding_and_removing_twice_changes_nothing() -> None:
    waiting = Waiting()
    waiting.add("a", 1, 2)
    again = ticket_of("a", 1)
    waiting.line.add(waiting.queue.turn_of(again), again)
    gone = ticket_of("a", 9)
    waiting.line.remove(waiting.queue.turn_of(gone), gone)
    assert (waiting.line.waiting(CustomerId("cust_a")), waiting.line.count) == (2, 2)


def test_nobody_stands_behind_a_job_that_waits_no_longer() -> None:
    waiting = Waiting()
    waiting.add("a", 1, 2, 3)
    second_leg = ticket_of("a", 1, leg=1)
    turn = waiting.queue.turn_of(second_leg)
    waiting.line.add(turn, second_leg)
    assert waiting.place("a", 2) == 3
    for ticket in (ticket_of("a", 1), second_leg):
        assert waiting.line.remove(turn, ticket)
    assert (waiting.place("a", 1), waiting.places("a", 2, 3), waiting.line.count) == (None, [1, 2], 2)


class Shut(Gate):
    """Keeps a lane for good."""

    def park(self, lane: Lane) -> None:
        """Keep it."""

    def pass_on(self) -> None:
        """Let nobody try."""

    def let_go(self, lane: Lane) -> None:
        """Forget a lane."""


def test_what_a_gate_holds_back_stands_before_nobody() -> None:
    waiting = Waiting()
    waiting.add("a", 1, 2, 3)
    waiting.add("b", 4)
    shut = Shut()
    waiting.queue.peek(lambda ticket: shut if ticket.customer == "cust_a" else None)
    assert (waiting.place("b", 4), waiting.place("a", 1)) == (1, 2)


@pytest.mark.parametrize("by_account", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_places_are_those_that_the_fair_queue_serves(seed: int, by_account: bool) -> None:
    random, waiting = Random(seed), Waiting(by_account=by_account)
    for key in range(60):
        customer, account = random.choice(["a", "b", "heavy"]), random.choice([None, "x"])
        waiting.add(customer, key, account=account)
    served = waiting.serve()
    for _ in range(random.randrange(12)):
        next(served)
    waiting.add("late", *range(60, 65))
    foretold = {
        key: place
        for key in range(65)
        for customer in ("a", "b", "heavy", "late")
        if (place := waiting.place(customer, key)) is not None
    }
    assert [foretold[ticket.order_key] for ticket in served] == list(range(1, len(foretold) + 1))


def test_turns_that_change_keep_every_ticket() -> None:
    waiting = Waiting()
    waiting.add("a", 1, 2, account="x")
    waiting.add("a", 3, account="y")
    assert waiting.place("a", 3) == 3
    waiting.queue.regroup(by_account=True)
    waiting.line = waiting.line.regrouped(waiting.queue)
    assert (waiting.place("a", 3), waiting.line.count) == (2, 3)


def test_a_long_line_is_let_go_of_as_it_is_served() -> None:
    waiting = Waiting()
    waiting.add("a", *range(1_000))
    for served, ticket in enumerate(waiting.serve()):
        assert ticket.order_key == served
        assert waiting.place("a", 999) == (999 - served or None)


def test_among_very_many_customers_a_place_is_reckoned_from_some_of_them() -> None:
    random, waiting = Random(3), Waiting()
    for customer in range(1_000):
        for number in range(random.randrange(1, 20)):
            waiting.add(f"{customer}", 1_000 * number + customer)
    served = waiting.serve()
    for _ in range(2_500):
        next(served)
    foretold = {
        ticket: waiting.stand(str(ticket.customer)[5:], ticket.order_key) for ticket in asked(waiting)
    }
    for position, ticket in enumerate(served, 1):
        if (stand := foretold.get(ticket)) is not None:
            assert abs(stand.position - position) <= 0.2 * position + 200, (stand.position, position)


def asked(waiting: Waiting) -> Iterator[Ticket]:
    """Pick customers, and give the last ticket of each."""
    for customer in range(0, 1_000, 50):
        keys = [key for key in range(customer, 20_000, 1_000) if waiting.place(str(customer), key)]
        yield from (ticket_of(str(customer), key) for key in keys[-1:])


def test_a_line_of_thousands_keeps_its_order_whoever_leaves() -> None:
    waiting, keys = Waiting(), Random(4).sample(range(10_000), 3_000)
    waiting.add("a", *keys)
    for key in keys[:1_000]:
        gone = ticket_of("a", key)
        waiting.line.remove(waiting.queue.turn_of(gone), gone)
    stands = [waiting.stand("a", key) for key in sorted(keys[1_000:])]
    assert [stand.in_turn for stand in stands if stand is not None] == [*range(1, 2_001)]
    assert waiting.line.count == 2_000
