"""One writer thread: whatever was asked for while a commit was on its way is the next commit.

So a commit's fsync is shared by all who wait for one, and no small write waits for a timer. Large writes have
commits of their own, of so many bytes, with a group of small ones before each: many large ones hold up a
small one no longer than one of their commits does. And those rest between each other, so that most small ones
come upon none.
"""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from orchestrator.adapters.sqlite.disk_retry import passes
from orchestrator.domain.histogram import FINE_SECONDS, SIZES, Histogram
from orchestrator.ports.lifecycle import Closeable

BATCH_MOST = 512
LARGE_WRITE_BYTES = 8 * 1024
"""Of writes of this size and more some hundreds take the disk longer than others are to wait."""
LARGE_COMMIT_BYTES = 256 * 1024
"""Large writes share a commit up to so many bytes: it takes milliseconds. A larger one has its own."""
RESTS_TIMES = 2.0
"""How long the next large writes wait, in times of what the last took: a third of the time is theirs."""

Write = Callable[[sqlite3.Connection], Any]
Committed = Callable[[int, int], None]
"""Takes how many writes a commit had, and how many bytes the large ones among them."""
_Item = tuple[Write, "asyncio.Future[Any] | None"]
_Asked = tuple[_Item, int]
_Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]

log = logging.getLogger(__name__)


class GroupCommitWriter(Closeable):
    """Runs small writes in the order they were asked for, and large ones in theirs; a result is handed over
    after its commit.

    ``check`` raises sqlite3.Error where a commit would be of no use. It is called after each one, too.
    ``fence`` looks within each transaction, before its writes, and raises where they must not be committed.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        loop: asyncio.AbstractEventLoop,
        check: Callable[[], None],
        fence: Callable[[sqlite3.Connection], None],
        committed: Committed,
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._check = check
        self._fence = fence
        self._committed = committed
        self.sizes = Histogram(SIZES)
        """Writes that shared a commit."""
        self.took = Histogram(FINE_SECONDS)
        """How long commits took, what they write included, s."""
        self.refused = ""
        """Why the disk took nothing of the last commit; empty where it took it."""
        self._queue: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._large: deque[_Asked] = deque()
        self._rests_until = 0.0
        self._hurries = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def write(self, write: Write, *, size: int = 0) -> "asyncio.Future[Any]":
        """Ask for a write of so many bytes; the future holds its result once it is committed."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put(((write, future), size))
        return future

    def post(self, write: Write, *, size: int = 0) -> None:
        """Ask for a write that nobody waits for."""
        self._queue.put(((write, None), size))

    def hurry(self) -> None:
        """Let no large write rest any more: it is about to be closed."""
        self._hurries = True

    def close(self) -> None:
        """Commit what was asked for, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while self._large or not self._closing:
            if small := self._next_group():
                self._hand_over(self._commit(small))
                self._committed(len(small), 0)
            if self._large and not self._rest_s():
                self._commit_large()

    def _commit_large(self) -> None:
        began = time.monotonic()
        item, size = self._large.popleft()
        group = [item]
        while self._large and size + self._large[0][1] <= LARGE_COMMIT_BYTES:
            item, more = self._large.popleft()
            group.append(item)
            size += more
        self._hand_over(self._commit(group))
        self._committed(len(group), size)
        now = time.monotonic()
        self._rests_until = now + RESTS_TIMES * (now - began)

    def _rest_s(self) -> float:
        """How long the next large writes still wait."""
        return 0.0 if self._hurries or self._closing else max(0.0, self._rests_until - time.monotonic())

    def _next_group(self) -> list[_Item]:
        """Take what was asked for; blocks until something was, or until a large write's turn."""
        group: list[_Item] = []
        with contextlib.suppress(queue.Empty):
            self._sort(self._queue.get(timeout=self._rest_s() if self._large else None), group)
            while not self._closing and len(group) < BATCH_MOST:
                self._sort(self._queue.get_nowait(), group)
        return group

    def _sort(self, asked: _Asked | None, group: list[_Item]) -> None:
        if asked is None:
            self._closing = True
            return
        item, size = asked
        if size >= LARGE_WRITE_BYTES:
            self._large.append(asked)
        else:
            group.append(item)

    def _commit(self, work: list[_Item]) -> list[_Outcome]:
        try:
            return self._transaction(work)
        except Exception as error:  # noqa: BLE001  # one bad write must not take its neighbours along
            self._roll_back()
            if isinstance(error, sqlite3.Error) and passes(error):
                self.refused = str(error)
            if len(work) == 1:
                return self._failed(work[0], error)
            return [outcome for item in work for outcome in self._commit([item])]

    def _transaction(self, work: list[_Item]) -> list[_Outcome]:
        began = time.monotonic()
        self._check()
        self._connection.execute("BEGIN IMMEDIATE")
        self._fence(self._connection)
        results = [write(self._connection) for write, _ in work]
        self._connection.execute("COMMIT")
        self._check()
        self.refused = ""
        self.sizes.observe(len(work))
        self.took.observe(time.monotonic() - began)
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
