"""What a process must not share with those that it was forked from: sockets, locks, threads."""

from __future__ import annotations

import os
from typing import Callable, Generic, TypeVar

T = TypeVar("T")


class _Forks:
    """How many forks lie between the first process and this one: an ancestor's id may come up again."""

    count = 0


def _forked() -> None:
    _Forks.count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def process() -> tuple[int, int]:
    """Return what tells this process from its ancestors.

    >>> process() == process()
    True
    """
    # The id by itself too: servers that fork in C do not always call what was registered.
    return os.getpid(), _Forks.count


class PerProcess(Generic[T]):
    """A value that each process makes for itself when it first needs it; threads get the same one.

    What an ancestor made is neither used nor closed: closing it could reach a socket, or an event loop's
    poll set, that the ancestor goes on using.

    >>> connections = PerProcess(list)
    >>> connections.get() is connections.get()
    True
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[tuple[int, int], T] = {}

    def get(self) -> T:
        """Return this process's own."""
        mine = process()
        if mine not in self._made:
            # One step for threads that come here together, and no lock that a fork could leave locked.
            return self._made.setdefault(mine, self._make())
        return self._made[mine]

    def __reduce__(self) -> tuple[type[PerProcess[T]], tuple[Callable[[], T]]]:
        return type(self), (self._make,)
