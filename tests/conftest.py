"""What holds for every test."""

import gc
import signal


def pytest_configure() -> None:
    """Take SIGINT where nobody does: a shell has what it runs in the background ignore it, and so would all
    that tests start, a bash without a way back. What is to stop as by Ctrl-C would be waited for in vain.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Leave out of every later collection of garbage what stays for the whole run: all tests and modules."""
    gc.collect()
    gc.freeze()
