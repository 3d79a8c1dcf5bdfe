"""The pace of one target: how many requests may start in any window, and how many may be in flight.

A rolling-window log, not a token bucket: a bucket lets twice its size through in one window right
after a pause, and a target that counts in windows answers that with 429. Within the window starts are
spread evenly: a flood that filled a window at once would make everybody else wait for the next one.
"""

import heapq
import math
from dataclasses import dataclass, field

from msgspec import Struct

from orchestrator.domain.headers.signals import Signal

ARRIVAL_MARGIN_S = 0.02
"""Added to each window, so that jitter on the way can't make the target count one start too many."""
CATCH_UP_S = 0.02
"""How late a start may be and the next one still keep to the timetable: timers are no better."""
LAPSE_LEAST_S = 60.0
LAPSE_INTERVALS = 3


class Pace(Struct, frozen=True):
    """``rps`` requests per second and ``max_concurrent`` in flight."""

    rps: float = 2.0
    max_concurrent: int = 2

    @property
    def starts(self) -> int:
        """How many requests may start in any ``window_s``."""
        return max(1, math.floor(self.rps))

    @property
    def window_s(self) -> float:
        """Length of the rolling window: a second, or the interval of a pace below one per second."""
        return max(1.0, 1.0 / self.rps)

    @property
    def interval_s(self) -> float:
        """Time between two starts where starts are spread evenly."""
        return (self.window_s + ARRIVAL_MARGIN_S) / self.starts

    @property
    def lapse_s(self) -> float:
        """How long a lowered pace holds without being repeated."""
        return max(LAPSE_LEAST_S, LAPSE_INTERVALS * self.window_s)


class PaceCaps(Struct, frozen=True, kw_only=True):
    """How far a target may raise its own pace."""

    rps: float = 100_000.0
    max_concurrent: int = 1_000


@dataclass(frozen=True, slots=True)
class PaceState:
    """The pace in force, when a lowered one lapses (monotonic s; None: it does not), and the header that
    told it. ``rps_until`` and ``most_until``: until when either part of it holds that was told, be it for
    ever; None where it was not told.
    """

    pace: Pace
    lapses_at: float | None = None
    source: str = field(default="", compare=False)
    rps_until: float | None = field(default=None, compare=False)
    most_until: float | None = field(default=None, compare=False)

    def until(self, at: float) -> "PaceState":
        """Let nothing of it hold for longer."""
        lapses_at = at if self.lapses_at is None else min(self.lapses_at, at)
        parts = (None if part is None else min(part, at) for part in (self.rps_until, self.most_until))
        return PaceState(self.pace, None if lapses_at == math.inf else lapses_at, self.source, *parts)

    def rest(self, otherwise: "PaceState", now: float) -> "PaceState":
        """Give what is left once a part has lapsed: that is as ``otherwise``, all of it where none holds."""
        rps = self if holds(self.rps_until, now) else otherwise
        most = self if holds(self.most_until, now) else otherwise
        if rps is most is otherwise:
            return otherwise
        pace = Pace(rps.pace.rps, most.pace.max_concurrent)
        return _in_parts(pace, self.source, rps.rps_until, most.most_until)


def holds(part: float | None, now: float) -> bool:
    """Whether a part of a pace was told, and has not lapsed."""
    return part is not None and now < part


def _in_parts(pace: Pace, source: str, rps_until: float | None, most_until: float | None) -> PaceState:
    ends = min(math.inf if until is None else until for until in (rps_until, most_until))
    return PaceState(pace, None if ends == math.inf else ends, source, rps_until, most_until)


def steer(state: PaceState, signal: Signal, *, base: Pace, caps: PaceCaps, now: float) -> PaceState:
    """Apply what a response said. A pace below ``base`` lapses unless it is repeated in time, so
    that nobody can hold a target's domain down with one answer. To repeat one part renews no other.
    """
    if signal.silent:
        return state
    pace = Pace(
        min(signal.rps or state.pace.rps, caps.rps),
        min(signal.max_concurrent or state.pace.max_concurrent, caps.max_concurrent),
    )
    rps_until, most_until, renewed = state.rps_until, state.most_until, now + pace.lapse_s
    if signal.rps is not None:
        rps_until = renewed if pace.rps < base.rps else math.inf
    if signal.max_concurrent is not None:
        most_until = renewed if pace.max_concurrent < base.max_concurrent else math.inf
    return _in_parts(pace, signal.source or state.source, rps_until, most_until)


class Outlook(Struct, frozen=True):
    """When the next request is likely to go (monotonic s), and the seconds between those that follow."""

    begins_at: float
    between_s: float = 0.0

    def joined(self, other: "Outlook") -> "Outlook":
        """Keep to both."""
        return Outlook(max(self.begins_at, other.begins_at), max(self.between_s, other.between_s))

    def start(self, number: int) -> float:
        """Estimate the start of the request with this number, from 1."""
        return self.begins_at + (number - 1) * self.between_s


class Limiter:
    """Grants permits to start. All times are monotonic seconds, given by the caller.

    A permit is pending until its start is known: only then does its window begin to run, so a
    request that was slow to start can't crowd the window after it. Grant and take-back are
    O(log n) in the starts per window.
    """

    __slots__ = (
        "_last_start",
        "_next_permit",
        "_not_before",
        "_out",
        "_pending",
        "_slot",
        "_spare",
        "_starts",
        "pace",
    )

    def __init__(self, pace: Pace, *, not_before: float = -math.inf) -> None:
        self.pace = pace
        self._starts: list[float] = []
        self._last_start = -math.inf
        self._out = _NONE_OUT
        self._pending = 0
        self._next_permit = 0
        self._not_before = not_before
        self._slot = -math.inf
        self._spare = False

    @property
    def in_flight(self) -> int:
        """Places taken."""
        return len(self._out)

    @property
    def last_start(self) -> float:
        """When a request started last; minus infinity where none did."""
        return self._last_start

    def recent(self, now: float) -> int:
        """Count the starts in the window before ``now``, pending ones too."""
        since = now - self.pace.window_s
        return self._pending + sum(at > since for at in self._starts)

    def take(self, now: float) -> int | None:
        """Take a permit and a place in flight, or None where there is none now."""
        if self.next_at(now) != now:
            return None
        self._take_slot(now)
        return self.adopt()

    def adopt(self) -> int:
        """Count a request that was let out elsewhere and has yet to start; its permit takes no slot here."""
        self._next_permit += 1
        self._pending += 1
        self._out = self._out or {}
        self._out[self._next_permit] = False
        return self._next_permit

    def remember(self, other: "Limiter") -> None:
        """Count what ``other`` knows to have started."""
        self._starts = list(other._starts)  # noqa: SLF001  # of its own kind
        self._last_start = max(self._last_start, other._last_start)  # noqa: SLF001  # of its own kind

    def has_yet_to_start(self, permit: int) -> bool:
        """Whether a permit is out whose start is not known."""
        return self._out.get(permit) is False

    def started(self, permit: int, at: float) -> None:
        """The permit's request wrote its first byte at ``at``. Hearing it twice changes nothing."""
        if self._out.get(permit) is False:
            self._out[permit] = True
            self._pending -= 1
            heapq.heappush(self._starts, at)
            self._last_start = max(self._last_start, at)

    def unused(self, permit: int) -> None:
        """The permit comes back, its slot too: nothing was written with it."""
        if self.dismiss(permit):
            self._slot -= self.pace.interval_s

    def dismiss(self, permit: int) -> bool:
        """Count a permit no longer; say whether its request had yet to start."""
        pending = self._out.pop(permit, None) is False
        self._pending -= pending
        self._out = self._out or _NONE_OUT
        return pending

    def closed(self, permit: int, now: float) -> None:
        """The request's connection is closed. A start never reported counts as one made now."""
        self.started(permit, now)
        self._out.pop(permit, None)
        # An idle target is to cost little, and an emptied dict keeps its table.
        self._out = self._out or _NONE_OUT

    def at_rest(self, now: float, for_s: float) -> bool:
        """Whether nothing is in flight or held up, and nothing has started for ``for_s`` and a window."""
        return not self._out and now >= max(self._not_before, self._last_start + for_s + self.pace.window_s)

    def pause(self, until: float) -> None:
        """Start nothing before ``until``."""
        self._not_before = max(self._not_before, until)

    def outlook(self, now: float, place_s: float) -> Outlook:
        """Estimate the next starts, where a place in flight is held for ``place_s``."""
        back_s = place_s / self.pace.max_concurrent
        begin = self.next_at(now)
        return Outlook(
            max(now + back_s, self._not_before) if begin is None else begin,
            max(self.pace.interval_s, back_s),
        )

    def next_at(self, now: float) -> float | None:
        """When a permit can be had: ``now`` or later; None where something has to come back first."""
        if len(self._out) >= self.pace.max_concurrent:
            return None
        window_at = self._window_frees_at(now)
        if window_at is None:
            return None
        slot_at = now if self._spare else self._slot + self.pace.interval_s
        return max(now, self._not_before, window_at, slot_at)

    def _take_slot(self, now: float) -> None:
        """Move on in the timetable. After a rest two may start back to back, once."""
        interval_s = self.pace.interval_s
        due = self._slot + interval_s
        if now - due >= max(interval_s, CATCH_UP_S):
            self._slot, self._spare = now, True
        else:
            self._spare = self._spare and now >= due
            self._slot = max(due, now - CATCH_UP_S)

    def _window_frees_at(self, now: float) -> float | None:
        window_s = self.pace.window_s + ARRIVAL_MARGIN_S
        while self._starts and self._starts[0] + window_s <= now:
            heapq.heappop(self._starts)
        room = self.pace.starts - self._pending
        if room <= 0:
            return None
        if len(self._starts) < room:
            # A pace that fell below one per second has to see a start that an earlier window forgot.
            return self._last_start + window_s if self.pace.starts == 1 else now
        excess = len(self._starts) - room
        oldest = self._starts[0] if excess == 0 else heapq.nsmallest(excess + 1, self._starts)[-1]
        return oldest + window_s


_NONE_OUT: dict[int, bool] = {}
"""Of all idle limiters: nothing is ever put into it."""
