"""How many files a process may open."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.runtime.open_files import FILES_MOST, files_left, raise_file_limit


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """The limits of this process, which are put back."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_is_raised_to_what_the_process_may_allow_itself(limits: tuple[int, int]) -> None:
    hard = limits[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    raise_file_limit()
    most = FILES_MOST if hard == resource.RLIM_INFINITY else min(hard, FILES_MOST)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, hard)


def test_a_higher_limit_stays(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    raise_file_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == limits[1]


@pytest.mark.usefixtures("limits")
def test_each_open_file_leaves_one_less(tmp_path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    before = files_left()
    opened = [(tmp_path / str(number)).open("w") for number in range(10)]
    assert files_left() == before - 10
    for each in opened:
        each.close()
    assert files_left() == before
