"""What a process of the service asks of its interpreter."""

import gc
from collections.abc import Iterator

import pytest

from orchestrator.runtime.interpreter import YOUNG_OBJECTS, tune_interpreter


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)


def test_the_collector_comes_seldom() -> None:
    tune_interpreter()
    assert gc.get_threshold()[0] == YOUNG_OBJECTS
