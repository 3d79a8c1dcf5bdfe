"""One leg, again: here, elsewhere, or not any more."""

import pytest

from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.run import Answer, LegState, Run
from orchestrator.domain.execution.settling import (
    Await,
    Ended,
    Fail,
    Failure,
    FailureCode,
    Repeat,
    Succeed,
    settle,
)
from orchestrator.domain.ids import AttemptId
from orchestrator.domain.jobs.job import RetryPolicy
from orchestrator.domain.jobs.policies import Guarantee, RegionPolicy
from tests.unit.domain.builders import (
    IAD,
    LAX,
    NOW_MS,
    ORD,
    REGIONS,
    SEA,
    UnderWay,
    a_spec,
    answer,
    answered,
    failed,
)


def spent(run: Run) -> tuple[int, int]:
    return run.retries, run.reroutes


def failure(decision: object) -> Failure:
    assert isinstance(decision, Fail)
    return decision.failure


def test_a_retry_stays_in_its_region_and_spends_one() -> None:
    job = UnderWay(a_spec(retry_policy=RetryPolicy()))
    assert job.play(0, answered(429)) == Repeat(0, spends=True)
    assert job.run.legs[0].region == IAD
    assert spent(job.run) == (1, 0)


def test_retries_wait_one_second_doubling() -> None:
    job = UnderWay(a_spec(retry_policy=RetryPolicy(max_retries=9)))
    waits = []
    for _ in range(4):
        job.play(0, answered(503))
        waits.append(job.run.legs[0].not_before_ms - NOW_MS)
    assert waits == [1_000, 2_000, 4_000, 8_000]


def test_a_retry_waits_as_long_as_the_target_asked() -> None:
    job = UnderWay(a_spec(retry_policy=RetryPolicy()))
    job.end(job.send(), answered(503, retry_after_s=42.0), jitter=0.0)
    assert job.run.legs[0].not_before_ms == NOW_MS + 42_000


def test_when_the_retries_are_spent_the_job_fails_with_the_response() -> None:
    job = UnderWay(a_spec(retry_policy=RetryPolicy(max_retries=2)))
    for _ in range(2):
        assert job.play(0, answered(503)) == Repeat(0, spends=True)
    assert job.play(0, answered(503, b"busy")) == Fail(
        Failure(FailureCode.STATUS, "the target answered 503"), Answer(IAD, answer(503, b"busy"))
    )
    assert job.run.made == 3


def test_a_policy_of_no_retries_makes_one_attempt() -> None:
    job = UnderWay(a_spec(retry_policy=RetryPolicy(max_retries=0)))
    assert failure(job.play(0, answered(429))).code is FailureCode.STATUS


def test_patience_without_a_policy_never_runs_out() -> None:
    job = UnderWay(a_spec())
    for _ in range(50):
        assert job.play(0, answered(429)) == Repeat(0)
    assert spent(job.run) == (0, 0)


def test_a_reroute_moves_the_leg_at_once_and_spends_one() -> None:
    job = UnderWay(a_spec())
    assert job.play(0, answered(500)) == Repeat(0, spends=True)
    assert job.run.legs[0].region == LAX
    assert job.run.legs[0].not_before_ms == NOW_MS
    assert spent(job.run) == (0, 1)


def test_a_reroute_enters_no_region_where_the_job_had_a_leg() -> None:
    job = UnderWay(a_spec(retry_policy=RetryPolicy(max_reroutes=9)), up=(IAD, LAX, ORD, SEA))
    visited = [job.run.legs[0].region]
    for _ in range(3):
        job.play(0, answered(502))
        visited.append(job.run.legs[0].region)
    assert visited == [IAD, LAX, ORD, SEA]


def test_a_reroute_enters_no_region_where_a_sibling_waits() -> None:
    job = UnderWay(a_spec(regions=REGIONS), up=REGIONS)
    job.play(0, answered(500))
    assert job.run.legs[0].region == IAD
    assert spent(job.run) == (1, 0)


def test_a_reroute_counts_the_region_where_a_leg_really_ran() -> None:
    job = UnderWay(a_spec())
    job.end(job.send(region=LAX), failed(Fault.CONNECT, written=False))
    assert job.run.legs[0].region == IAD


def test_with_no_region_left_a_reroute_is_a_retry() -> None:
    job = UnderWay(a_spec(), up=(IAD, LAX))
    job.play(0, answered(500))
    assert job.play(0, answered(500)) == Repeat(0, spends=True)
    assert job.run.legs[0].region == LAX
    assert spent(job.run) == (1, 1)
    assert job.run.legs[0].not_before_ms == NOW_MS + 1_000


def test_a_strict_job_reroutes_within_its_list_only() -> None:
    job = UnderWay(a_spec(region_policy=RegionPolicy.STRICT))
    job.play(0, answered(500))
    assert job.run.legs[0].region == IAD
    assert spent(job.run) == (1, 0)


def test_when_the_reroutes_are_spent_the_leg_ends_though_regions_are_left() -> None:
    job = UnderWay(a_spec(retry_policy=RetryPolicy(max_reroutes=1)))
    job.play(0, failed(Fault.TIMEOUT))
    assert failure(job.play(0, failed(Fault.TIMEOUT, message="too slow"))) == Failure(
        FailureCode.TIMEOUT, "too slow"
    )


def test_an_attempt_lost_with_its_region_goes_again_at_once_and_spends_nothing() -> None:
    job = UnderWay(a_spec(retry_policy=RetryPolicy(max_retries=0, max_reroutes=0)))
    for _ in range(20):
        assert job.play(0, failed(Fault.LOST)) == Repeat(0)
        assert job.run.legs[0].not_before_ms == NOW_MS
    assert spent(job.run) == (0, 0)


def test_at_most_once_ends_unknown_where_the_request_may_have_taken_effect() -> None:
    job = UnderWay(a_spec(guarantee=Guarantee.AT_MOST_ONCE))
    decision = job.play(0, failed(Fault.BROKEN, message="reset"))
    assert failure(decision) == Failure(
        FailureCode.UNKNOWN_OUTCOME, "the request may have taken effect: reset"
    )


def test_at_most_once_goes_again_where_nothing_was_written() -> None:
    job = UnderWay(a_spec(guarantee=Guarantee.AT_MOST_ONCE))
    assert job.play(0, failed(Fault.CONNECT, written=False)) == Repeat(0, spends=True)
    assert job.play(0, answered(200)) == Succeed(0, answer(200))


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.CONNECT, FailureCode.CONNECTION),
        (Fault.CONNECT_TIMEOUT, FailureCode.CONNECTION),
        (Fault.BROKEN, FailureCode.CONNECTION),
        (Fault.TIMEOUT, FailureCode.TIMEOUT),
        (Fault.NOT_ALLOWED, FailureCode.TARGET_NOT_ALLOWED),
        (Fault.INVALID, FailureCode.INVALID_REQUEST),
        (Fault.CANCELLED, FailureCode.CANCELLED),
    ],
)
def test_a_fault_fails_the_job_under_a_code_of_its_own(fault: Fault, code: FailureCode) -> None:
    job = UnderWay(a_spec(retry_policy=RetryPolicy(max_retries=0, max_reroutes=0)))
    decision = job.play(0, failed(fault))
    assert decision == Fail(Failure(code, fault.value), None)
    assert job.run.legs[0].state is LegState.ENDED


def test_an_end_without_any_word_counts_as_a_broken_connection() -> None:
    job = UnderWay(a_spec(retry_policy=RetryPolicy(max_retries=0, max_reroutes=0)))
    assert failure(job.play(0, Ended(None))).code is FailureCode.CONNECTION


def test_an_attempt_that_nobody_sent_changes_nothing() -> None:
    job = UnderWay(a_spec())
    job.send()
    before = job.run
    after = settle(before, job.spec, AttemptId("other"), answered(200), now_ms=NOW_MS, jitter=0.0, up=REGIONS)
    assert after == (before, Await())


def test_the_timeline_keeps_what_became_of_each_attempt() -> None:
    job = UnderWay(a_spec())
    job.end(job.send(), failed(Fault.CONNECT, written=False), now_ms=NOW_MS + 5)
    job.end(job.send(), answered(201), now_ms=NOW_MS + 9)
    refused, won = job.run.attempts
    assert (refused.number, refused.status, refused.fault, refused.written) == (1, None, Fault.CONNECT, False)
    assert (won.number, won.status, won.fault, won.ended_ms) == (2, 201, None, NOW_MS + 9)


def test_a_job_that_fails_without_an_answer_shows_the_last_one_that_it_saw() -> None:
    policy = RetryPolicy(max_retries=1, max_reroutes=0)
    job = UnderWay(a_spec(retry_policy=policy))
    job.play(0, answered(503, b"busy"))

    outcome = job.play(0, failed(Fault.CONNECT, written=False))

    assert isinstance(outcome, Fail)
    assert outcome.failure.code is FailureCode.CONNECTION
    assert outcome.answer is not None
    assert outcome.answer.response.body == b"busy"
