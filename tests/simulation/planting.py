"""Bugs planted on purpose, each of which the checker has to name."""

from collections.abc import Callable

import pytest

from tests.simulation.checker import check
from tests.simulation.scenario import Scenario, scenario
from tests.simulation.world import simulate
from tests.support.long import some_of

SEEDS_MOST = 100
UNFIT = ("AttributeError", "TypeError", "NameError")

Plant = Callable[[pytest.MonkeyPatch], None]
Draw = Callable[[int], Scenario]
Plants = dict[str, tuple[str, Draw, Plant]]
"""By the bug's name: what it breaks, in which scenarios, and how it is planted."""


def note_in(plants: Plants, invariant: str, draw: Draw = scenario) -> Callable[[Plant], Plant]:
    """Note a bug that breaks an invariant."""

    def note(plant: Plant) -> Plant:
        plants[plant.__name__] = (invariant, draw, plant)
        return plant

    return note


def one_for_each_invariant(plants: Plants, *, shown_elsewhere: tuple[str, ...] = ()) -> list[object]:
    """Give the bugs' names: CI plays the first that breaks an invariant, `make test-long` all."""
    first: dict[str, str] = {}
    for name, (invariant, _, _) in plants.items():
        first.setdefault(invariant, name)
    return some_of(plants, *(name for invariant, name in first.items() if invariant not in shown_elsewhere))


def must_be_caught(planted: tuple[str, Draw, Plant], patch: pytest.MonkeyPatch) -> None:
    """Plant a bug, and look at seeds until the checker names it."""
    invariant, draw, plant = planted
    plant(patch)
    found: set[str] = set()
    for seed in range(SEEDS_MOST):
        plan = draw(seed)
        violations = check(plan, simulate(plan))
        unfit = [violation for violation in map(str, violations) if any(map(violation.count, UNFIT))]
        assert not unfit, "the plant does not fit the code any more: it fails by itself, and shows nothing"
        found |= {violation.invariant for violation in violations}
        if invariant in found:
            return
    pytest.fail(f"{invariant} was kept in {SEEDS_MOST} seeds; broken: {found}")
