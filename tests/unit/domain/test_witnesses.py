import math

from orchestrator.domain.witnesses import Witnesses

STRICT, MILD = (0.01,), (1.0,)


def test_one_alone_binds_all_for_a_minute_from_the_first_time_on() -> None:
    heard = Witnesses()
    assert [heard.hear("a", MILD, now) for now in (100.0, 130.0, 200.0, 650.0)] == [160.0] * 4


def test_two_within_a_minute_bind_all() -> None:
    heard = Witnesses()
    heard.hear("a", MILD, 100.0)
    assert heard.hear("b", MILD, 159.0) == math.inf


def test_only_who_was_told_as_strictly_bears_witness() -> None:
    heard = Witnesses()
    heard.hear("honest", MILD, 100.0)
    assert heard.hear("evil", STRICT, 100.0) == 160.0
    assert heard.hear("honest", MILD, 101.0) == math.inf
    assert heard.hear("evil", STRICT, 161.0) == 160.0


def test_what_two_are_told_may_differ_a_little() -> None:
    heard = Witnesses()
    heard.hear("a", (10.0, 5.0), 100.0)
    assert heard.hear("b", (9.5, 5.0), 100.0) == math.inf
    assert heard.hear("c", (9.5, 1.0), 100.0) == 160.0


def test_when_the_other_fell_silent_one_is_alone_again() -> None:
    heard = Witnesses()
    heard.hear("b", MILD, 100.0)
    heard.hear("a", MILD, 110.0)
    assert heard.hear("a", MILD, 190.0) == 220.0


def test_who_heard_nothing_for_long_begins_anew() -> None:
    heard = Witnesses()
    heard.hear("a", MILD, 100.0)
    assert heard.hear("a", MILD, 701.0) == 761.0


def test_a_crowd_of_names_is_not_remembered_whole() -> None:
    heard = Witnesses()
    for number in range(1_000):
        heard.hear(f"{number}", MILD, 100.0)
    assert len(heard._words) <= 16
