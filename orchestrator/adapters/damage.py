"""Rows that can't be read: what the disk gives back is not what was written."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.domain.access.roles import Role
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.secret_box import SealError
from orchestrator.ports.store import DamagedError

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""What opening, unpacking and rebuilding of changed bytes raises. msgpack's own are ValueErrors."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Read a column, named in the error.

    Raises:
        DamagedError: It can't be read.
    """
    try:
        yield
    except UNREADABLE as error:
        # Others' words may hold some of the payload, which no log is to have.
        why = str(error) if isinstance(error, SealError) else type(error).__name__
        raise DamagedError(f"{what}: {why}") from None


def read_state(stored: str, ended_ms: object) -> JobState:
    """Read a job's state; one that is none is taken for what its end says."""
    try:
        return JobState(stored)
    except ValueError:
        return JobState.QUEUED if ended_ms is None else JobState.FAILED


def read_state_with_end(stored: str, ended_ms: object) -> JobState:
    """Read a job's state beside its end: a job that is called ended, and of whose end nothing else was
    written, still runs.
    """
    state = read_state(stored, ended_ms)
    return JobState.RUNNING if state.ended and ended_ms is None else state


def require_state(stored: str, ended_ms: object) -> None:
    """Look whether a job's state can be read, and whether it says the same as its end.

    Raises:
        DamagedError: It can't, or does not.
    """
    with reading("state"):
        state = JobState(stored)
    if state.ended and ended_ms is None:
        msg = f"state: {state}, and its end was not written"
        raise DamagedError(msg)


def read_role(stored: str) -> Role:
    """Read a key's role; one that is none may do the least."""
    try:
        return Role(stored)
    except ValueError:
        return Role.READ


def read_expiry(stored: object) -> int | None:
    """Read when a key expires (Unix ms); what is no time has passed."""
    return None if stored is None else whole(stored)


def known_number(stored: object) -> float | None:
    """Read a positive number, or none.

    Raises:
        ValueError: It is something else.
    """
    if stored is None or (isinstance(stored, int | float) and 0 < stored < math.inf):
        return stored
    msg = "not a positive number"
    raise ValueError(msg)


def known_count(stored: object) -> int | None:
    """Read a positive whole number, or none.

    Raises:
        ValueError: It is something else.
    """
    if stored is None or (isinstance(stored, int) and stored > 0):
        return stored
    msg = "not a positive whole number"
    raise ValueError(msg)


def whole(stored: object) -> int:
    """Read a whole number; what is none counts as 0: long ago, or none."""
    return stored if isinstance(stored, int) else 0
