"""What a recovery may conclude of what may be sent once."""

import pytest

from orchestrator.domain.execution.course import Course, begin_course, dispatch_leg, with_attempt
from orchestrator.domain.execution.marks import Mark, Owner, surely_unsent, with_mark
from orchestrator.domain.execution.retry import Verdict
from orchestrator.domain.execution.run import update_attempt
from orchestrator.domain.ids import AttemptId, JobId, ShardName, attempt_id, attempt_origin
from orchestrator.domain.jobs.job import Fallback, JobSpec, Trigger, TriggerKind
from orchestrator.domain.jobs.policies import Guarantee
from tests.unit.domain.builders import IAD, NOW_MS, a_spec

OURS, OTHERS = ShardName("shard-0"), ShardName("shard-1")
SPEC = a_spec(
    guarantee=Guarantee.AT_MOST_ONCE,
    fallback=Fallback(
        Trigger(kind=TriggerKind.ANY), JobSpec(url="https://b.example.com/", regions=(IAD,), metadata={})
    ),
)
FIRST, SECOND = attempt_id(OURS, 4, 1), attempt_id(OURS, 4, 2)
NOW_OURS = Owner(OURS, 5)


def a_mark(attempt: AttemptId, *, step: int = 0) -> Mark:
    return Mark(job=JobId("job_1"), attempt=attempt, step=step, region=IAD, slot=44, epoch=4)


def with_attempts(*attempts: AttemptId) -> Course:
    course = begin_course(SPEC)
    for attempt in attempts:
        course, _ = dispatch_leg(course, 0, 0, attempt, IAD, NOW_MS)
    return course


def answered(course: Course, attempt: AttemptId) -> Course:
    return with_attempt(course, attempt, lambda run: update_attempt(run, attempt, verdict=Verdict.RETRY))


def test_an_attempt_names_the_shard_and_the_epoch_that_placed_it() -> None:
    assert attempt_origin(attempt_id(ShardName("shard:7"), 0x1F, 0xABC)) == ("shard:7", 0x1F)


@pytest.mark.parametrize("text", ["1.4", "shard-0:4", "shard-0:x.1", ":4.1", "", "shard-0:4.1 "])
def test_what_is_no_such_name_tells_nothing(text: str) -> None:
    assert attempt_origin(AttemptId(text)) is None


def test_what_is_marked_may_have_been_sent() -> None:
    assert not surely_unsent(with_attempts(FIRST), a_mark(FIRST), NOW_OURS)


@pytest.mark.parametrize("owner", [NOW_OURS, Owner(OTHERS, 1)])
def test_what_is_not_marked_was_not_sent_once_its_target_has_a_new_epoch(owner: Owner) -> None:
    assert surely_unsent(with_attempts(FIRST), None, owner)


@pytest.mark.parametrize("owner", [Owner(OURS, 4), Owner(OURS, 3), None])
def test_what_may_still_be_marked_may_be_sent(owner: Owner | None) -> None:
    assert not surely_unsent(with_attempts(FIRST), None, owner)


def test_what_does_not_say_who_placed_it_may_have_been_sent() -> None:
    assert not surely_unsent(with_attempts(AttemptId("4.1")), None, NOW_OURS)


def test_the_mark_of_an_attempt_that_was_answered_says_nothing_of_the_next() -> None:
    course, _ = dispatch_leg(answered(with_attempts(FIRST), FIRST), 0, 0, SECOND, IAD, NOW_MS)
    assert surely_unsent(course, a_mark(FIRST), NOW_OURS)


def test_where_a_later_attempt_is_marked_nothing_counts_as_unsent() -> None:
    course = with_mark(with_attempts(FIRST), SPEC, a_mark(SECOND), NOW_MS)
    assert [attempt.id for attempt in course.open_attempts] == [FIRST, SECOND]
    assert not surely_unsent(course, a_mark(SECOND), NOW_OURS)


def test_a_mark_is_recorded_where_the_job_s_own_row_is_behind() -> None:
    course = with_mark(begin_course(SPEC), SPEC, a_mark(FIRST), NOW_MS)
    assert course == with_attempts(FIRST)
    assert course.written, "its key is not free"


def test_a_mark_tells_of_a_fallback_that_the_job_s_own_row_does_not() -> None:
    course = with_mark(answered(with_attempts(FIRST), FIRST), SPEC, a_mark(SECOND, step=1), NOW_MS)
    assert course.runs[1] is not None
    assert [(attempt.id, attempt.number) for attempt in course.attempts] == [(FIRST, 1), (SECOND, 2)]


def test_a_mark_that_the_row_knows_of_changes_nothing() -> None:
    course = answered(with_attempts(FIRST), FIRST)
    assert with_mark(course, SPEC, a_mark(FIRST), NOW_MS) == course
    assert with_mark(course, SPEC, None, NOW_MS) == course


@pytest.mark.parametrize("step", [-1, 4711])
def test_a_mark_whose_step_is_damaged_counts_as_the_first_one_s(step: int) -> None:
    assert with_mark(begin_course(SPEC), SPEC, a_mark(FIRST, step=step), NOW_MS) == with_attempts(FIRST)
