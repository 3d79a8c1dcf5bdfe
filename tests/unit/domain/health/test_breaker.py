import math

import pytest

from orchestrator.domain.exchange import Fault
from orchestrator.domain.health.breaker import (
    FAILURES_IN_A_ROW,
    FAILURES_TO_REOPEN,
    PASSES_TO_CLOSE,
    PROBE_FIRST_S,
    PROBE_MOST_S,
    Breaker,
    BreakerState,
    Cause,
    Sign,
    admits,
    let_go,
    note_end,
    sign_of,
)
from orchestrator.domain.ids import JobId

BUSY, OK = Cause(503), Cause(200)


def job(number: int) -> JobId:
    return JobId(f"job_1_{number:06d}")


def fail(
    breaker: Breaker, times: int = 1, *, first_job: int = 0, cause: Cause = BUSY, at: float = 0.0
) -> Breaker:
    for number in range(first_job, first_job + times):
        breaker = note_end(breaker, cause, job(number), sent_at=at, now=at)
    return breaker


def succeed(breaker: Breaker, at: float) -> Breaker:
    return note_end(breaker, OK, job(999), sent_at=at, now=at)


def opened(at: float = 0.0) -> Breaker:
    return fail(Breaker(), FAILURES_IN_A_ROW, at=at)


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 404, 499])
def test_whoever_answers_is_well(status: int) -> None:
    assert sign_of(status, None) is Sign.WELL


def test_who_is_asked_too_often_answers_and_is_not_well() -> None:
    assert sign_of(429, None) is Sign.TOO_MUCH
    assert {sign for sign in Sign if sign.answers} == {Sign.WELL, Sign.TOO_MUCH}


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_a_5xx_is_the_targets_trouble(status: int) -> None:
    assert sign_of(status, None) is Sign.ILL


@pytest.mark.parametrize(
    ("fault", "sign"),
    [
        (Fault.CONNECT, Sign.ILL),
        (Fault.CONNECT_TIMEOUT, Sign.ILL),
        (Fault.TIMEOUT, Sign.ILL),
        (Fault.BROKEN, Sign.ILL),
        (Fault.LOST, Sign.NONE),
        (Fault.CANCELLED, Sign.NONE),
        (Fault.NOT_ALLOWED, Sign.NONE),
        (Fault.INVALID, Sign.NONE),
    ],
)
def test_a_fault_is_the_targets_trouble_only_where_the_target_is_silent(fault: Fault, sign: Sign) -> None:
    assert sign_of(None, fault) is sign


def test_failures_of_enough_jobs_in_a_row_open_it_and_name_the_cause() -> None:
    assert fail(Breaker(), FAILURES_IN_A_ROW - 1).state is BreakerState.CLOSED
    breaker = opened()
    assert (breaker.state, breaker.cause) == (BreakerState.OPEN, BUSY)


def test_one_job_that_fails_again_and_again_opens_nothing() -> None:
    breaker = Breaker()
    for _ in range(5 * FAILURES_IN_A_ROW):
        breaker = fail(breaker)
    assert breaker.state is BreakerState.CLOSED


def test_an_answer_ends_the_row() -> None:
    breaker = succeed(fail(Breaker(), FAILURES_IN_A_ROW - 1), 0.0)
    assert fail(breaker, FAILURES_IN_A_ROW - 1, first_job=50).state is BreakerState.CLOSED


def test_what_was_sent_before_the_last_answer_tells_nothing() -> None:
    breaker = succeed(fail(Breaker(), 1, at=1.0), 5.0)
    assert fail(breaker, 2 * FAILURES_IN_A_ROW, at=4.9).state is BreakerState.CLOSED


def test_what_ends_without_a_word_about_the_target_changes_nothing() -> None:
    breaker = fail(Breaker(), 3)
    assert note_end(breaker, Cause(None, Fault.LOST), job(7), sent_at=0.0, now=0.0) is breaker


def test_an_open_one_lets_nothing_pass_until_its_first_probe() -> None:
    breaker = opened(at=100.0)
    assert not admits(breaker, 100.0 + PROBE_FIRST_S - 0.001)
    assert admits(breaker, 100.0 + PROBE_FIRST_S)


def test_one_probe_goes_at_a_time() -> None:
    breaker = let_go(opened(), PROBE_FIRST_S)
    assert breaker.state is BreakerState.HALF_OPEN
    assert not admits(breaker, PROBE_FIRST_S)


def test_a_probe_that_hangs_holds_up_the_next_no_longer_than_a_pause() -> None:
    breaker = let_go(opened(), PROBE_FIRST_S)
    assert admits(breaker, 2 * PROBE_FIRST_S)


def test_a_probe_that_fails_doubles_the_pause_up_to_its_bound() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(6):
        pauses.append(breaker.probe_at - now)
        now = breaker.probe_at
        breaker = fail(let_go(breaker, now), at=now)
    assert pauses == [PROBE_FIRST_S, 2 * PROBE_FIRST_S, 4 * PROBE_FIRST_S, *[PROBE_MOST_S] * 3]
    assert breaker.state is BreakerState.OPEN


def test_each_probe_that_passes_lets_twice_as_many_go_until_it_closes() -> None:
    breaker = opened()
    now = breaker.probe_at
    batch, sizes = [let_go(breaker, now)], [1]
    breaker = batch[0]
    for _ in range(PASSES_TO_CLOSE):
        breaker = succeed(breaker, now)
        if breaker.state is BreakerState.CLOSED:
            break
        sizes.append(0)
        while admits(breaker, now):
            breaker, sizes[-1] = let_go(breaker, now), sizes[-1] + 1
    assert sizes == [1, 2, 2, 2, 2]
    assert breaker == Breaker(since=now)


def half_open() -> Breaker:
    """Tried with success, once."""
    return succeed(let_go(opened(), PROBE_FIRST_S), PROBE_FIRST_S)


def test_a_first_probe_that_fails_opens_it_again() -> None:
    assert fail(let_go(opened(), PROBE_FIRST_S), at=PROBE_FIRST_S).state is BreakerState.OPEN


def test_a_failure_after_a_probe_that_passed_only_uses_up_its_credit() -> None:
    breaker = fail(let_go(half_open(), PROBE_FIRST_S), at=PROBE_FIRST_S)
    assert (breaker.state, breaker.passes) == (BreakerState.HALF_OPEN, 1)
    assert breaker.credit == half_open().credit - 1


def test_failures_in_a_row_open_it_again_whatever_passed_before() -> None:
    breaker = fail(half_open(), FAILURES_TO_REOPEN - 1, at=PROBE_FIRST_S)
    assert breaker.state is BreakerState.HALF_OPEN
    breaker = fail(breaker, first_job=50, at=PROBE_FIRST_S)
    assert (breaker.state, breaker.probe_at) == (BreakerState.OPEN, PROBE_FIRST_S + 2 * PROBE_FIRST_S)


def test_one_broken_page_among_others_that_work_does_not_keep_it_from_closing() -> None:
    breaker = half_open()
    for number in range(PASSES_TO_CLOSE - 1):
        breaker = succeed(fail(breaker, first_job=number, at=PROBE_FIRST_S), PROBE_FIRST_S)
    assert breaker.state is BreakerState.CLOSED


def test_a_probe_from_before_that_fails_late_spoils_nothing() -> None:
    hung = let_go(opened(), PROBE_FIRST_S)
    breaker = succeed(let_go(hung, 5.0), 5.0)
    assert note_end(breaker, BUSY, job(1), sent_at=PROBE_FIRST_S, now=31.0) is breaker


def test_a_closed_one_has_nothing_to_wait_for() -> None:
    assert admits(Breaker(), -math.inf)
    assert let_go(Breaker(), 0.0) == Breaker()
