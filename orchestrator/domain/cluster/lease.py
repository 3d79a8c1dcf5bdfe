"""Who may act for a shard: a lease that compares no two machines' clocks.

Whoever has a shard beats: it changes a row each second. It counts from the *sending* of its last beat that
was taken, by its own clock, and acts for ``LEASE_S`` at most. Who wants the shard watches that row until it
has not changed for ``WATCH_S`` of its own. The second stretch holds the first, wherever the clocks stand, as
long as they run at speeds that differ by less than a fifth.

Both clocks go on while a machine sleeps (``CLOCK_BOOTTIME``), and while a process is stopped: it finds its
lease over when it goes on.
"""

from math import inf

from msgspec import Struct

LEASE_S = 4.0
WATCH_S = 5.0
BEAT_EVERY_S = 1.0


class Beat(Struct, frozen=True):
    """The row of whoever has a shard: in which epoch, and its latest beat."""

    epoch: int
    number: int


class HeldLease:
    """What whoever has a shard knows of its lease. ``forever`` is one that nobody can take: a file's lock."""

    __slots__ = ("_forever", "_sent_at")

    def __init__(self, *, forever: bool = False) -> None:
        self._forever = forever
        self._sent_at = -inf

    def renewed(self, sent_at: float) -> None:
        """A beat that was sent at ``sent_at`` (this clock) was taken."""
        self._sent_at = max(self._sent_at, sent_at)

    def left_s(self, now: float) -> float:
        """Say for how long this shard may still act: 0 where it may not."""
        return inf if self._forever else max(0.0, self._sent_at + LEASE_S - now)


class WatchedBeat:
    """What whoever wants a shard has seen of it."""

    __slots__ = ("_seen", "_since")

    def __init__(self) -> None:
        self._seen: Beat | None = None
        self._since = inf

    def look(self, found: Beat, sent_at: float, received_at: float) -> bool:
        """Take what a look at the row found, asked for at ``sent_at`` and answered at ``received_at`` (this
        clock); say whether the shard may be taken. The beat may have been written until the first answer that
        showed it came, and is known to stand until the last question was sent.
        """
        if found != self._seen:
            self._seen, self._since = found, received_at
        return sent_at - self._since >= WATCH_S
