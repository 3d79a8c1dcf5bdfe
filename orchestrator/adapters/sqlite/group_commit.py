"""One writer thread: whatever was asked for while a commit was on its way is the next commit.

So a commit's fsync is shared by all who wait for one, and nobody waits for a timer.
"""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

from orchestrator.domain.histogram import SIZES, Histogram

BATCH_MOST = 512

Write = Callable[[sqlite3.Connection], Any]
_Item = tuple[Write, "asyncio.Future[Any] | None"]
_Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]

log = logging.getLogger(__name__)


class GroupCommitWriter:
    """Runs writes in the order they were asked for; a result is handed over after its commit.

    ``check`` raises sqlite3.Error where a commit would be of no use. It is called after each one, too.
    """

    def __init__(
        self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop, check: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._check = check
        self.sizes = Histogram(SIZES)
        """Writes that shared a commit."""
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def write(self, write: Write) -> "asyncio.Future[Any]":
        """Ask for a write; the future holds its result once it is committed."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put((write, future))
        return future

    def post(self, write: Write) -> None:
        """Ask for a write that nobody waits for."""
        self._queue.put((write, None))

    def close(self) -> None:
        """Commit what was asked for, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            work = [item for item in batch if item is not None]
            if work:
                self._hand_over(self._commit(work))
            if len(work) < len(batch):
                return

    def _next_batch(self) -> list[_Item | None]:
        batch = [self._queue.get()]
        with contextlib.suppress(queue.Empty):
            while batch[-1] is not None and len(batch) < BATCH_MOST:
                batch.append(self._queue.get_nowait())
        return batch

    def _commit(self, work: list[_Item]) -> list[_Outcome]:
        try:
            return self._transaction(work)
        except Exception as error:  # noqa: BLE001  # one bad write must not take its neighbours along
            self._roll_back()
            if len(work) == 1:
                return self._failed(work[0], error)
            return [outcome for item in work for outcome in self._commit([item])]

    def _transaction(self, work: list[_Item]) -> list[_Outcome]:
        self._check()
        self._connection.execute("BEGIN IMMEDIATE")
        results = [write(self._connection) for write, _ in work]
        self._connection.execute("COMMIT")
        self._check()
        self.sizes.observe(len(work))
        pairs = zip(work, results, strict=True)
        return [(future, result, None) for (_, future), result in pairs if future is not None]

    def _failed(self, item: _Item, error: Exception) -> list[_Outcome]:
        if item[1] is None:
            log.error("an unawaited write failed: %s", error)
            return []
        return [(item[1], None, error)]

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _hand_over(self, outcomes: list[_Outcome]) -> None:
        # The loop may be gone when the last commit of a stopping service returns.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: list[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
