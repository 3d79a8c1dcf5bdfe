from orchestrator.domain.budgets import Budget
from orchestrator.domain.throttle import Throttle


def learn(throttle: Throttle, name: str, partition: bytes | None, remaining: float) -> None:
    budget = Budget(name=name, partition=partition, limit=10, remaining=remaining, window_s=60, reset_s=30)
    throttle.learn(budget, 0.0, in_flight=0, cost_in_flight=0.0)


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
