from random import Random

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.health.latency import (
    ENOUGH,
    LATE_LEAST_S,
    LATE_UNKNOWN_S,
    Latency,
    note_answer,
)


def after(*took_s: float) -> Latency:
    latency = Latency()
    for seconds in took_s:
        latency = note_answer(latency, seconds)
    return latency


def test_too_few_answers_say_nothing_about_lateness() -> None:
    assert Latency().late_after_s == LATE_UNKNOWN_S
    assert after(*[0.2] * (ENOUGH - 1)).late_after_s == LATE_UNKNOWN_S
    assert after(*[0.2] * ENOUGH).late_after_s < LATE_UNKNOWN_S


def test_a_target_that_always_takes_as_long_is_late_soon_after() -> None:
    assert 0.2 <= after(*[0.2] * 50).late_after_s < 0.21


def test_a_fast_target_is_not_late_before_the_floor() -> None:
    assert after(*[0.001] * 50).late_after_s == LATE_LEAST_S


def test_about_one_answer_in_twenty_is_late() -> None:
    random = Random(1)
    latency, late = Latency(), 0
    for number in range(5_000):
        took_s = max(0.0, random.gauss(0.5, 0.1))
        late += number >= ENOUGH and took_s > latency.late_after_s
        latency = note_answer(latency, took_s)
    assert 0.02 < late / 5_000 < 0.10


def test_a_target_that_slows_down_is_followed() -> None:
    assert after(*[0.1] * 50, *[0.9] * 50).mean_s > 0.85


@given(st.lists(st.floats(0, 600), min_size=1))
def test_the_mean_stays_within_what_was_seen(took_s: list[float]) -> None:
    latency = after(*took_s)
    assert min(took_s) - 1e-9 <= latency.mean_s <= max(took_s) + 1e-9
    assert latency.deviation_s >= 0
    assert latency.answers == len(took_s)
