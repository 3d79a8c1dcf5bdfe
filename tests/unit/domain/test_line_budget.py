"""How many lines somebody may cause in a log."""

from orchestrator.domain.line_budget import LineBudget, new_budget, spend_line

BURST, PER_S = 3, 0.5


def asked(budget: LineBudget, *at: float) -> tuple[LineBudget, list[int | None]]:
    """Ask for lines at these moments."""
    given = []
    for now in at:
        budget, kept_back = spend_line(budget, now)
        given.append(kept_back)
    return budget, given


def test_the_first_lines_are_written_and_more_are_kept_back() -> None:
    _, given = asked(new_budget(BURST, PER_S, 0.0), 0.0, 0.0, 0.0, 0.0, 0.1)
    assert given == [0, 0, 0, None, None]


def test_the_line_after_those_that_were_kept_back_says_how_many_they_were() -> None:
    _, given = asked(new_budget(1, PER_S, 0.0), 0.0, 0.1, 0.2, 2.0, 4.0)
    assert given == [0, None, None, 2, 0]


def test_a_line_that_is_kept_back_does_not_delay_the_next() -> None:
    often = [each / 100 for each in range(1000)]
    _, given = asked(new_budget(1, PER_S, 0.0), *often)
    assert len([each for each in given if each is not None]) == 1 + int(often[-1] * PER_S)


def test_silence_saves_up_no_more_than_the_first_lines() -> None:
    _, given = asked(new_budget(BURST, PER_S, 0.0), *[1e9] * 5)
    assert given == [0, 0, 0, None, None]
