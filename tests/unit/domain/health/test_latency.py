import math
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.health.latency import (
    ENOUGH,
    LATE_LEAST_S,
    LATE_UNKNOWN_S,
    SHORTEST_S,
    Latency,
    much_quicker,
    note_answer,
    note_given_up,
)
from orchestrator.domain.ids import RegionName

LAX = RegionName("lax")


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


def drawn(random: Random, slow_share: float = 0.0) -> float:
    return random.lognormvariate(math.log(0.02), 0.4) * (50 if random.random() < slow_share else 1)


def test_the_median_is_where_half_of_the_answers_are() -> None:
    random = Random(2)
    assert 0.016 < after(*(drawn(random) for _ in range(500))).median_s < 0.025


def test_a_few_very_slow_answers_move_the_median_little() -> None:
    random = Random(3)
    others = {LAX: after(*(drawn(random) for _ in range(500)))}
    latency, left = after(*(drawn(random) for _ in range(50))), 0
    for _ in range(2_000):
        latency = note_answer(latency, drawn(random, slow_share=0.05))
        left += much_quicker(latency, others) is not None
    assert left < 40


def test_a_region_that_becomes_ten_times_slower_is_left_within_ten_answers() -> None:
    others = {LAX: after(*[0.02] * 50)}
    slower = after(*[0.02] * 50, *[0.2] * 10)
    assert much_quicker(after(*[0.02] * 50), others) is None
    assert much_quicker(slower, others) == LAX
    assert much_quicker(note_answer(slower, 0.02), {}) is None


def test_an_answer_that_was_given_up_late_counts_as_a_slow_one() -> None:
    latency = after(*[0.02] * 50)
    assert note_given_up(latency, 0.04).median_s > latency.median_s
    assert note_given_up(latency, 0.01) == latency


def test_a_first_answer_that_was_slow_is_made_up_for_by_thirty() -> None:
    assert much_quicker(after(1.0, *[0.02] * 30), {LAX: after(*[0.02] * 20)}) is None


def test_too_few_answers_say_nothing_about_which_region_is_quick() -> None:
    few, many = after(*[1.0] * (ENOUGH - 1)), after(*[0.02] * ENOUGH)
    assert much_quicker(few, {LAX: many}) is None
    assert much_quicker(many, {LAX: few}) is None


@given(st.lists(st.floats(0, 600), min_size=1))
def test_the_mean_stays_within_what_was_seen(took_s: list[float]) -> None:
    latency = after(*took_s)
    assert min(took_s) - 1e-9 <= latency.mean_s <= max(took_s) + 1e-9
    assert latency.deviation_s >= 0
    assert min(*took_s, SHORTEST_S) <= latency.median_s <= 2 * max(*took_s, SHORTEST_S)
    assert latency.answers == len(took_s)
