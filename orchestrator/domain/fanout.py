"""Telling the receivers: each delivery's life, the job's delivery state, and when to try again."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

OFFSETS_S = (0, 5, 30, 120, 600, 3_600, 10_800, 28_800, 86_400)
"""When the attempts are made, counted from the first."""
JITTER = 0.1
GONE = 410


class DeliveryState(StrEnum):
    """One receiver's state."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class JobDelivery(StrEnum):
    """All receivers of a job together."""

    NONE = "none"
    PENDING = "pending"
    QUORUM_MET = "quorum_met"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Vote:
    """One receiver, as the quorum sees it."""

    state: DeliveryState
    has_vote: bool


def job_delivery(votes: Sequence[Vote], quorum: int) -> JobDelivery:
    """Judge a job's deliveries: all accepted, enough voters accepted, still open, or lost.

    A quorum of 1 passes without voters too: then there is nobody to wait for.
    """
    if not votes:
        return JobDelivery.NONE
    if all(vote.state is DeliveryState.DELIVERED for vote in votes):
        return JobDelivery.DELIVERED
    voters = [vote for vote in votes if vote.has_vote]
    accepted = sum(vote.state is DeliveryState.DELIVERED for vote in voters)
    if accepted >= min(quorum, len(voters)) and voters:
        return JobDelivery.QUORUM_MET
    still = sum(vote.state is DeliveryState.PENDING for vote in (voters or votes))
    reachable = accepted + still >= quorum if voters else still > 0
    return JobDelivery.PENDING if reachable else JobDelivery.FAILED


def next_attempt_ms(
    made: int, first_ms: int, now_ms: int, *, status: int | None, retry_after_s: float | None, jitter: float
) -> int | None:
    """Say when a failed delivery is tried again (Unix ms), or None where it is over.

    Args:
        made: Attempts made, this one included.
        first_ms: When the first was made.
        now_ms: Now.
        status: The receiver's answer; 410 ends the delivery.
        retry_after_s: What the receiver asked for; it delays an attempt, never hastens it.
        jitter: Uniform in [0, 1).

    """
    if status == GONE or made >= len(OFFSETS_S):
        return None
    step_s = OFFSETS_S[made] - OFFSETS_S[made - 1]
    planned = first_ms + int((OFFSETS_S[made] + step_s * JITTER * jitter) * 1000)
    asked = now_ms + int(min(retry_after_s or 0.0, 86_400.0) * 1000)
    return max(planned, asked, now_ms)
