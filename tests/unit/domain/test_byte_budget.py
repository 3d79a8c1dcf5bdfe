"""Nobody takes more than what he leaves free."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.byte_budget import ByteBudget

OWNERS = st.sampled_from(["a", "b", "c", "d"])


def fill(budget: ByteBudget, owner: str, size: int) -> int:
    """Take pieces until none fits; say how much the owner holds."""
    while budget.fits(owner, size):
        budget.take(owner, size)
    return budget.held_by(owner)


def test_one_alone_gets_half_and_leaves_the_rest_to_whoever_comes() -> None:
    budget = ByteBudget(120)

    assert fill(budget, "first", 1) == 60
    assert fill(budget, "second", 1) == 30
    assert fill(budget, "third", 1) == 15
    assert budget.fits("fourth", 7)


def test_a_piece_of_more_than_half_goes_when_half_is_free() -> None:
    budget = ByteBudget(100)
    budget.take("other", 50)

    assert budget.fits("huge", 5_000)
    budget.take("huge", 5_000)
    assert not budget.fits("huge", 5_000)
    budget.give_back("huge", 5_000)
    assert budget.used == 50


@given(st.lists(st.tuples(OWNERS, st.integers(1, 70))))
def test_what_fits_never_adds_up_to_more_than_there_is(wishes: list[tuple[str, int]]) -> None:
    budget = ByteBudget(100)
    taken = []
    for owner, size in wishes:
        if budget.fits(owner, size):
            budget.take(owner, size)
            taken.append((owner, size))
        assert budget.used <= 100
    for owner, size in taken:
        budget.give_back(owner, size)
    assert budget.used == 0
