"""What bench.pacing makes of a strict server's log."""

import math

import pytest

from bench.pacing_figures import Told, excess, full_after_s, judge, judge_unknown, most_in_any_window
from bench.strict_rules import Dialect, Kind, Limit
from bench.strict_server import Arrival, Phase, Plan

LIMIT, LOWERED = Limit(10), Limit(1)
PLAN = Plan(Kind.FIXED_WINDOW, Dialect.EZTHROTTLE, (Phase(LIMIT, 100), Phase(LOWERED, 3), Phase(LIMIT, 30)))


def arrival(at: float, phase: int = 0, **changes: object) -> Arrival:
    made = Arrival(at, phase, "job_1", 1, admitted=True, told=phase, answered_at=at + 0.01)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def evenly(since: float, count: int, every_s: float, phase: int = 0) -> list[Arrival]:
    return [arrival(since + number * every_s, phase) for number in range(count)]


def look_up(arrival: Arrival) -> Told:
    return Told(granted_at=arrival.at - 0.01, read_at=arrival.answered_at + 0.005)


def a_log() -> list[Arrival]:
    before = evenly(0.0, 2, 0.001)
    return [*before, *evenly(1.0, 100, 0.1), *evenly(11.0, 3, 1.0, 1), *evenly(13.5, 30, 0.1, 2)]


def test_use_is_measured_from_the_first_request_after_the_header_was_read() -> None:
    found = judge(PLAN, a_log(), look_up)
    assert (found.requests, found.before_header) == (102, 2)
    assert found.used == pytest.approx(1.0)


def test_half_the_rate_is_half_the_use() -> None:
    log = [*evenly(0.0, 1, 1.0), *evenly(1.0, 50, 0.2)]
    assert judge(Plan(PLAN.kind, PLAN.dialect, PLAN.phases[:1]), log, look_up).used == pytest.approx(0.5)


def test_what_starts_too_early_after_a_fall_was_read_is_over_the_limit() -> None:
    assert judge(PLAN, a_log(), look_up).over_lowered == 0
    log = sorted([*a_log(), arrival(12.5, 1)], key=lambda each: each.at)
    assert judge(PLAN, log, look_up).over_lowered


def test_a_refusal_before_a_fall_was_read_is_told_apart() -> None:
    log = sorted([*a_log(), arrival(11.012, 1, admitted=False)], key=lambda each: each.at)
    found = judge(PLAN, log, look_up)
    assert (found.refused, found.changeover_refused, found.over_lowered) == (0, 1, 0)


def test_a_refusal_of_what_was_on_its_way_is_told_apart_from_that_of_a_later_permit() -> None:
    log = sorted([*a_log(), arrival(11.02, 1, admitted=False)], key=lambda each: each.at)
    found = judge(PLAN, log, look_up)
    assert (found.changeover_refused, found.over_lowered) == (1, 1)
    log = sorted([*a_log(), arrival(12.9, 1, admitted=False)], key=lambda each: each.at)
    assert judge(PLAN, log, look_up).changeover_refused == 0


def test_a_rate_is_back_when_a_window_has_been_full() -> None:
    found = judge(PLAN, a_log(), look_up)
    assert found.back_at_full_s == pytest.approx(0.985, abs=1e-6)
    assert full_after_s([1.0, 2.0, 3.0], LIMIT, 0.0) == math.inf


def test_places_are_used_by_what_is_under_way() -> None:
    plan = Plan(Kind.CONCURRENCY, Dialect.EZTHROTTLE, (Phase(Limit(2), 10),))
    log = [arrival(0.0, answered_at=0.5)]
    log += [arrival(1.0 + number, answered_at=2.0 + number) for number in range(9)]
    found = judge(plan, log, lambda _: Told(-0.1, 0.9))
    assert (found.most, found.used) == (1, pytest.approx(0.5))


def test_an_unknown_limit_is_judged_after_ten_seconds_while_work_waits() -> None:
    plan = Plan(Kind.SLIDING_WINDOW, Dialect.SILENT, (Phase(LIMIT, 300),))
    refused = [arrival(5.0, admitted=False), arrival(15.05, admitted=False)]
    repeats = [arrival(31.0 + number, attempt=2) for number in range(5)]
    log = sorted([*evenly(0.0, 301, 0.1), *refused, *repeats], key=lambda each: each.at)
    found = judge_unknown(plan, log)
    assert (found.requests, found.refused) == (201, 1)
    assert found.used == pytest.approx(1.0)


def test_the_fullest_window_may_begin_anywhere() -> None:
    assert most_in_any_window([0.0, 0.6, 0.9, 1.5, 1.7], 1.0) == 3
    assert most_in_any_window([0.0, 1.0, 2.0], 1.0) == 1
    assert excess([0.0, 0.6, 0.9, 1.5], Limit(2)) == 2
