"""What an attempt's end means for its leg: success, again here, again elsewhere, or over."""

from enum import StrEnum
from typing import assert_never

from orchestrator.domain.exchange import Fault, HttpResponse
from orchestrator.domain.headers.signals import LONGEST_WAIT_S
from orchestrator.domain.jobs.job import JobSpec, RetryPolicy

DEFAULT_POLICY = RetryPolicy()
BACKOFF_FIRST_MS = 1_000
BACKOFF_MOST_MS = 300_000
PROBE_AGAIN_MOST_MS = 30_000
"""A job that probed in vain may be the next probe after this: it must not sleep long into the recovery."""
JITTER = 0.25


class Verdict(StrEnum):
    """What follows from one attempt."""

    SUCCESS = "success"
    RETRY = "retry"
    """Again in the same region, spending one retry."""
    WAIT = "wait"
    """Again in the same region, spending nothing: the target only asked for patience."""
    REROUTE = "reroute"
    """Again in another region, spending one reroute."""
    END = "end"
    """The leg is over."""
    UNKNOWN = "unknown"
    """The leg is over, and nobody can know whether it took effect."""


def judge_response(spec: JobSpec, response: HttpResponse, *, asks_to_wait: bool = False) -> Verdict:
    """Judge an answer by the job's policy, or by the default one where it has none.

    Without a policy of its own a 429, and a 503 that ``asks_to_wait`` (it names a wait that lies ahead),
    are pacing signals. An answer that
    could not be read to its end is judged like any other; but where the policy names its code it is repeated,
    even if that code says success.
    """
    policy = spec.retry_policy or DEFAULT_POLICY
    if response.beyond_doubt:
        return Verdict.SUCCESS
    if spec.retry_policy is None and _is_pacing(response.status, asks_to_wait=asks_to_wait):
        return Verdict.WAIT
    if response.status in policy.retry_codes:
        return Verdict.RETRY
    if response.status in policy.reroute_codes and not spec.guarantee.once:
        return Verdict.REROUTE
    return Verdict.SUCCESS if response.successful else Verdict.END


def judge_fault(spec: JobSpec, fault: Fault, *, written: bool) -> Verdict:
    """Judge an end without an answer. ``written``: the target may have seen some of the request."""
    if written and spec.guarantee.once:
        return Verdict.UNKNOWN
    match fault:
        case Fault.NOT_ALLOWED | Fault.INVALID:
            return Verdict.END
        case Fault.LOST:
            return Verdict.WAIT
        case Fault.CONNECT | Fault.CONNECT_TIMEOUT | Fault.TIMEOUT | Fault.BROKEN | Fault.CANCELLED:
            return Verdict.REROUTE
        case _:
            assert_never(fault)


def backoff_ms(repeats: int, retry_after_s: float | None, jitter: float, *, again: bool = False) -> int:
    """Say how long the next repeat waits.

    Args:
        repeats: Those of this leg before this one.
        retry_after_s: What the target asked for, if it did; it is never undercut. A wait that does not lie
            ahead is none.
        jitter: Uniform in [0, 1).
        again: Whether the leg was refused before: then what it is told never shortens its backoff.

    """
    base = min(BACKOFF_FIRST_MS * 2 ** min(repeats, 20), BACKOFF_MOST_MS)
    backoff = int(base * (1 - JITTER + 2 * JITTER * jitter))
    if retry_after_s is None or retry_after_s <= 0:
        return backoff
    # Whole ms: cut down, a wait would be over too early.
    asked = int(round(min(retry_after_s, LONGEST_WAIT_S) * 1000) * (1 + JITTER * jitter / 2))
    return max(asked, backoff) if again else asked


def _is_pacing(status: int, *, asks_to_wait: bool) -> bool:
    return status == 429 or (status == 503 and asks_to_wait)  # noqa: PLR2004  # named in the contract
