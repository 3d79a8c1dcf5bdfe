import math

from orchestrator.domain.witnesses import Witnesses


def test_one_alone_binds_all_for_a_minute_from_the_first_time_on() -> None:
    heard = Witnesses()
    assert [heard.hear("a", now) for now in (100.0, 130.0, 200.0, 650.0)] == [160.0] * 4


def test_two_within_a_minute_bind_all() -> None:
    heard = Witnesses()
    heard.hear("a", 100.0)
    assert heard.hear("b", 159.0) == math.inf


def test_when_the_other_fell_silent_one_is_alone_again() -> None:
    heard = Witnesses()
    heard.hear("b", 100.0)
    heard.hear("a", 110.0)
    assert heard.hear("a", 190.0) == 220.0


def test_who_heard_nothing_for_long_begins_anew() -> None:
    heard = Witnesses()
    heard.hear("a", 100.0)
    assert heard.hear("a", 701.0) == 761.0


def test_a_crowd_of_names_is_not_remembered_whole() -> None:
    heard = Witnesses()
    for number in range(1_000):
        heard.hear(f"{number}", 100.0)
    assert len(heard._heard) <= 16
