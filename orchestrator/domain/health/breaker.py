"""A circuit breaker for one region and one target: after enough failures in a row nothing goes that way
but a probe now and then, until the target answers again.

Only different jobs in a row count, and any answer ends the row: one job, or one broken page among
others that work, opens nothing, and does not keep what is open from closing either.
"""

import math
from enum import StrEnum
from http import HTTPStatus

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.exchange import Fault
from orchestrator.domain.ids import JobId

FAILURES_IN_A_ROW = 10
PROBE_FIRST_S = 1.0
PROBE_MOST_S = 5.0
"""A target that is back is found within this."""
PASSES_TO_CLOSE = 5
FAILURES_TO_REOPEN = 5
"""In a row, once a probe has passed. With more the moments of a target that flickers would add up."""
CREDIT_PER_PASS = 2
"""Each probe that passes lets two more go: twice as many each time, as in TCP's slow start."""


class BreakerState(StrEnum):
    """Whether requests pass."""

    CLOSED = "closed"
    """They do."""
    OPEN = "open"
    """They wait."""
    HALF_OPEN = "half_open"
    """A few are tried."""


class Sign(StrEnum):
    """What the end of an attempt says about its target, as seen from its region."""

    WELL = "well"
    """It answers; that a request is refused is no trouble of the target's."""
    TOO_MUCH = "too_much"
    """It answers, and says that it is asked too often: that tells nothing of how long answers take."""
    ILL = "ill"
    NONE = "none"
    """Nothing: the attempt ended for another reason."""

    @property
    def answers(self) -> bool:
        """Whether the target is there and answers."""
        return self in (Sign.WELL, Sign.TOO_MUCH)


class Cause(Struct, frozen=True):
    """What opened a breaker: a status code of the target's, or a fault on the way to it."""

    status: int | None
    fault: Fault | None = None


class Breaker(Struct, frozen=True, kw_only=True):
    """Times are monotonic s. ``since``: what was sent before tells nothing any more. ``failing`` are the
    jobs of the row so far; ``credit`` is how many requests may be tried at once, and ``probe_at`` when one
    more may, whatever became of those.
    """

    state: BreakerState = BreakerState.CLOSED
    since: float = -math.inf
    failing: frozenset[JobId] = frozenset()
    cause: Cause | None = None
    probe_at: float = math.inf
    pause_s: float = 0.0
    credit: int = 0
    passes: int = 0


def sign_of(status: int | None, fault: Fault | None) -> Sign:
    """Read the end of an attempt: 5xx, and no answer at all, are the target's trouble."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Sign.TOO_MUCH
    if status is not None:
        return Sign.ILL if status >= 500 else Sign.WELL  # noqa: PLR2004  # the class 5xx
    ill = (Fault.CONNECT, Fault.CONNECT_TIMEOUT, Fault.TIMEOUT, Fault.BROKEN)
    return Sign.ILL if fault in ill else Sign.NONE


def admits(breaker: Breaker, now: float) -> bool:
    """Whether a request may go."""
    return breaker.state is BreakerState.CLOSED or breaker.credit > 0 or now >= breaker.probe_at


def let_go(breaker: Breaker, now: float) -> Breaker:
    """Count a request that goes; ask ``admits`` first."""
    if breaker.state is BreakerState.CLOSED:
        return breaker
    if breaker.credit > 0:
        return replace(breaker, credit=breaker.credit - 1)
    return replace(breaker, state=BreakerState.HALF_OPEN, probe_at=now + breaker.pause_s)


def note_end(breaker: Breaker, cause: Cause, job: JobId, *, sent_at: float, now: float) -> Breaker:
    """Learn from the end of an attempt that was sent at ``sent_at``."""
    sign = sign_of(cause.status, cause.fault)
    if sign is Sign.NONE or sent_at < breaker.since:
        return breaker
    if sign.answers:
        return _well(breaker, sent_at)
    if breaker.state is BreakerState.OPEN:
        return breaker
    row = breaker.failing | {job}
    return (
        _opened(breaker, cause, now) if len(row) >= _opens_after(breaker) else replace(breaker, failing=row)
    )


def _opens_after(breaker: Breaker) -> int:
    """How many failures in a row open it."""
    if breaker.state is BreakerState.CLOSED:
        return FAILURES_IN_A_ROW
    return FAILURES_TO_REOPEN if breaker.passes else 1


def _well(breaker: Breaker, sent_at: float) -> Breaker:
    if breaker.state is BreakerState.CLOSED:
        return replace(breaker, since=sent_at, failing=frozenset()) if breaker.failing else breaker
    if breaker.passes + 1 >= PASSES_TO_CLOSE:
        return Breaker(since=sent_at)
    return replace(
        breaker,
        state=BreakerState.HALF_OPEN,
        since=sent_at,
        failing=frozenset(),
        credit=breaker.credit + CREDIT_PER_PASS,
        passes=breaker.passes + 1,
    )


def _opened(breaker: Breaker, cause: Cause, now: float) -> Breaker:
    pause_s = min(PROBE_MOST_S, 2 * breaker.pause_s) if breaker.pause_s else PROBE_FIRST_S
    return Breaker(state=BreakerState.OPEN, since=now, cause=cause, probe_at=now + pause_s, pause_s=pause_s)
