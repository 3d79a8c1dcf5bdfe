"""A job's life as events."""

import pytest

from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.retry import Verdict
from orchestrator.domain.execution.run import abandon, begin, dispatch, update_attempt
from orchestrator.domain.ids import AttemptId
from orchestrator.domain.results.progress import EventName, Told, news
from tests.unit.domain.builders import IAD, LAX, NOW_MS, a_spec


def a_race(*, ended: tuple[int, ...] = ()) -> Course:
    """Two attempts, sent a millisecond apart; the numbers that have ended did so in that order."""
    run = begin(a_spec(regions=(IAD, LAX)))
    for number in (1, 2):
        run, _ = dispatch(run, number - 1, AttemptId(f"1.{number}"), (IAD, LAX)[number - 1], NOW_MS + number)
    for order, number in enumerate(ended):
        run = update_attempt(run, AttemptId(f"1.{number}"), ended_ms=NOW_MS + 10 + order, verdict=Verdict.END)
    return Course((run,))


def told_of(told: Told, course: Course | None) -> list[tuple[str, int | None]]:
    return [(event.name.value, event.attempt and event.attempt.number) for _, event in news(told, course)]


def test_who_comes_late_is_told_everything_in_order() -> None:
    assert told_of(Told(), a_race(ended=(2, 1))) == [
        ("queued", None),
        ("dispatching", 1),
        ("dispatching", 2),
        ("attempt", 2),
        ("attempt", 1),
    ]


def test_a_job_that_waits_has_only_been_queued() -> None:
    assert told_of(Told(), None) == [("queued", None)]


def test_nothing_is_told_twice_and_nothing_left_out_wherever_a_stream_broke_off() -> None:
    whole = list(news(Told(), a_race(ended=(2, 1))))
    for index, (_, event) in enumerate(whole):
        assert event.id is not None
        rest = list(news(Told.read(event.id), a_race(ended=(2, 1))))
        assert [after for _, after in rest] == [after for _, after in whole[index + 1 :]]


def test_what_ends_after_its_turn_is_told_when_it_ends() -> None:
    seen = list(news(Told(), a_race(ended=(2,))))
    last, _ = seen[-1]
    assert last.still_open == {1}
    assert told_of(last, a_race(ended=(2, 1))) == [("attempt", 1)]


def test_attempts_that_a_cancel_ended_are_told_too() -> None:
    (run,) = a_race().runs
    assert run is not None
    ended = abandon(run, NOW_MS + 20)
    assert told_of(Told(2, frozenset({1, 2})), Course((ended,))) == [("attempt", 1), ("attempt", 2)]


@pytest.mark.parametrize("text", ["", "x", "1-", "-1", "1-a", "9" * 50, "1-" + "2." * 5000, "1-2.", "end "])
def test_an_id_that_is_none_starts_over(text: str) -> None:
    assert Told.read(text) == Told()


@pytest.mark.parametrize("told", [Told(0), Told(7), Told(7, frozenset({3, 5}))])
def test_an_id_says_what_was_told(told: Told) -> None:
    assert Told.read(told.write()) == told


def test_the_end_is_an_id_of_its_own() -> None:
    assert Told.read("end").end
    assert EventName.COMPLETED == "completed"
