"""The strict servers of bench.pacing are strict: nobody passes their limit by being fast."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.strict_rules import (
    Concurrency,
    Dialect,
    FixedWindow,
    Kind,
    Limit,
    Rule,
    SlidingWindow,
    TokenBucket,
    state,
)
from orchestrator.domain.headers.budgets import BudgetUnit, read_budgets
from orchestrator.domain.headers.signals import read_signal

WINDOWED = [TokenBucket, FixedWindow, SlidingWindow]
MakeRule = Callable[[Limit], Rule]

limits = st.builds(Limit, st.integers(1, 12), st.sampled_from([1.0, 5.0]), st.sampled_from([0.0, 0.1, 0.3]))
arrivals = st.lists(st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0, 4.0]), max_size=120).map(
    lambda gaps: [*accumulate(gaps, initial=100.0)]
)


def admitted(rule: Rule, times: Sequence[float]) -> list[float]:
    return [at for at in times if rule.admit(at)]


def flood(rule: Rule, since: float, until: float, every_s: float = 0.001) -> list[float]:
    return admitted(rule, [since + step * every_s for step in range(round((until - since) / every_s))])


@pytest.mark.parametrize("kind", WINDOWED)
@pytest.mark.parametrize("count", [2, 50, 500])
def test_a_flood_without_pace_is_refused(kind: MakeRule, count: int) -> None:
    let_in = flood(kind(Limit(count)), 100.0, 110.0)
    assert count * 9 <= len(let_in) <= count * 11


@pytest.mark.parametrize("kind", WINDOWED)
def test_a_pace_of_a_tenth_too_much_is_refused_now_and_then(kind: MakeRule) -> None:
    let_in = flood(kind(Limit(50, forgiven=0.03)), 100.0, 120.0, every_s=1 / 55)
    assert len(let_in) < 20 * 55


@pytest.mark.parametrize("kind", WINDOWED)
def test_the_stated_pace_spread_evenly_is_never_refused(kind: MakeRule) -> None:
    assert len(flood(kind(Limit(50)), 100.0, 120.0, every_s=1.02 / 50)) == round(20 / (1.02 / 50))


@given(limits, arrivals)
def test_no_window_wherever_it_begins_holds_more_than_the_limit(limit: Limit, times: list[float]) -> None:
    let_in = admitted(SlidingWindow(limit), times)
    for start in let_in:
        assert sum(start <= at < start + limit.window_s for at in let_in) <= limit.most


@given(limits, arrivals)
def test_no_window_of_the_clock_holds_more_than_the_limit(limit: Limit, times: list[float]) -> None:
    windows = [int(at / limit.window_s) for at in admitted(FixedWindow(limit), times)]
    assert all(windows.count(window) <= limit.most for window in windows)


@given(limits, arrivals)
def test_no_span_of_time_lets_more_through_than_the_bucket_and_its_refill(
    limit: Limit, times: list[float]
) -> None:
    let_in = admitted(TokenBucket(limit), times)
    holds = max(0.1 * limit.count, min(2, limit.count)) + limit.forgiven_count
    for index, start in enumerate(let_in):
        for number, end in enumerate(let_in[index:], 1):
            assert number <= holds + (end - start) * limit.rps + 1e-6


def test_a_bucket_holds_a_tenth_of_a_second_and_no_more() -> None:
    assert len(admitted(TokenBucket(Limit(500)), [100.0] * 500)) == 50
    assert len(admitted(TokenBucket(Limit(2)), [100.0] * 500)) == 2


def test_places_are_free_again_only_when_a_request_is_answered() -> None:
    rule = Concurrency(Limit(3))
    assert len(admitted(rule, [100.0] * 9)) == 3
    rule.leave()
    assert len(admitted(rule, [200.0] * 9)) == 1


def test_fewer_places_are_not_free_before_the_many_are() -> None:
    rule = Concurrency(Limit(10))
    admitted(rule, [100.0] * 10)
    rule = rule.follow(Limit(1))
    for _ in range(9):
        rule.leave()
        assert not rule.admit(100.0)
    rule.leave()
    assert rule.admit(100.0)


@pytest.mark.parametrize("kind", WINDOWED)
def test_a_lowered_limit_holds_at_once(kind: MakeRule) -> None:
    rule = kind(Limit(50))
    flood(rule, 100.0, 103.0)
    assert len(flood(rule.follow(Limit(5)), 103.0, 113.0)) <= 55


@pytest.mark.parametrize(("forgiven", "most"), [(0.0, 50), (0.03, 51), (0.1, 55)])
def test_what_is_forgiven_is_a_share_of_the_requests_rounded_down(forgiven: float, most: int) -> None:
    assert len(admitted(SlidingWindow(Limit(50, forgiven=forgiven)), [100.0] * 99)) == most


@pytest.mark.parametrize("dialect", [Dialect.X_RATELIMIT, Dialect.IETF])
def test_a_window_is_stated_as_a_budget_without_what_is_forgiven(dialect: Dialect) -> None:
    rule = SlidingWindow(Limit(50, forgiven=0.03))
    flood(rule, 100.0, 100.02)
    told = lowered(state(dialect, Kind.SLIDING_WINDOW, rule.limit, rule.left(100.02)))
    budget = next(b for b in read_budgets(told, datetime.now(UTC)) if b.unit is BudgetUnit.REQUESTS)
    assert (budget.rate, budget.remaining, budget.reset_s) == (50, 30, 1)


def test_places_are_stated_as_places() -> None:
    told = read_signal(lowered(state(Dialect.EZTHROTTLE, Kind.CONCURRENCY, Limit(50), (0, 0.0))))
    assert (told.rps, told.max_concurrent) == (100_000, 50)


def lowered(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
