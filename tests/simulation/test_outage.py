"""An outage, scaled down; ``make outage`` plays the full one."""

import pytest

from tests.simulation.outage import KINDS, play


@pytest.mark.parametrize("kind", KINDS)
def test_an_outage_multiplies_nothing_fails_nobody_and_ends_at_once(kind: str) -> None:
    outage = play(rate=50, outage_s=120, kind=kind)
    assert outage.sent_per_job <= 0.1, "no more than the first failures and probes"
    assert outage.failed_share <= 0.001
    assert outage.rate_after >= 0.95
    assert outage.longest_gap_s <= 2.0
    assert outage.overrun == 0
