"""Telling the receivers: each delivery's life, the job's delivery state, and when to try again."""

from collections.abc import Collection, Sequence
from enum import StrEnum

from msgspec import Struct, field

from orchestrator.domain.exchange import Fault
from orchestrator.domain.headers.signals import LONGEST_WAIT_S
from orchestrator.domain.ids import RegionName
from orchestrator.domain.jobs.lifecycle import JobState

OFFSETS_S = (0, 5, 30, 120, 600, 3_600, 10_800, 28_800, 86_400)
"""When the attempts are made, counted from the first."""
JITTER = 0.1
GONE = 410
NO_REGION = RegionName("")
NOBODY_THERE = frozenset({502, 503, 504})
"""What a proxy says for a receiver that is down."""


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


class DeliveryAttempt(Struct, frozen=True):
    """One attempt at one receiver, as the timeline shows it.

    Args:
        at_ms: When it ended, Unix ms.
        status: The receiver's answer; None where there was none.
        took_ms: Its duration.
        message: Why there was no answer.
        region: From where it was made; empty where the webhook names no region.

    """

    at_ms: int
    status: int | None
    took_ms: int
    message: str = ""
    region: RegionName = NO_REGION


class Vote(Struct, frozen=True):
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


def judge_delivery(
    voters: Sequence[bool], quorum: int, state: JobState, deliveries: Sequence[DeliveryState]
) -> JobDelivery:
    """Judge deliveries by who has a vote; both are in the order of the job's webhooks."""
    if not state.ended:
        return JobDelivery.PENDING if voters else JobDelivery.NONE
    votes = [Vote(*vote) for vote in zip(deliveries, voters, strict=False)]
    return job_delivery(votes, quorum)


class Schedule(Struct, frozen=True, kw_only=True):
    """When a delivery's attempts are made.

    Args:
        offsets_s: Seconds after the first attempt, growing; the first of them is 0.
        jitter: Share of the step before an attempt by which that may be late, in [0, 1].

    """

    offsets_s: tuple[float, ...] = OFFSETS_S
    jitter: float = JITTER

    @property
    def lasts_ms(self) -> int:
        """Time from the first attempt to the last, without its jitter."""
        return int(self.offsets_s[-1] * 1000)

    def next_attempt(
        self, used: int, first_ms: int, now_ms: int, *, retry_after_s: float | None, jitter: float
    ) -> tuple[int, int] | None:
        """Say which offset is used next after a failure, and when (Unix ms); None where all are used.

        Of offsets that have passed, by a restart or behind an open breaker, the last stands for all:
        what is late is tried once and not in a burst.

        Args:
            used: Offsets used up, the failed attempt's included.
            first_ms: When the first attempt was made.
            now_ms: Now.
            retry_after_s: What the receiver asked for; it delays an attempt, never hastens it.
            jitter: Uniform in [0, 1).

        """
        if used >= len(self.offsets_s):
            return None
        times = {
            index: first_ms + self._after_ms(index, jitter) for index in range(used, len(self.offsets_s))
        }
        passed = [index for index, at_ms in times.items() if at_ms <= now_ms]
        index = passed[-1] if passed else used
        asked_ms = now_ms + round(min(retry_after_s or 0.0, LONGEST_WAIT_S) * 1000)
        return index, max(times[index], asked_ms)

    def _after_ms(self, index: int, jitter: float) -> int:
        step_s = self.offsets_s[index] - self.offsets_s[index - 1]
        return int((self.offsets_s[index] + step_s * self.jitter * jitter) * 1000)


class DeliveryOptions(Struct, frozen=True, kw_only=True):
    """What an operator may set: the schedule, the deliveries in flight to one endpoint, and how many of
    one customer's failed deliveries are made again in a second.
    """

    schedule: Schedule = field(default_factory=Schedule)
    max_concurrent: int = 32
    redelivery_rps: float = 20.0


def next_region(
    listed: Sequence[RegionName], tried: Collection[RegionName], up: Collection[RegionName]
) -> RegionName | None:
    """Choose from where a webhook is sent next: the first that it names, is up and was not tried yet."""
    return next((region for region in listed if region in up and region not in tried), None)


def is_accepted(status: int | None) -> bool:
    """Whether a receiver took the result: any 2xx."""
    return status is not None and 200 <= status < 300  # noqa: PLR2004  # that class


def is_final(status: int | None, fault: Fault | None) -> bool:
    """Whether trying again is in vain: the receiver is gone for good, or may not be called."""
    return status == GONE or fault is Fault.NOT_ALLOWED


def seems_down(status: int | None) -> bool:
    """Whether an outcome says that nobody is there, and not that this one result was refused."""
    return status is None or status in NOBODY_THERE
