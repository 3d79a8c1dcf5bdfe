"""What CI leaves out because a shorter test shows the same: ``make test-long`` plays it all.

pytest counts what was left out as deselected.
"""

import os
from collections.abc import Iterable
from typing import Any

import pytest

LONG = pytest.mark.long
_DRAWS_ALL = "EZTHROTTLE_LONG" in os.environ
_CI_DRAWS_ONE_IN = 3


def drawn(most: int) -> int:
    """Say how many examples a property is tried with: in CI a third of those of ``make test-long``."""
    return most if _DRAWS_ALL else most // _CI_DRAWS_ONE_IN


def some_of(values: Iterable[Any], *kept: Any) -> list[Any]:
    """Give every value as a parameter of a test, marked as long unless it is to be kept in CI.

    A tuple stands for several parameters, as it does for ``pytest.mark.parametrize``.

    Raises:
        LookupError: A value that is to be kept is not there: CI would play less than was meant.

    """
    offered = list(values)
    if missing := [each for each in kept if each not in offered]:
        raise LookupError(f"not among the parameters: {missing}")
    return [value if value in kept else _long(value) for value in offered]


def _long(value: Any) -> Any:
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=LONG)
