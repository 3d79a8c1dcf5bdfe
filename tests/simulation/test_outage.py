"""An outage, scaled down; ``make outage`` plays the full one."""

import pytest

from tests.simulation.outage import KINDS, Known, Outage, play


def assert_harmless(outage: Outage) -> None:
    assert outage.sent_per_job <= 0.1, "no more than the first failures and probes"
    assert outage.failed_share <= 0.001
    assert outage.longest_gap_s <= 2.0


@pytest.mark.parametrize("kind", KINDS)
def test_an_outage_multiplies_nothing_fails_nobody_and_ends_at_once(kind: str) -> None:
    outage = play(rate=50, outage_s=120, kind=kind)
    assert_harmless(outage)
    assert outage.rate_after >= 0.95
    assert outage.overrun == 0


@pytest.mark.parametrize("known", [Known.RAISED, Known.LOWERED])
def test_a_pace_that_the_target_names_is_back_at_once_after_an_outage(known: Known) -> None:
    outage = play(rate=50, outage_s=120, kind="503", known=known)
    assert_harmless(outage)
    assert outage.rate_after >= 0.95
    assert outage.overrun == 0


@pytest.mark.parametrize("kind", ["refused", "503"])
def test_a_pace_that_was_found_by_trying_is_back_at_once_after_an_outage(kind: str) -> None:
    outage = play(rate=50, outage_s=120, kind=kind, known=Known.UNNAMED)
    assert_harmless(outage)
    assert outage.rate_after >= 0.9
    assert outage.overrun_share <= 0.02
