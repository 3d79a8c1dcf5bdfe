from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from orchestrator.domain.ids import AccountId, CustomerId, JobId
from orchestrator.domain.queueing.fairness import FRESH_IN_A_ROW, FairQueue
from orchestrator.domain.queueing.lanes import Lane
from orchestrator.domain.queueing.ticket import Ticket
from tests.unit.domain.builders import a_job


@dataclass
class HoldingGate:
    lanes: list[Lane] = field(default_factory=list)

    def park(self, lane: Lane) -> None:
        self.lanes.append(lane)

    def pass_on(self) -> None:
        """Open to all at once, or to none."""

    def let_go(self, lane: Lane) -> None:
        self.lanes.remove(lane)


def ticket(key: int, account: str = "a", *, leg: int = 0) -> Ticket:
    return Ticket(key, JobId(f"job_{account}_{key}"), leg, CustomerId(account))


def pop(queue: FairQueue) -> Ticket:
    shown = queue.peek()
    taken = queue.take()
    assert shown is taken
    return taken


def drained(queue: FairQueue) -> list[tuple[str, int, int]]:
    popped: list[tuple[str, int, int]] = []
    while queue:
        next_up = pop(queue)
        popped.append((next_up.customer, next_up.order_key, next_up.leg))
    return popped


def queue_of(*tickets: Ticket, spare: tuple[Ticket, ...] = ()) -> FairQueue:
    queue = FairQueue()
    for each in tickets:
        queue.push(each)
    for each in spare:
        queue.push_spare(each)
    return queue


def test_within_an_account_the_lowest_key_goes_first() -> None:
    assert [key for _, key, _ in drained(queue_of(ticket(3), ticket(1), ticket(2)))] == [1, 2, 3]


def test_equal_keys_go_in_the_order_of_their_ids() -> None:
    early, late = Ticket(1, JobId("job_1_1")), Ticket(1, JobId("job_1_2"))
    queue = queue_of(late, early)
    assert [pop(queue), pop(queue)] == [early, late]


def test_accounts_take_turns_however_much_one_of_them_wants() -> None:
    greedy = [ticket(key, "greedy") for key in range(4)]
    queue = queue_of(*greedy, ticket(90, "modest"), ticket(91, "modest"))
    assert [account for account, _, _ in drained(queue)] == [
        "greedy",
        "modest",
        "greedy",
        "modest",
        "greedy",
        "greedy",
    ]


def test_an_account_that_comes_back_goes_behind_those_that_waited() -> None:
    queue = queue_of(ticket(1, "a"), ticket(2, "b"), ticket(3, "c"))
    pop(queue)
    queue.push(ticket(0, "a"))
    assert [account for account, _, _ in drained(queue)] == ["b", "c", "a"]


def test_a_races_further_legs_go_only_when_no_first_leg_waits() -> None:
    queue = queue_of(ticket(8), spare=(ticket(1, leg=1), ticket(2, leg=1)))
    queue.push(ticket(9, "late"))
    assert [leg for _, _, leg in drained(queue)] == [0, 0, 1, 1]


def test_further_legs_go_by_key_too() -> None:
    queue = queue_of(spare=(ticket(5, leg=1), ticket(4, leg=2)))
    assert [key for _, key, _ in drained(queue)] == [4, 5]


def test_only_first_legs_count_as_waiting() -> None:
    queue = queue_of(ticket(1), ticket(2, "b"), spare=(ticket(3, leg=1),))
    assert len(queue) == 2
    pop(queue)
    pop(queue)
    assert len(queue) == 0
    assert queue


def test_an_empty_queue_has_nothing_to_give() -> None:
    queue = FairQueue()
    assert not queue
    assert queue.peek() is None
    with pytest.raises(LookupError):
        queue.take()


def test_a_heavier_plan_gets_more_of_each_round() -> None:
    weights = {"pro": 3, "free": 1}
    queue = FairQueue(lambda customer: weights[customer])
    for key in range(9):
        queue.push(ticket(key, "pro"))
        queue.push(ticket(key, "free"))
    first = [account for account, _, _ in drained(queue)][:8]
    assert first == ["pro", "pro", "pro", "free"] * 2


def test_who_comes_anew_goes_before_those_that_had_a_turn() -> None:
    queue = queue_of(*(ticket(key, "flood") for key in range(9)))
    pop(queue)
    queue.push(ticket(50, "quiet"))
    assert pop(queue).customer == "quiet"


def test_a_stream_of_newcomers_starves_nobody() -> None:
    queue = queue_of(*(ticket(key, "old") for key in range(9)))
    pop(queue)
    for number in range(100):
        queue.push(ticket(0, f"new{number}"))
    assert "old" in [pop(queue).customer for _ in range(9)]


@pytest.mark.parametrize("newcomers", range(2 * FRESH_IN_A_ROW + 1))
def test_who_has_just_gone_is_not_next_while_others_wait_however_many_newcomers_went(newcomers: int) -> None:
    queue = queue_of(*(ticket(0, f"new{number}") for number in range(newcomers)))
    for account in ("a", "a", "b", "c"):
        queue.push(ticket(len(queue), account))
    assert [account for account, _, _ in drained(queue)][newcomers:] == ["a", "b", "c", "a"]


def test_with_account_queues_each_account_has_a_turn_of_its_own() -> None:
    tickets = [replace(ticket(key, "a"), account=AccountId(name)) for key, name in enumerate("xxxxy")]
    joint, apart = FairQueue(), FairQueue(by_account=True)
    for each in tickets:
        joint.push(each)
        apart.push(each)
    assert [pop(joint).account for _ in range(5)] == ["x", "x", "x", "x", "y"]
    assert [pop(apart).account for _ in range(5)] == ["x", "y", "x", "x", "x"]


def test_what_a_gate_holds_back_holds_up_nobody_else() -> None:
    queue, gate = FairQueue(), HoldingGate()
    held, free = replace(ticket(1, "a"), account=AccountId("x")), ticket(2, "a")
    queue.push(held)
    queue.push(free)
    assert queue.peek(lambda each: gate if each.account else None) is free
    queue.take()
    assert queue.peek() is None
    assert len(queue) == 1
    gate.lanes.pop().unpark()
    assert pop(queue) is held
    assert not queue


@pytest.mark.parametrize("push", [FairQueue.push, FairQueue.push_spare])
def test_who_comes_anew_while_the_head_is_looked_for_gives_nobody_a_second_turn(
    push: Callable[[FairQueue, Ticket], None],
) -> None:
    queue, gate = FairQueue(), HoldingGate()
    for name in ("held", "first", "second"):
        for key in range(3):
            push(queue, ticket(key, name))
    queue.peek(lambda each: gate if each.customer == "held" else None)
    assert [queue.take().customer, pop(queue).customer] == ["first", "second"]

    def opens(_: Ticket) -> None:
        # As where the one that is asked about needs no share any more: the next that waits for one tries.
        while gate.lanes:
            gate.lanes.pop().unpark()

    shown = queue.peek(opens)
    assert shown is queue.take()
    assert shown.customer == "first"
    assert [pop(queue).customer for _ in range(3)] == ["held", "second", "first"]


def test_regrouping_loses_nothing() -> None:
    queue = queue_of(*(ticket(key, "a") for key in range(5)), spare=(ticket(9, leg=1),))
    queue.regroup(by_account=True)
    assert [key for _, key, _ in drained(queue)] == [0, 1, 2, 3, 4, 9]


def test_a_priority_step_is_worth_a_minute_and_never_more() -> None:
    urgent_late = a_job(1, accepted_ms=840_000, priority=9)
    normal_early = a_job(2, accepted_ms=600_000, priority=5)
    normal_first = a_job(3, accepted_ms=599_999, priority=5)
    assert urgent_late.order_key == normal_early.order_key
    assert normal_first.order_key < urgent_late.order_key


def test_a_scheduled_job_queues_from_its_due_time() -> None:
    assert a_job(accepted_ms=1_000, retry_at=5_000, priority=0).order_key == 5_000
    assert a_job(accepted_ms=6_000, retry_at=5_000, priority=0).order_key == 6_000


def test_what_nobody_waits_for_any_more_is_dropped_and_takes_no_turn() -> None:
    queue = queue_of(*(ticket(key, "a") for key in range(5)), ticket(10, "b"), ticket(11, "b"))
    served = []
    while (shown := queue.peek(gone=lambda each: each.order_key < 4)) is not None:
        assert queue.take() is shown
        served.append(shown.order_key)
    assert served == [4, 10, 11]
    assert not queue
