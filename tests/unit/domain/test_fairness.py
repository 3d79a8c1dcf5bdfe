import pytest

from orchestrator.domain.fairness import FairQueue, Ticket
from orchestrator.domain.ids import CustomerId, JobId
from tests.unit.domain.builders import a_job


def ticket(key: int, account: str = "a", *, leg: int = 0) -> Ticket:
    return Ticket(key, JobId(f"job_{account}_{key}"), leg, CustomerId(account))


def drained(queue: FairQueue) -> list[tuple[str, int, int]]:
    popped: list[tuple[str, int, int]] = []
    while queue:
        next_up = queue.pop()
        popped.append((next_up.account, next_up.order_key, next_up.leg))
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
    assert [queue.pop(), queue.pop()] == [early, late]


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
    queue.pop()
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
    queue.pop()
    queue.pop()
    assert len(queue) == 0
    assert queue


def test_an_empty_queue_has_nothing_to_give() -> None:
    assert not FairQueue()
    with pytest.raises(IndexError):
        FairQueue().pop()


def test_a_priority_step_is_worth_a_minute_and_never_more() -> None:
    urgent_late = a_job(1, accepted_ms=840_000, priority=9)
    normal_early = a_job(2, accepted_ms=600_000, priority=5)
    normal_first = a_job(3, accepted_ms=599_999, priority=5)
    assert urgent_late.order_key == normal_early.order_key
    assert normal_first.order_key < urgent_late.order_key


def test_a_scheduled_job_queues_from_its_due_time() -> None:
    assert a_job(accepted_ms=1_000, retry_at=5_000, priority=0).order_key == 5_000
    assert a_job(accepted_ms=6_000, retry_at=5_000, priority=0).order_key == 6_000
