"""What holds for every test, those of the SDK under the oldest Python too."""

from __future__ import annotations

import gc
import signal

import pytest


def pytest_configure() -> None:
    """Take SIGINT where nobody does: a shell has what it runs in the background ignore it, and so would all
    that tests start, a bash without a way back. What is to stop as by Ctrl-C would be waited for in vain.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Leave out of every later collection of garbage what stays for the whole run: all tests and modules."""
    leave_out_what_stays()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After each directory too: with caches and reports of all, a collection takes a third of a second."""
    if nextitem is not None and nextitem.path.parent != item.path.parent:
        leave_out_what_stays()


def leave_out_what_stays() -> None:
    gc.collect()
    gc.freeze()
