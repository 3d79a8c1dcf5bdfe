import pytest

from orchestrator.domain.aimd import TriedRate


def test_a_refusal_lowers_the_rate_at_once() -> None:
    tried = TriedRate(10.0, 10.0)
    assert tried.refused(0.0, 0.1)
    assert tried.rate == pytest.approx(6.0)


def test_what_was_on_its_way_already_counts_once() -> None:
    tried = TriedRate(10.0, 10.0)
    tried.refused(0.0, 1.0)
    assert not tried.refused(0.9, 1.5)
    assert not tried.refused(1.0, 1.1)
    assert tried.refused(1.2, 1.5)


def test_answers_bring_the_rate_back_gradually_and_beyond() -> None:
    tried = TriedRate(100.0, 100.0)
    tried.refused(0.0, 1.0)
    rates = []
    for _ in range(600):
        tried.answered(2.0)
        rates.append(tried.rate)
    assert rates == sorted(rates)
    assert rates[30] < 80 < rates[200] < rates[299] == pytest.approx(100.0)
    assert rates[-1] > 105


def test_silence_proves_nothing() -> None:
    tried = TriedRate(100.0, 100.0)
    tried.refused(0.0, 1.0)
    tried.answered(0.5)
    assert tried.rate == pytest.approx(60.0)


def test_a_rate_that_held_for_long_is_lowered_a_little_only() -> None:
    tried = TriedRate(100.0, 100.0)
    for _ in range(150):
        tried.answered(0.0)
    before = tried.rate
    tried.refused(1.0, 1.0)
    assert tried.rate == pytest.approx(0.85 * before)


def test_who_refuses_everything_is_still_asked() -> None:
    tried = TriedRate(16.0, 16.0)
    for now in range(1, 100):
        tried.refused(now, now)
    assert tried.rate == 1.0
