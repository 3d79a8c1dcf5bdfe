import pytest

from orchestrator.domain.ids import JobId
from orchestrator.domain.pace.aimd import TriedRate

JOB, OTHER = JobId("job_1"), JobId("job_2")


def test_a_refusal_lowers_the_rate_at_once() -> None:
    tried = TriedRate(10.0, 10.0)
    assert tried.refused(JOB, 0.0, 0.1)
    assert tried.rate(0.1) == pytest.approx(6.0)


def test_what_was_on_its_way_already_counts_once() -> None:
    tried = TriedRate(10.0, 10.0)
    tried.refused(JOB, 0.0, 1.0)
    assert not tried.refused(OTHER, 0.9, 1.5)
    assert not tried.refused(OTHER, 1.0, 1.1)
    assert tried.refused(OTHER, 1.2, 1.5)


def test_a_job_lowers_the_rate_once_until_it_is_answered_or_taken_back() -> None:
    tried = TriedRate(10.0, 10.0)
    assert tried.refused(JOB, 0.0, 1.0)
    assert not tried.refused(JOB, 2.0, 3.0)
    tried.answered(JOB, 4.0)
    assert tried.refused(JOB, 5.0, 6.0)
    tried.withdraw(JOB)
    assert tried.refused(JOB, 7.0, 8.0)


def test_answers_bring_the_rate_back_gradually_and_beyond() -> None:
    tried = TriedRate(100.0, 100.0)
    tried.refused(JOB, 0.0, 1.0)
    rates = []
    for _ in range(600):
        tried.answered(OTHER, 2.0)
        rates.append(tried.rate(1.0))
    assert rates == sorted(rates)
    assert rates[30] < 80 < rates[200] < rates[299] == pytest.approx(100.0)
    assert rates[-1] > 105


def test_silence_proves_nothing() -> None:
    tried = TriedRate(100.0, 100.0)
    tried.refused(JOB, 0.0, 1.0)
    tried.answered(OTHER, 0.5)
    assert tried.rate(1.0) == pytest.approx(60.0)


def test_a_rate_that_held_for_long_is_lowered_a_little_only() -> None:
    tried = TriedRate(100.0, 100.0)
    for _ in range(150):
        tried.answered(OTHER, 0.0)
    before = tried.rate(1.0)
    tried.refused(JOB, 1.0, 1.0)
    assert tried.rate(1.0) == pytest.approx(0.85 * before)


def test_who_refuses_everything_is_still_asked() -> None:
    tried = TriedRate(16.0, 16.0)
    for now in range(1, 100):
        tried.refused(JobId(f"job_{now}"), now, now)
    assert tried.rate(99) == 1.0


def test_time_alone_brings_most_of_the_rate_back_within_a_minute() -> None:
    tried = TriedRate(100.0, 100.0)
    tried.refused(JOB, 0.0, 1.0)
    rates = [tried.rate(1.0 + second) for second in range(0, 600, 5)]
    assert rates == sorted(rates)
    assert tried.rate(61.0) == pytest.approx(90.0) == tried.rate(600.0)


def test_a_rate_below_three_a_minute_is_back_within_three_intervals() -> None:
    tried = TriedRate(0.3, 0.04)
    tried.refused(JOB, 0.0, 1.0)
    low = tried.rate(1.0)
    assert low < 0.05
    assert tried.rate(1.0 + 3 / low) == pytest.approx(0.27)


def test_the_floor_does_not_fall_with_the_goal() -> None:
    tried = TriedRate(100.0, 100.0)
    for number in range(1, 200):
        tried.answered(OTHER, number + 0.5)
        tried.refused(JobId(f"job_{number}"), number + 0.5, number + 1.0)
    assert tried.rate(200.0) == pytest.approx(1 / 30, rel=0.1)


def test_a_refusal_that_is_taken_back_was_never() -> None:
    tried, other = TriedRate(100.0, 100.0), TriedRate(100.0, 100.0)
    jobs = [JobId(f"job_{number}") for number in range(3)]
    for number, job in enumerate(jobs):
        tried.refused(job, number, number + 0.9)
        if number != 1:
            other.refused(job, number, number + 0.9)
    tried.withdraw(jobs[1])
    assert tried.rate(5.0) == pytest.approx(other.rate(5.0))
    tried.withdraw(jobs[0])
    tried.withdraw(jobs[2])
    assert not tried.lowered


def test_a_job_that_was_answered_between_two_refusals_has_both_taken_back() -> None:
    tried, other = TriedRate(100.0, 100.0), TriedRate(100.0, 100.0)
    assert tried.refused(JOB, 0.0, 1.0)
    for rate in (tried, other):
        assert rate.refused(OTHER, 2.0, 3.0)
        rate.answered(JOB, 4.0)
    assert tried.refused(JOB, 5.0, 6.0)
    tried.withdraw(JOB)
    assert tried.rate(6.0) == pytest.approx(other.rate(6.0))
    tried.withdraw(OTHER)
    assert not tried.lowered
