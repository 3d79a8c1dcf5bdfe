from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.health.retry_budget import (
    PER_SECOND,
    SHARE,
    TOKENS_MOST,
    RetryBudget,
    next_token_at,
    note_first,
    note_sign,
    spend,
)


def spend_all(budget: RetryBudget, now: float = 0.0) -> tuple[RetryBudget, int]:
    """Repeat until the budget refuses; say how often it did not."""
    spent = 0
    while (left := spend(budget, now)) is not None:
        budget, spent = left, spent + 1
    return budget, spent


def ill(budget: RetryBudget, times: int = 50) -> RetryBudget:
    for _ in range(times):
        budget = note_sign(budget, well=False)
    return budget


def test_a_quiet_target_gets_the_repeats_that_its_jobs_ask_for() -> None:
    assert spend_all(RetryBudget())[1] == TOKENS_MOST


def test_ten_first_attempts_pay_for_one_repeat() -> None:
    budget, _ = spend_all(ill(RetryBudget()))
    for _ in range(1_000):
        budget = note_first(budget)
    assert spend_all(budget)[1] == min(1_000 * SHARE, TOKENS_MOST)


def test_time_alone_pays_for_a_few() -> None:
    budget, _ = spend_all(RetryBudget())
    due = next_token_at(budget, 0.0)
    assert due == 1 / PER_SECOND
    assert spend(budget, due - 0.01) is None
    assert spend(budget, due) is not None


def test_what_waited_goes_at_once_when_the_target_is_well_again() -> None:
    budget, _ = spend_all(ill(RetryBudget()))
    for _ in range(100):
        budget = note_sign(budget, well=True)
    assert spend_all(budget)[1] == TOKENS_MOST


def test_answers_pay_for_nothing_while_most_attempts_fail() -> None:
    budget, _ = spend_all(ill(RetryBudget()))
    for _ in range(50):
        budget = note_sign(note_sign(budget, well=True), well=False)
    assert spend(budget, 0.0) is None


def test_a_budget_that_nobody_touched_for_long_is_as_new() -> None:
    budget, _ = spend_all(RetryBudget())
    assert budget.spent(0.0)
    assert not budget.spent(TOKENS_MOST / PER_SECOND)
    assert ill(RetryBudget()).spent(1e6)


@given(st.lists(st.booleans(), max_size=2_000))
def test_in_an_outage_repeats_stay_a_tenth_of_first_attempts(wants_repeat: list[bool]) -> None:
    budget, firsts, repeats = ill(RetryBudget()), 0, 0
    for repeat in wants_repeat:
        left = spend(budget, 0.0) if repeat else None
        if left is not None:
            budget, repeats = left, repeats + 1
        else:
            budget, firsts = note_first(budget), firsts + 1
        budget = note_sign(budget, well=False)
    assert repeats <= TOKENS_MOST + SHARE * firsts


@given(st.floats(0, TOKENS_MOST), st.floats(0, 1e6), st.floats(0, 100))
def test_who_waits_for_a_token_finds_it(tokens: float, at: float, later_s: float) -> None:
    budget = RetryBudget(tokens, at)
    assert spend(budget, next_token_at(budget, at + later_s)) is not None
