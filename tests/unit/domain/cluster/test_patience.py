"""A wait is as long as whoever waits was awake."""

import pytest

from orchestrator.domain.cluster.patience import LOOK_MOST_S, Patience


def test_what_passes_between_two_looks_counts() -> None:
    patience = Patience(100.0)
    assert [patience.look(100.0 + seconds) for seconds in (0.1, 0.3, 0.35)] == pytest.approx([0.1, 0.3, 0.35])


def test_of_a_stall_only_as_much_counts_as_a_look_may_take() -> None:
    patience = Patience(100.0)
    assert patience.look(160.0) == LOOK_MOST_S
    assert patience.look(160.1) == pytest.approx(LOOK_MOST_S + 0.1)


def test_time_that_is_not_to_count_is_passed_over() -> None:
    patience = Patience(100.0)
    assert patience.look(100.4, counts=False) == 0.0
    assert patience.look(100.5) == pytest.approx(0.1)
