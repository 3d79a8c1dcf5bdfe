"""Seeded histories of the real core under a virtual clock, each checked whole.

A failing seed prints itself and replays exactly: ``EZTHROTTLE_SIM_SEEDS=4711:1 pytest tests/simulation``.
"""

import os

import pytest

from tests.simulation.checker import check
from tests.simulation.scenario import scenario
from tests.simulation.world import simulate

DEFAULT_SEEDS = "0:200"
CHUNK = 20


def chunks() -> list[range]:
    first, count = (int(part) for part in os.environ.get("EZTHROTTLE_SIM_SEEDS", DEFAULT_SEEDS).split(":"))
    return [range(at, min(at + CHUNK, first + count)) for at in range(first, first + count, CHUNK)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeds", chunks(), ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_every_history_keeps_every_promise(seeds: range) -> None:
    broken = {}
    for seed in seeds:
        plan = scenario(seed)
        if violations := check(plan, simulate(plan)):
            broken[seed] = violations
    assert broken == {}
