from msgspec.structs import replace

from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.retry import Verdict
from orchestrator.domain.execution.run import (
    ATTEMPTS_KEPT,
    LegState,
    abandon,
    find_attempt,
    lose_all,
    note_close,
    note_start,
    open_attempts,
    waiting_legs,
)
from orchestrator.domain.execution.settling import Succeed
from orchestrator.domain.ids import AttemptId
from tests.unit.domain.builders import IAD, LAX, NOW_MS, ORD, REGIONS, UnderWay, a_spec, answered, failed

RACE = a_spec(regions=REGIONS)


def states(job: UnderWay) -> list[LegState]:
    return [leg.state for leg in job.run.legs]


def test_a_dispatch_numbers_the_attempt_and_marks_its_region_as_used() -> None:
    job = UnderWay(RACE)
    job.send(0)
    job.send(1, region=ORD)
    assert [(a.number, a.leg, a.region, a.granted_ms) for a in job.run.attempts] == [
        (1, 0, IAD, NOW_MS),
        (2, 1, ORD, NOW_MS),
    ]
    assert job.run.made == 2
    assert job.run.used_regions == {IAD, ORD}
    assert job.run.legs[1].region == ORD
    assert waiting_legs(job.run) == [2]


def test_starts_and_closes_are_noted_with_their_attempt() -> None:
    job = UnderWay(RACE)
    first, second = job.send(0), job.send(1)
    run = note_close(note_start(job.run, second, NOW_MS + 3), first, NOW_MS + 9)
    assert [(a.started_ms, a.closed_ms) for a in run.attempts] == [(None, NOW_MS + 9), (NOW_MS + 3, None)]


def test_a_crash_sends_what_was_open_back_to_wait_and_is_counted() -> None:
    job = UnderWay(RACE)
    job.play(0, answered(404))
    job.send(1)
    run = lose_all(job.run, crashed=True)
    assert [leg.state for leg in run.legs] == [LegState.ENDED, LegState.WAITING, LegState.WAITING]
    assert [(a.fault, a.verdict) for a in run.attempts] == [(None, Verdict.END), (Fault.LOST, Verdict.WAIT)]
    assert (run.crashes, run.retries, run.reroutes, run.made) == (1, 0, 0, 2)
    assert open_attempts(run) == []


def test_a_crash_while_nothing_was_open_is_not_counted() -> None:
    job = UnderWay(a_spec())
    job.play(0, answered(429))
    assert lose_all(job.run, crashed=True) is job.run


def test_what_an_attempt_of_before_the_crash_reports_changes_nothing() -> None:
    job = UnderWay(a_spec())
    attempt = job.send()
    job.run = lose_all(job.run, crashed=True)
    before = job.run
    job.end(attempt, answered(200))
    assert job.run is before


def test_abandoning_ends_every_leg_and_cancels_what_is_under_way() -> None:
    job = UnderWay(RACE)
    job.play(0, answered(404))
    under_way = job.send(1)
    job.run = abandon(job.run, NOW_MS + 7)
    assert open_attempts(job.run) == []
    assert states(job) == [LegState.ENDED, LegState.CANCELLED, LegState.SKIPPED]
    ended = find_attempt(job.run, under_way)
    assert ended is not None
    assert (ended.fault, ended.verdict, ended.ended_ms) == (Fault.CANCELLED, Verdict.END, NOW_MS + 7)


def test_abandoning_twice_cancels_once() -> None:
    job = UnderWay(RACE)
    job.send(0)
    run = abandon(job.run, NOW_MS)
    assert abandon(run, NOW_MS + 7) == run


def test_a_leg_that_was_sent_before_a_crash_is_not_shown_as_skipped() -> None:
    job = UnderWay(RACE)
    job.send(0)
    job.run = abandon(lose_all(job.run, crashed=True), NOW_MS)
    assert states(job) == [LegState.CANCELLED, LegState.SKIPPED, LegState.SKIPPED]


def test_the_timeline_keeps_the_first_and_the_last_attempts() -> None:
    job = UnderWay(a_spec())
    for _ in range(3 * ATTEMPTS_KEPT):
        job.play(0, answered(429))
    kept = [attempt.number for attempt in job.run.attempts]
    half = ATTEMPTS_KEPT // 2
    assert kept == [*range(1, half + 1), *range(job.run.made - half + 1, job.run.made + 1)]
    assert job.run.made == 3 * ATTEMPTS_KEPT


def test_that_a_target_saw_something_is_known_when_the_attempt_is_not_kept_any_more() -> None:
    job = UnderWay(a_spec())
    refused = failed(Fault.CONNECT, written=False)
    for number in range(3 * ATTEMPTS_KEPT):
        job.play(0, replace(answered(429) if number == ATTEMPTS_KEPT else refused, probe=True))
    assert not any(attempt.written for attempt in job.run.attempts)
    assert job.run.written


def test_nothing_is_written_where_no_attempt_was() -> None:
    job = UnderWay(a_spec())
    for _ in range(3 * ATTEMPTS_KEPT):
        job.play(0, replace(failed(Fault.CONNECT, written=False), probe=True))
    assert not job.run.written


def test_an_attempt_that_comes_to_its_own_end_clears_the_crashes() -> None:
    job = UnderWay(a_spec())
    for _ in range(2):
        job.send(0)
        job.run = lose_all(job.run, crashed=True)
    assert job.run.crashes == 2
    job.play(0, failed(Fault.LOST))
    assert job.run.crashes == 2
    job.play(0, answered(429))
    assert job.run.crashes == 0


def test_an_orderly_stop_sends_what_was_open_back_to_wait_and_is_no_crash() -> None:
    job = UnderWay(a_spec())
    job.send(0)
    run = lose_all(job.run, crashed=False)
    assert ([leg.state for leg in run.legs], run.crashes) == ([LegState.WAITING], 0)


def test_an_open_attempt_is_kept_however_many_its_sibling_makes() -> None:
    job = UnderWay(a_spec(regions=(IAD, LAX)))
    for _ in range(ATTEMPTS_KEPT):
        job.play(1, answered(429))
    slow = job.send(0)
    for _ in range(ATTEMPTS_KEPT):
        job.play(1, answered(429))
    assert [attempt.id for attempt in open_attempts(job.run)] == [slow]
    assert isinstance(job.end(slow, answered(200)), Succeed)


def test_an_attempt_is_found_by_its_id() -> None:
    job = UnderWay(RACE)
    attempt = job.send(0)
    found = find_attempt(job.run, attempt)
    assert found is not None
    assert replace(found, id=attempt) is not None
    assert find_attempt(job.run, AttemptId("other")) is None
