"""What strict servers allow, and what they say about it. Pure: the caller gives the time, in seconds.

What is forgiven for jitter on the way is requests, not time: a limit of 50 a second that forgives 3 % lets
51 (rounded down) into any of its windows, while it states 50. A refused request uses nothing up.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self, assert_never

BURST = 0.1
"""What a token bucket holds, as a share of its limit; never less than the two that may go back to back."""
BACK_TO_BACK = 2
PLENTY_RPS = 100_000
PLENTY_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Limit:
    """``count`` requests in ``window_s`` seconds, or at once. ``forgiven`` is a share of ``count``."""

    count: int
    window_s: float = 1.0
    forgiven: float = 0.0

    @property
    def forgiven_count(self) -> int:
        """How many requests are forgiven."""
        return math.floor(self.count * self.forgiven + 1e-9)

    @property
    def most(self) -> int:
        """How many are let in, what is forgiven included."""
        return self.count + self.forgiven_count

    @property
    def rps(self) -> float:
        """The stated limit, in requests per second."""
        return self.count / self.window_s


class Rule(Protocol):
    """Decides which requests are let in."""

    def admit(self, now: float) -> bool:
        """Let a request in that arrives at ``now``, or refuse it."""

    def leave(self) -> None:
        """One that was let in is answered."""

    def left(self, now: float) -> tuple[int, float]:
        """Say how many more the stated limit lets in, and in how many seconds it is whole again."""

    def follow(self, limit: Limit) -> Self:
        """Go on under another limit; windows and buckets begin anew."""


@dataclass(slots=True)
class TokenBucket:
    """Holds a tenth of a second's requests (BURST) and is refilled at the stated rate, drop by drop."""

    limit: Limit
    _spent: float = 0.0
    _at: float = -math.inf

    def admit(self, now: float) -> bool:
        """Take a token, if there is a whole one."""
        self._spent = self._spent_by(now)
        self._at = now
        if self._spent + 1 > self._holds + self.limit.forgiven_count + 1e-9:
            return False
        self._spent += 1
        return True

    def leave(self) -> None:
        """Nothing comes back."""

    def left(self, now: float) -> tuple[int, float]:
        """Count whole tokens; the bucket is full when what was spent has been refilled."""
        spent = self._spent_by(now)
        return max(0, int(self._holds - spent)), spent / self.limit.rps

    def follow(self, limit: Limit) -> Self:
        """Begin with a full bucket."""
        return type(self)(limit)

    @property
    def _holds(self) -> float:
        return max(BURST * self.limit.count, min(BACK_TO_BACK, self.limit.count))

    def _spent_by(self, now: float) -> float:
        return max(0.0, self._spent - (now - self._at) * self.limit.rps) if self._spent else 0.0


@dataclass(slots=True)
class FixedWindow:
    """Counts in windows that follow each other, whole windows from time 0 on."""

    limit: Limit
    _window: int = -1
    _count: int = 0

    def admit(self, now: float) -> bool:
        """Count a request in the window of ``now``."""
        if (window := int(now / self.limit.window_s)) != self._window:
            self._window, self._count = window, 0
        if self._count >= self.limit.most:
            return False
        self._count += 1
        return True

    def leave(self) -> None:
        """Nothing comes back."""

    def left(self, now: float) -> tuple[int, float]:
        """The window's rest."""
        window, into_s = divmod(now, self.limit.window_s)
        count = self._count if window == self._window else 0
        return max(0, self.limit.count - count), self.limit.window_s - into_s

    def follow(self, limit: Limit) -> Self:
        """Begin to count anew."""
        return type(self)(limit)


@dataclass(slots=True)
class SlidingWindow:
    """Remembers each request for one window: no window, wherever it begins, holds more than the limit."""

    limit: Limit
    _admitted: deque[float] = field(default_factory=deque)

    def admit(self, now: float) -> bool:
        """Let a request in if the window that ends with it has room."""
        self._forget(now)
        if len(self._admitted) >= self.limit.most:
            return False
        self._admitted.append(now)
        return True

    def leave(self) -> None:
        """Nothing comes back."""

    def left(self, now: float) -> tuple[int, float]:
        """The window's rest; it is whole again when its latest request is forgotten."""
        self._forget(now)
        whole_s = self._admitted[-1] + self.limit.window_s - now if self._admitted else 0.0
        return max(0, self.limit.count - len(self._admitted)), whole_s

    def follow(self, limit: Limit) -> Self:
        """Begin with an empty window."""
        return type(self)(limit)

    def _forget(self, now: float) -> None:
        while self._admitted and self._admitted[0] <= now - self.limit.window_s:
            self._admitted.popleft()


@dataclass(slots=True)
class Concurrency:
    """Counts the requests that it has not answered. It sees no jitter, so it forgives nothing."""

    limit: Limit
    _busy: int = 0

    def admit(self, now: float) -> bool:  # noqa: ARG002  # time is no matter here
        """Let a request in if a place is free."""
        if self._busy >= self.limit.count:
            return False
        self._busy += 1
        return True

    def leave(self) -> None:
        """Free a place."""
        self._busy -= 1

    def left(self, now: float) -> tuple[int, float]:  # noqa: ARG002  # the same
        """The free places."""
        return max(0, self.limit.count - self._busy), 0.0

    def follow(self, limit: Limit) -> Self:
        """Keep the places that are taken."""
        return type(self)(limit, self._busy)


class Kind(StrEnum):
    """How a server limits."""

    TOKEN_BUCKET = "token bucket"
    FIXED_WINDOW = "fixed window"
    SLIDING_WINDOW = "sliding window"
    CONCURRENCY = "concurrency"


RULES: Mapping[Kind, Callable[[Limit], Rule]] = {
    Kind.TOKEN_BUCKET: TokenBucket,
    Kind.FIXED_WINDOW: FixedWindow,
    Kind.SLIDING_WINDOW: SlidingWindow,
    Kind.CONCURRENCY: Concurrency,
}


class Dialect(StrEnum):
    """In which headers a server states its limit."""

    EZTHROTTLE = "X-EZTHROTTLE-*"
    X_RATELIMIT = "X-RateLimit-*"
    IETF = "RateLimit-Policy"
    SILENT = "none"


def state(dialect: Dialect, kind: Kind, limit: Limit, left: tuple[int, float]) -> dict[str, str]:
    """Write the headers of an answer. ``left`` is what the rule says is left."""
    at_once = limit.count if kind is Kind.CONCURRENCY else PLENTY_AT_ONCE
    remaining, reset_s = left[0], math.ceil(left[1])
    match dialect:
        case Dialect.EZTHROTTLE:
            rps = PLENTY_RPS if kind is Kind.CONCURRENCY else limit.rps
            return {"X-EZTHROTTLE-RPS": f"{rps:g}", "X-EZTHROTTLE-MAX-CONCURRENT": str(at_once)}
        case Dialect.X_RATELIMIT:
            return {
                "X-RateLimit-Limit": f"{limit.count}, {limit.count};window={limit.window_s:.0f}",
                "X-RateLimit-Remaining": str(remaining),
                "X-RateLimit-Reset": str(reset_s),
                "X-EZTHROTTLE-MAX-CONCURRENT": str(at_once),
            }
        case Dialect.IETF:
            places = f'"places";q={at_once};qu="concurrent-requests"'
            return {
                "RateLimit-Policy": f'"starts";q={limit.count};w={limit.window_s:.0f}, {places}',
                "RateLimit": f'"starts";r={remaining};t={reset_s}',
            }
        case Dialect.SILENT:
            return {}
        case _:
            assert_never(dialect)
