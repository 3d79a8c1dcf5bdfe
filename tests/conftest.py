"""What holds for every test."""

import gc


def pytest_collection_finish() -> None:
    """Leave out of every later collection of garbage what stays for the whole run: all tests and modules."""
    gc.collect()
    gc.freeze()
