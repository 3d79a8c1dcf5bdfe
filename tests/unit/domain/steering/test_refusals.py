import pytest

from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.requests.path_class import PathClass
from orchestrator.domain.steering.refusals import (
    CLASSES_MOST,
    JOBS_MOST,
    LOOKED_AT,
    AnsweredPaths,
    Finding,
    Judgement,
    Refusal,
    Refusals,
)

CUSTOMER = CustomerId("cust_a")
OK, BAD = PathClass("GET /ok"), PathClass("POST /bad")


def refusal(job: str, at: float, path: PathClass = BAD, *, asks_to_wait: bool = False) -> Refusal:
    return Refusal(JobId(job), CUSTOMER, path, at, asks_to_wait)


def judge(
    refusals: Refusals, job: str, at: float, path: PathClass = BAD, *, stated: bool = False
) -> Judgement:
    return refusals.judge(refusal(job, at, path), at, stated=stated)


def answer(refusals: Refusals, count: int, since: float, path: PathClass = OK) -> None:
    for number in range(count):
        refusals.heard_answer(JobId(f"ok_{since}_{number}"), CUSTOMER, path, since + number / 100, since + 1)


def test_a_job_is_one_witness_until_it_is_answered() -> None:
    refusals = Refusals(AnsweredPaths())
    assert judge(refusals, "a", 1.0).finding is Finding.LOWERS
    assert judge(refusals, "a", 2.0).finding is Finding.HOLDS
    refusals.heard_answer(JobId("a"), CUSTOMER, BAD, 3.0, 3.1)
    assert judge(refusals, "a", 4.0).finding is Finding.LOWERS


def test_a_refusal_is_taken_back_when_its_job_is_refused_beside_answers() -> None:
    refusals = Refusals(AnsweredPaths())
    judge(refusals, "a", 1.0)
    answer(refusals, 4, 2.0)
    assert judge(refusals, "a", 4.0) == Judgement(Finding.NOTHING, ((JobId("a"), CUSTOMER),))
    assert judge(refusals, "a", 5.0) == Judgement(Finding.NOTHING)


@pytest.mark.parametrize(("jobs", "finding"), [("abc", Finding.LOWERS), ("aba", Finding.NOTHING)])
def test_where_a_pace_is_stated_three_jobs_have_to_be_refused(jobs: str, finding: Finding) -> None:
    refusals = Refusals(AnsweredPaths())
    answer(refusals, 20, 0.0)
    for number, job in enumerate(jobs):
        said = judge(refusals, job, 10.0 + number, OK, stated=True)
        refusals.heard_answer(JobId(job), CUSTOMER, OK, 10.5 + number, 10.6 + number)
    assert said.finding is finding


def test_it_stands_while_others_are_refused_too() -> None:
    refusals = Refusals(AnsweredPaths())
    judge(refusals, "a", 1.0, OK)
    answer(refusals, 6, 2.0)
    for other in "bcd":
        judge(refusals, other, 2.5, OK)
    assert judge(refusals, "a", 4.0, OK).withdrawn == ()


def test_a_class_that_refuses_three_jobs_and_answers_none_is_in_trouble_until_one_is_answered() -> None:
    refusals = Refusals(AnsweredPaths())
    judge(refusals, "a", 1.0)
    judge(refusals, "b", 1.1)
    answer(refusals, 5, 2.0)
    found = judge(refusals, "c", 4.0)
    assert (found.finding, {job for job, _ in found.withdrawn}) == (Finding.CONTAINED, {"a", "b", "c"})
    assert judge(refusals, "d", 5.0) == Judgement(Finding.CONTAINED)
    answer(refusals, 1, 6.0, BAD)
    assert judge(refusals, "e", 70.0).finding is Finding.LOWERS


def test_a_class_that_was_answered_within_a_minute_is_not_in_trouble() -> None:
    answered = AnsweredPaths()
    answered.note(BAD, 0.5)
    answered.note(OK, 0.9)
    refusals = Refusals(answered)
    answer(refusals, 20, 1.0)
    findings = [judge(refusals, job, 2.0).finding for job in "abcd"]
    assert Finding.CONTAINED not in findings


def test_where_nobody_is_answered_refusals_of_all_paths_are_the_rates() -> None:
    refusals = Refusals(AnsweredPaths())
    paths = [PathClass(f"GET /{letter}") for letter in "abc"]
    findings = [judge(refusals, f"{path}{n}", n, path).finding for n in range(10) for path in paths]
    assert set(findings) == {Finding.LOWERS}


def test_a_stated_pace_outweighs_chance_and_no_more() -> None:
    refusals = Refusals(AnsweredPaths())
    answer(refusals, 60, 0.0)
    findings = [judge(refusals, job, 1.0, OK, stated=True).finding for job in "abcdefgh"]
    assert findings[:2] == [Finding.NOTHING] * 2
    assert findings[-1] is Finding.LOWERS


def test_a_named_wait_is_waited_for_once() -> None:
    refusals = Refusals(AnsweredPaths())
    asks = refusal("a", 1.0, asks_to_wait=True)
    assert refusals.judge(asks, 1.0, stated=False).finding is Finding.NOTHING
    assert refusals.judge(refusal("a", 3.0, asks_to_wait=True), 3.0, stated=False).finding is Finding.LOWERS


def test_where_the_same_are_refused_each_time_few_answers_are_contrast() -> None:
    refusals = Refusals(AnsweredPaths())
    for job in "abcdefgh":
        judge(refusals, job, 1.0, OK)
    for job in "abcdefgh":
        judge(refusals, job, 2.0, OK)
    for number in range(6):
        answer(refusals, 1, 3.0 + number, OK)
        judge(refusals, f"new_{number}", 3.0 + number, OK)
    assert judge(refusals, "another", 10.0, OK).finding is Finding.NOTHING


def test_what_is_remembered_is_bounded() -> None:
    refusals = Refusals(AnsweredPaths())
    for number in range(1_000):
        path = PathClass(f"GET /p{number}")
        judge(refusals, f"job_{number}", float(number), path)
        refusals.answered.note(PathClass(f"GET /q{number}"), float(number) / 100)
    sizes = (len(refusals._latest), len(refusals._jobs), len(refusals._classes))
    assert sizes == (LOOKED_AT, JOBS_MOST, CLASSES_MOST)
    assert len(refusals.answered._others or ()) <= CLASSES_MOST
