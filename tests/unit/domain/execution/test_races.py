"""Several legs against each other: who wins, who is told to stop, and when all is lost."""

from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.retry import Verdict
from orchestrator.domain.execution.run import Answer, LegState, begin, find_attempt, open_attempts
from orchestrator.domain.execution.settling import Await, Fail, Failure, FailureCode, Repeat, Succeed
from orchestrator.domain.jobs.job import RetryPolicy
from orchestrator.domain.jobs.policies import ExecutionMode
from tests.unit.domain.builders import (
    IAD,
    LAX,
    ORD,
    REGIONS,
    SEA,
    UnderWay,
    a_spec,
    answer,
    answered,
    failed,
)

RACE = a_spec(regions=REGIONS)
FANOUT = a_spec(regions=REGIONS, execution_mode=ExecutionMode.FANOUT)


def states(job: UnderWay) -> list[LegState]:
    return [leg.state for leg in job.run.legs]


def test_a_race_and_a_fanout_have_a_leg_a_region() -> None:
    assert [leg.region for leg in begin(RACE).legs] == [IAD, LAX, ORD]
    assert [leg.region for leg in begin(FANOUT).legs] == [IAD, LAX, ORD]


def test_a_hedge_begins_in_its_first_region_alone() -> None:
    hedge = a_spec(regions=REGIONS, execution_mode=ExecutionMode.HEDGE)
    assert [leg.region for leg in begin(hedge).legs] == [IAD]


def test_the_first_success_wins_and_cancels_the_siblings_under_way() -> None:
    job = UnderWay(RACE)
    first, second = job.send(0), job.send(1)
    assert job.end(second, answered(200, b"won")) == Succeed(1, answer(200, b"won"))
    sibling = find_attempt(job.run, first)
    assert sibling is not None
    assert (sibling.fault, sibling.verdict) == (Fault.CANCELLED, Verdict.END)
    assert states(job) == [LegState.CANCELLED, LegState.WON, LegState.SKIPPED]
    assert open_attempts(job.run) == []


def test_what_a_cancelled_sibling_reports_later_changes_nothing() -> None:
    job = UnderWay(RACE)
    first, second = job.send(0), job.send(1)
    job.end(second, answered(200))
    won = job.run
    assert job.end(first, answered(200)) == Await()
    assert job.run is won


def test_an_end_that_is_told_twice_counts_once() -> None:
    job = UnderWay(RACE)
    attempt = job.send(0)
    job.end(attempt, answered(500))
    once = job.run
    assert job.end(attempt, answered(500)) == Await()
    assert job.run is once


def test_a_leg_that_ends_leaves_the_others_running() -> None:
    job = UnderWay(RACE)
    first, second = job.send(0), job.send(1)
    assert job.end(first, answered(404)) == Await()
    assert states(job) == [LegState.ENDED, LegState.UNDER_WAY, LegState.WAITING]
    assert [attempt.id for attempt in open_attempts(job.run)] == [second]


def test_a_leg_can_win_after_its_siblings_have_ended() -> None:
    job = UnderWay(RACE)
    job.play(0, answered(404))
    job.play(1, answered(410))
    assert job.play(2, answered(201)) == Succeed(2, answer(201))


def test_a_lost_race_fails_with_the_first_response_that_ended_a_leg() -> None:
    job = UnderWay(RACE)
    job.play(1, answered(404, b"first"))
    job.play(0, answered(410, b"second"))
    assert job.play(2, answered(451, b"third")) == Fail(
        Failure(FailureCode.STATUS, "the target answered 404"), Answer(LAX, answer(404, b"first"))
    )


def test_a_lost_race_fails_with_a_response_rather_than_with_a_fault() -> None:
    job = UnderWay(a_spec(regions=(IAD, LAX)))
    job.play(0, answered(404))
    decision = job.play(1, failed(Fault.NOT_ALLOWED, written=False, message="private"))
    assert decision == Fail(Failure(FailureCode.STATUS, "the target answered 404"), Answer(IAD, answer(404)))


def test_a_leg_that_was_sent_and_waits_to_be_rerouted_is_cancelled_and_not_skipped() -> None:
    job = UnderWay(a_spec(regions=(IAD, LAX)))
    assert job.play(0, failed(Fault.CONNECT)) == Repeat(0, spends=True)
    job.play(1, answered(200))
    assert states(job) == [LegState.CANCELLED, LegState.WON]


def test_a_leg_that_waits_out_its_backoff_is_cancelled_and_not_skipped() -> None:
    job = UnderWay(a_spec(regions=(IAD, LAX)))
    job.play(0, answered(429))
    job.play(1, answered(200))
    assert states(job) == [LegState.CANCELLED, LegState.WON]


def test_a_fanout_waits_for_all_its_legs() -> None:
    job = UnderWay(FANOUT)
    assert job.play(0, answered(200, b"iad")) == Await()
    assert job.play(1, answered(204)) == Await()
    assert job.play(2, answered(200)) == Succeed(0, answer(200, b"iad"))
    assert states(job) == [LegState.WON] * 3


def test_a_fanout_cancels_nobody_when_one_succeeds() -> None:
    job = UnderWay(FANOUT)
    slow = job.send(1)
    job.play(0, answered(200))
    assert [attempt.id for attempt in open_attempts(job.run)] == [slow]


def test_a_fanout_succeeds_if_one_leg_did_whichever_ends_last() -> None:
    job = UnderWay(FANOUT)
    job.play(0, answered(404))
    job.play(1, answered(200, b"lax"))
    assert job.play(2, answered(410)) == Succeed(1, answer(200, b"lax"))


def test_a_fanout_keeps_the_response_of_every_leg() -> None:
    job = UnderWay(FANOUT)
    job.play(0, answered(404))
    job.play(1, answered(200))
    job.play(2, answered(410))
    assert [(kept.region, kept.response.status) for kept in job.run.answers] == [
        (IAD, 404),
        (LAX, 200),
        (ORD, 410),
    ]


def test_a_fanout_without_success_fails_with_the_first_response() -> None:
    job = UnderWay(FANOUT)
    for leg, status in enumerate((404, 410)):
        assert job.play(leg, answered(status)) == Await()
    decision = job.play(2, failed(Fault.INVALID, written=False))
    first = Answer(IAD, answer(404), asked=IAD)
    assert decision == Fail(Failure(FailureCode.STATUS, "the target answered 404"), first)


def test_a_fanout_reports_a_success_even_from_a_region_where_another_leg_failed() -> None:
    job = UnderWay(a_spec(regions=(IAD, LAX), execution_mode=ExecutionMode.FANOUT), up=(IAD,))
    job.play(0, answered(404))
    borrowed = job.send(1, region=IAD)
    assert job.end(borrowed, answered(200, b"ok")) == Succeed(1, answer(200, b"ok"))


def test_a_fanout_repeats_a_leg_while_another_has_won() -> None:
    job = UnderWay(FANOUT)
    job.play(0, answered(200))
    assert job.play(1, answered(429)) == Repeat(1)


def test_race_legs_share_the_budget_of_retries() -> None:
    spec = a_spec(regions=(IAD, LAX), retry_policy=RetryPolicy(max_retries=1))
    job = UnderWay(spec)
    assert job.play(0, answered(503)) == Repeat(0, spends=True)
    assert job.play(1, answered(503)) == Await()
    assert job.play(0, answered(503)) == Fail(
        Failure(FailureCode.STATUS, "the target answered 503"), Answer(LAX, answer(503))
    )


def test_race_legs_share_the_budget_of_reroutes() -> None:
    spec = a_spec(regions=(IAD, LAX), retry_policy=RetryPolicy(max_reroutes=1))
    job = UnderWay(spec, up=(IAD, LAX, ORD, SEA))
    assert job.play(0, answered(500)) == Repeat(0, spends=True)
    assert job.run.legs[0].region == ORD
    assert job.play(1, answered(500)) == Await()
    assert states(job) == [LegState.WAITING, LegState.ENDED]
