"""What a store counts of itself, and the room that it has."""

from msgspec import Struct

from orchestrator.domain.histogram import Histogram


class DiskRoom(Struct, frozen=True, kw_only=True):
    """The disk that a store lies on, and what lies there, in bytes. ``log_bytes`` is what was committed and
    is not in the database's own file yet.
    """

    size_bytes: int
    free_bytes: int
    database_bytes: int
    log_bytes: int


class StoreNumbers(Struct, frozen=True, kw_only=True):
    """What a store has counted since it was opened: the writes that shared each commit, and how long commits
    took (s). ``room`` is None where no disk of its own is behind it.
    """

    commit_writes: Histogram
    commit_seconds: Histogram
    room: DiskRoom | None = None
