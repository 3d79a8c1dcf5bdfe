from math import ceil
from random import Random
from sys import getsizeof

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.health.answer_times import ENOUGH, LONGEST_S, SHORTEST_S, WINDOW_S, AnswerTimes

A_BUCKET = 1.16
"""How far apart a bucket's ends are, with room for floats."""


def after(*took_s: float, now: float = 0.0) -> AnswerTimes:
    times = AnswerTimes(now)
    for seconds in took_s:
        times.note(seconds, now)
    return times


def test_a_quantile_of_too_few_answers_is_a_guess() -> None:
    assert after(*[0.2] * (ENOUGH - 1)).quantile(0.95, 0.0) is None
    assert after(*[0.2] * ENOUGH).quantile(0.95, 0.0) is not None


@given(
    st.lists(st.floats(SHORTEST_S, LONGEST_S), min_size=ENOUGH, max_size=250),
    st.floats(0.01, 0.99),
)
def test_a_quantile_is_off_by_a_bucket_at_most(took_s: list[float], share: float) -> None:
    exact = sorted(took_s)[ceil(share * len(took_s)) - 1]
    read = after(*took_s).quantile(share, 0.0)
    assert read is not None
    assert exact / A_BUCKET <= read <= exact * A_BUCKET


@pytest.mark.parametrize("share", [0.85, 0.9, 0.95])
def test_as_many_are_late_as_the_quantile_says(share: float) -> None:
    drawn, times, late = Random(1), AnswerTimes(0.0), 0
    for number in range(20_000):
        now, took_s = number / 50, drawn.lognormvariate(-5.0, 0.4)
        late += took_s > (times.quantile(share, now) or LONGEST_S)
        times.note(took_s, now)
    assert late / 20_000 == pytest.approx(1 - share, rel=0.1)


@pytest.mark.parametrize("took_s", [0.0047, 0.02, 0.0231, 1.0])
def test_where_all_take_the_same_none_is_late(took_s: float) -> None:
    drawn = Random(1)
    times = after(*(took_s * drawn.uniform(0.999, 1.0) for _ in range(200)))
    assert (times.quantile(0.85, 0.0) or 0.0) >= took_s


@pytest.mark.parametrize("took_s", [0.0, 1e-9, 3600.0])
def test_what_lies_outside_counts_as_the_nearest_inside(took_s: float) -> None:
    read = after(*[took_s] * ENOUGH).quantile(0.5, 0.0)
    nearest = min(max(took_s, SHORTEST_S), LONGEST_S)
    assert read == pytest.approx(nearest, rel=A_BUCKET - 1)


def test_a_target_that_slows_down_ten_fold_is_followed_within_two_windows() -> None:
    times = after(*[0.02] * 200)
    for tenth in range(300):
        times.note(0.2, tenth / 10)
    assert (times.quantile(0.1, 2 * WINDOW_S) or 0) > 0.17


def test_old_answers_are_better_than_none() -> None:
    assert after(*[0.02] * 200).quantile(0.95, 3600.0) == pytest.approx(0.02, rel=0.16)


def test_a_busy_target_never_fills_it() -> None:
    times = after(*[0.02] * 100_000)
    assert times.quantile(0.95, 0.0) == pytest.approx(0.02, rel=0.16)


def test_it_takes_at_most_three_hundred_bytes() -> None:
    times = after(*(Random(1).uniform(0.001, 60.0) for _ in range(10_000)))
    held = getsizeof(times) + sum(getsizeof(getattr(times, name)) for name in times.__slots__)
    assert held <= 300
