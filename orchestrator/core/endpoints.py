"""Whom webhooks go to: each endpoint has its places in flight, its line, and a breaker.

A receiver that is slow, hangs or is down keeps its own places and its own line busy, and nobody else's.
"""

from collections import deque
from dataclasses import dataclass, field

from orchestrator.domain.ids import JobId, TargetDomain
from orchestrator.domain.job import Job, held_bytes
from orchestrator.ports.store import OutboxEntry

FAILURES_TO_OPEN = 5
"""Failures in a row that open a breaker."""
PROBE_EVERY_S = 5.0
"""How long an open breaker waits after a failure before it lets one delivery try."""


@dataclass(slots=True)
class Parcel:
    """One job's result on its way to its receivers. ``size`` is in bytes, the job's own included."""

    job: Job
    body: bytes
    entries: list[OutboxEntry]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.body) + held_bytes(self.job.spec)


@dataclass(slots=True, eq=False)
class Turn:
    """A delivery that waits for its endpoint. ``parcel`` is None where it is read when its turn comes.

    ``over_ms`` is the Unix ms after which nothing but a working receiver is worth an attempt.
    """

    job_id: JobId
    index: int
    over_ms: int
    parcel: Parcel | None = None


class Endpoint:
    """One receiver. Times are monotonic seconds."""

    __slots__ = ("_failures", "_probe", "_probe_at", "in_flight", "line", "name", "places", "waking")

    def __init__(self, name: TargetDomain, places: int) -> None:
        self.name = name
        self.places = places
        self.line: deque[Turn] = deque()
        self.in_flight = 0
        self.waking = False
        """Whether somebody comes back to this line when the next probe may go."""
        self._failures = 0
        self._probe: Turn | None = None
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open: the receiver seems to be down."""
        return self._failures >= FAILURES_TO_OPEN

    @property
    def idle(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.in_flight or self.line or self._failures)

    def has_room(self, now: float) -> bool:
        """Whether another delivery may go: while the breaker is open, one probe at a time."""
        if self.in_flight >= self.places:
            return False
        return not self.is_open or (self._probe is None and now >= self._probe_at)

    def probes_in_s(self, now: float) -> float | None:
        """Say after how long the next probe may go; None where it is not time that is waited for."""
        waits = self.is_open and self._probe is None and self.in_flight < self.places
        return max(0.0, self._probe_at - now) if waits else None

    def start(self) -> Turn:
        """Let the first of the line go."""
        turn = self.line.popleft()
        self.in_flight += 1
        if self.is_open:
            self._probe = turn
        return turn

    def give_back(self, turn: Turn) -> None:
        """It did not go, or nobody knows how it went: that says nothing of the receiver."""
        self.in_flight -= 1
        if self._probe is turn:
            self._probe = None

    def settle(self, turn: Turn, now: float, *, down: bool) -> None:
        """It came to an end; ``down``: as if nobody was there."""
        self.give_back(turn)
        self._failures = self._failures + 1 if down else 0
        if down:
            self._probe_at = now + PROBE_EVERY_S

    def forget(self, now: float, after_s: float) -> None:
        """Let old failures count no more, where nothing has gone there for a while."""
        if not (self.in_flight or self.line) and now > self._probe_at + after_s:
            self._failures = 0
