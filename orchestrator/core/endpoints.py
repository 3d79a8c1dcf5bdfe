"""Whom webhooks go to: each endpoint has its places in flight, its line, and a breaker.

A receiver that is slow, hangs or is down keeps its own places and its own line busy, and nobody else's.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
from orchestrator.domain.job import Job, Webhook
from orchestrator.ports.store import OutboxEntry

FAILURES_TO_OPEN = 5
"""Failures in a row that open a breaker."""
PROBE_EVERY_S = 5.0
"""How long an open breaker waits after a failure before it lets one delivery try."""
LOOKED_AT_MOST = 64
"""Deliveries at the head of a line, of which the first that there is room for goes."""
ENTRY_BYTES = 500
"""Of a delivery's record in memory."""


@dataclass(slots=True)
class Parcel:
    """One job's result on its way to its receivers. ``body`` is None where it is large: it stays on disk, and
    is read when it goes. ``size`` is what the parcel takes in memory, in bytes.
    """

    job_id: JobId
    customer: CustomerId
    webhooks: Sequence[Webhook]
    body: bytes | None
    body_bytes: int
    entries: list[OutboxEntry]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        urls = sum(len(webhook.url) for webhook in self.webhooks)
        self.size = len(self.body or b"") + urls + ENTRY_BYTES * len(self.entries)

    @classmethod
    def of(cls, job: Job, body: bytes | None, body_bytes: int, entries: Sequence[OutboxEntry]) -> "Parcel":
        """Pack a job's result; a large one is left on disk."""
        kept = body if body_bytes <= LARGE_BYTES else None
        return cls(job.id, job.customer, job.spec.webhooks, kept, body_bytes, list(entries))


@dataclass(slots=True, eq=False)
class Turn:
    """A delivery that waits for its endpoint. ``parcel`` is None where it is read when its turn comes, and
    ``body_bytes`` 0 while nobody knows how large its body is.

    ``over_ms`` is the Unix ms after which nothing but a working receiver is worth an attempt.
    """

    job_id: JobId
    customer: CustomerId
    index: int
    over_ms: int
    parcel: Parcel | None = None
    body_bytes: int = 0


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

    def start(self, fits: Callable[[Turn], bool]) -> Turn | None:
        """Let the first go that there is room for; None where that is nobody: one customer's large results
        hold up nobody else's.
        """
        for place, turn in enumerate(islice(self.line, LOOKED_AT_MOST)):
            if fits(turn):
                del self.line[place]
                self.in_flight += 1
                if self.is_open:
                    self._probe = turn
                return turn
        return None

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
