"""What a process of the service asks of its interpreter."""

import gc
import sys
from collections.abc import Iterator

import pytest

from orchestrator.runtime.interpreter import SWITCH_EVERY_S, YOUNG_OBJECTS, tune_interpreter


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)


def test_a_thread_waits_no_millisecond_for_one_that_computes() -> None:
    tune_interpreter()
    assert sys.getswitchinterval() == pytest.approx(SWITCH_EVERY_S)
    assert SWITCH_EVERY_S < 0.001


def test_the_collector_comes_seldom() -> None:
    tune_interpreter()
    assert gc.get_threshold()[0] == YOUNG_OBJECTS
