"""How what runs is started and stopped, and how what is open is closed.

There are two kinds of parts. What is there before it runs (a server, a heart, a shard) is started and
stopped: ``Lifecycle``, and ``AsyncLifecycle`` on an event loop. What is open once it is made (a thread with
its queue, a pool, a mailbox) is only closed: ``Closeable``, and ``AsyncCloseable``.

A part of a shard that hears of the shard's life by ``begin``, with what that life brings, is no third kind:
what it has under way is the shard's, and ends with that.
"""

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Protocol, final


class Stage(StrEnum):
    """How far a part is in its one life."""

    NEW = "not started"
    STARTING = "being started, or its start has failed"
    UP = "up"
    STOPPING = "being stopped, or its stop has failed"
    STOPPED = "stopped"


class _OneLife:
    """What both kinds of parts that are started know of that."""

    stage = Stage.NEW

    def _starts_now(self) -> bool:
        """Begin a start, if it is not up."""
        if self.stage is Stage.UP:
            return False
        if self.stage is not Stage.NEW:
            msg = f"{type(self).__name__} has one life, and is {self.stage}: make another one"
            raise RuntimeError(msg)
        self.stage = Stage.STARTING
        return True

    def _stops_now(self) -> bool:
        """Begin a stop, if it is not down."""
        if self.stage is Stage.STOPPED:
            return False
        self.stage = Stage.STOPPING
        return True


class AsyncLifecycle(_OneLife, ABC):
    """What runs on an event loop from ``start`` to ``stop``, and has one life.

    ``start`` returns when it is up, and raises where it can't be. ``stop`` returns when it is down. Either
    may come twice: the second one changes nothing. ``stop`` may come without a start, too, or after one that
    raised or was cancelled: it takes down what there is by then. After it there is no other start.

    One owner makes these calls, one after the other: who gives a start up cancels it, and stops then.
    """

    @final
    async def start(self) -> None:
        """Return when it is up.

        Raises:
            RuntimeError: It has had its life: it was stopped, or its start has failed.

        """
        if self._starts_now():
            await self._start()
            self.stage = Stage.UP

    @final
    async def stop(self) -> None:
        """Return when it is down."""
        if self._stops_now():
            await self._stop()
            self.stage = Stage.STOPPED

    @abstractmethod
    async def _start(self) -> None:
        """Come up; called once."""

    @abstractmethod
    async def _stop(self) -> None:
        """Take down what there is, which is nothing where no start came; again where that failed."""


class Lifecycle(_OneLife, ABC):
    """The same without an event loop: for threads and timers."""

    @final
    def start(self) -> None:
        """Return when it is up.

        Raises:
            RuntimeError: It has had its life: it was stopped, or its start has failed.

        """
        if self._starts_now():
            self._start()
            self.stage = Stage.UP

    @final
    def stop(self) -> None:
        """Return when it is down; blocks until then."""
        if self._stops_now():
            self._stop()
            self.stage = Stage.STOPPED

    @abstractmethod
    def _start(self) -> None:
        """Come up; called once."""

    @abstractmethod
    def _stop(self) -> None:
        """Take down what there is, which is nothing where no start came; again where that failed."""


class AsyncCloseable(Protocol):
    """What is open once it is made. ``close`` returns when nothing of it runs any more, and may come twice;
    nothing is asked of it afterwards.
    """

    async def close(self) -> None:
        """End what is under way, or wait for it, as the part says."""


class Closeable(Protocol):
    """The same without an event loop: ``close`` blocks."""

    def close(self) -> None:
        """End what is under way, or wait for it, as the part says."""
