"""A self-clocked mailbox: whatever arrives while a batch is on its way is the next batch.

No timer to tune, no wait when idle, large batches under load.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable

from orchestrator.domain.mail_room import MailCount, Uncounted
from orchestrator.messages.codec import Header, encode, encode_batch, fragments
from orchestrator.messages.types import Message
from orchestrator.ports.lifecycle import AsyncCloseable
from orchestrator.ports.transport import Carrier

BATCH_BYTES = 96 * 1024
BATCHES_UNDER_WAY = 2
RETRY_FIRST_S = 0.05
RETRY_MOST_S = 1.0
_UNCOUNTED = Uncounted()
_Counts = list[tuple[MailCount, int]]
"""What of a batch counts where."""


class StreamCarrier(ABC):
    """A carrier over a stream that says itself how much it takes: on a long way two batches are little.

    ``places`` is how many batches may be under way now; ``on_room`` is called when there are more.
    """

    places = BATCHES_UNDER_WAY

    def __init__(self) -> None:
        self.on_room: Callable[[], None] = lambda: None

    @abstractmethod
    def __call__(self, batch: bytes) -> Awaitable[object]:
        """Carry a batch; raises, at once or when awaited, where that failed or may have failed."""


class Mailbox(AsyncCloseable):
    """Messages to one peer, in batches. A batch that failed goes again until it arrives or the
    mailbox is readdressed: receivers know each message by its id.

    Args:
        carry: Takes a batch to the peer.
        header: Whom batches are for and from.
        count: Counts what waits, or is on its way.
    """

    def __init__(self, carry: Carrier, header: Header, count: MailCount = _UNCOUNTED) -> None:
        self._carry = carry
        self._header = header
        self._count = count
        self._small: deque[bytes] = deque()
        self._large: deque[tuple[bytes, MailCount]] = deque()
        self._posted = 0
        """Parts of large messages that were queued ever."""
        self._gone: deque[tuple[int, Callable[[], None]]] = deque()
        """What is called once so many of them have left."""
        self._under_way: dict[asyncio.Future[object], _Counts] = {}
        self._drops = 0
        """Times that all was dropped: what had failed before goes no more."""
        self._flush_due = False
        self._closed = False
        self._stuck_since: float | None = None
        self._message_ids = 0
        self.batches_sent = 0
        self.messages_sent = 0
        self._stream = carry if isinstance(carry, StreamCarrier) else None
        if self._stream is not None:
            self._stream.on_room = self._schedule_rest

    def post(
        self, message: Message, gone: Callable[[], None] | None = None, count: MailCount | None = None
    ) -> None:
        """Queue a message; it leaves in this turn of the event loop if the peer has room. ``gone`` is called
        once none of it waits here any more, nor of the large ones before it. Where ``count`` is given, that
        counts it.
        """
        self._message_ids += 1
        parts = fragments(encode(message), self._message_ids)
        counter = self._count if count is None else count
        counter.take(sum(map(len, parts)))
        if len(parts) == 1 and count is None:
            self._small.extend(parts)
        else:
            self._large.extend([(part, counter) for part in parts])
            self._posted += len(parts)
        if gone is not None:
            self._gone.append((self._posted, gone))
            self._tell_of_gone()
        self._schedule()

    def readdress(self, header: Header) -> None:
        """Turn to another incarnation of the peer; what was meant for the old one is dropped."""
        if header.incarnation != self._header.incarnation:
            self._stuck_since = None
        self._header = header
        self._drop()

    def drop_large(self) -> None:
        """Send nothing more of large messages: of one that has left in part the rest does not come."""
        dropped = [(counter, len(part)) for part, counter in self._large]
        self._large.clear()
        _give_back(dropped)
        self._tell_of_gone()

    def knock(self) -> None:
        """Carry an empty batch: the first call makes the connection, and no message waits for it."""
        self._send([], [])

    def stuck_s(self) -> float:
        """Say for how long batches have been on their way, and none of them arrived (s). What was dropped
        meanwhile excuses nothing: only a batch that arrives, or another incarnation, does.
        """
        if self._stuck_since is None:
            return 0.0
        return asyncio.get_running_loop().time() - self._stuck_since

    async def close(self) -> None:
        """Drop what waits and end what is on its way; what is posted from now on is dropped, too."""
        self._closed = True
        self._drop()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _drop(self) -> None:
        size = sum(map(len, self._small))
        self._small.clear()
        self._count.give_back(size)
        self.drop_large()
        # A call to a peer that is cut off may hang for a minute: it must not keep its place that long.
        self._drops += 1
        for carried in self._under_way:
            carried.cancel()

    def _schedule(self) -> None:
        stream = self._stream
        most = BATCHES_UNDER_WAY if stream is None else stream.places
        if not self._flush_due and len(self._under_way) < most:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        parts, counts = self._next_parts()
        if parts:
            self._tell_of_gone()
            self._send(parts, counts)
            self._schedule_rest()

    def _send(self, parts: list[bytes], counts: _Counts) -> None:
        if self._closed:
            _give_back(counts)
            return
        self.batches_sent += 1
        self.messages_sent += len(parts)
        batch = encode_batch(self._header, parts)
        if self._stuck_since is None:
            self._stuck_since = asyncio.get_running_loop().time()
        try:
            carried = asyncio.ensure_future(self._carry(batch))
        except Exception:  # noqa: BLE001  # whatever the carrier met, the batch has to go again
            carried = asyncio.ensure_future(self._carry_again(batch))
        self._await(carried, batch, counts)

    def _await(self, carried: "asyncio.Future[object]", batch: bytes, counts: _Counts) -> None:
        self._under_way[carried] = counts
        drops = self._drops
        carried.add_done_callback(lambda _: self._ended(carried, batch, drops))

    def _next_parts(self) -> tuple[list[bytes], _Counts]:
        parts: list[bytes] = []
        counts: _Counts = []
        small, size = self._small, 0
        # A fragment of a large message goes at the head of each batch, so that neither kind starves.
        if self._large:
            part, counter = self._large.popleft()
            parts.append(part)
            counts.append((counter, size := len(part)))
        head = size
        while small and (size == 0 or size + len(small[0]) <= BATCH_BYTES):
            parts.append(small.popleft())
            size += len(parts[-1])
        counts.append((self._count, size - head))
        return parts, counts

    async def _carry_again(self, batch: bytes) -> None:
        delay = RETRY_FIRST_S
        while True:
            await asyncio.sleep(delay)
            try:
                await self._carry(batch)
            except Exception:  # noqa: BLE001  # whatever the carrier met, the batch has to go again
                delay = min(delay * 2, RETRY_MOST_S)
            else:
                return

    def _ended(self, carried: "asyncio.Future[object]", batch: bytes, drops: int) -> None:
        counts = self._under_way.pop(carried)
        failed = not carried.cancelled() and carried.exception() is not None
        if failed and drops == self._drops:
            self._await(asyncio.ensure_future(self._carry_again(batch)), batch, counts)
            return
        if not (failed or carried.cancelled()):
            self._stuck_since = carried.get_loop().time() if self._under_way else None
        _give_back(counts)
        self._schedule_rest()

    def _tell_of_gone(self) -> None:
        while self._gone and self._gone[0][0] <= self._posted - len(self._large):
            self._gone.popleft()[1]()

    def _schedule_rest(self) -> None:
        if self._small or self._large:
            self._schedule()


def _give_back(counts: _Counts) -> None:
    for counter, size in counts:
        counter.give_back(size)
