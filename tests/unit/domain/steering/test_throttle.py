import math

from orchestrator.domain.headers.budgets import Budget
from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.pace.pacing import Pace, PaceState
from orchestrator.domain.steering.binding import Binding
from orchestrator.domain.steering.throttle import Throttle
from orchestrator.domain.steering.throttles import THROTTLES_MOST, UNTOLD_KEY, Throttles, customer_key


def learn(throttle: Throttle, name: str, partition: bytes | None, remaining: float) -> None:
    budget = Budget(name=name, partition=partition, limit=10, remaining=remaining, window_s=60, reset_s=30)
    throttle.learn(budget, 0.0, told_at=0.0, own_cost=None)


def test_partitions_of_one_quota_are_budgets_of_their_own() -> None:
    throttle = Throttle()
    learn(throttle, "hourly", b"a", 0)
    learn(throttle, "hourly", b"b", 9)
    assert throttle.next_at(0.0, 1.0) == 30.0
    learn(throttle, "hourly", b"a", 9)
    assert throttle.next_at(0.0, 1.0) < 30.0


def test_ever_new_quotas_are_not_all_remembered() -> None:
    throttle = Throttle()
    for number in range(1_000):
        learn(throttle, f"q{number}", None, 5)
    assert len(list(throttle.active_limits(0.0))) <= 16


def test_a_sweep_leaves_what_started_late_and_less_than_a_window_ago() -> None:
    binding, shared = Binding(account_queues=True), Pace(1.0, 5)
    binding.accounts.tell(AccountId("told"), PaceState(Pace(5.0, 5), math.inf), 0.0)
    binding.accounts.share(shared, 10.0)
    passage = binding.accounts.untold(10.0).spend(10.0, 1.0)
    passage.started(10.5)
    passage.closed(10.6)
    for number in range(200):
        binding.throttles.of(customer_key(CustomerId(f"cust_{number}")), 11.2)
    assert UNTOLD_KEY in (binding.throttles.by_key or {})
    assert binding.accounts.untold(11.2).next_at(11.2, 1.0) > 11.5
    for number in range(200):
        binding.throttles.of(customer_key(CustomerId(f"cust_{number}")), 11.6)
    assert UNTOLD_KEY not in (binding.throttles.by_key or {})


def test_of_more_than_may_be_kept_what_very_many_share_is_not_dropped() -> None:
    throttles = Throttles()
    shared = throttles.of(UNTOLD_KEY, 0.0)
    shared.pause(1_000.0, 0.0)
    for number in range(2 * THROTTLES_MOST + 1):
        throttles.of(f"account {number}", 0.0).pause(1_000.0, 0.0)
    assert throttles.find(UNTOLD_KEY) is shared
    assert len(throttles.by_key or ()) <= 2 * THROTTLES_MOST


def test_a_request_that_a_pace_was_told_after_gives_back_its_time_of_the_tried_rate() -> None:
    throttle = Throttle()
    throttle.try_rate(ceiling=10.0, begin=0.1, now=100.0)
    passage = throttle.spend(100.0, 1.0)
    throttle.told.tell(Pace(5.0, 5), 100.0)
    passage.paced().unused(100.0)
    assert throttle.next_at(101.0, 1.0) == 101.0
