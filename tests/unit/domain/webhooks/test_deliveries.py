"""Telling the receivers: the quorum, and when a delivery is tried again."""

import itertools
from collections.abc import Iterator

import pytest

from orchestrator.domain.exchange import Fault
from orchestrator.domain.webhooks.fanout import (
    OFFSETS_S,
    DeliveryState,
    JobDelivery,
    Schedule,
    Vote,
    is_accepted,
    is_final,
    job_delivery,
    next_region,
    seems_down,
)
from tests.unit.domain.builders import IAD, LAX, ORD, REGIONS

FIRST_MS = 1_000_000
HOUR_MS = 3_600_000


def truth_table() -> Iterator[tuple[tuple[Vote, ...], int]]:
    kinds = [Vote(state, vote) for state in DeliveryState for vote in (True, False)]
    for size in range(5):
        for votes in itertools.product(kinds, repeat=size):
            voters = sum(vote.has_vote for vote in votes)
            for quorum in range(1, max(1, voters) + 1):
                yield votes, quorum


def expected(votes: tuple[Vote, ...], quorum: int) -> JobDelivery:
    """The contract, said again: voters decide, or all receivers where none has a vote."""
    states = [vote.state for vote in votes]
    voting = [vote.state for vote in votes if vote.has_vote]
    if not states:
        return JobDelivery.NONE
    if set(states) == {DeliveryState.DELIVERED}:
        return JobDelivery.DELIVERED
    if not voting:
        return JobDelivery.PENDING if DeliveryState.PENDING in states else JobDelivery.FAILED
    if voting.count(DeliveryState.DELIVERED) >= quorum:
        return JobDelivery.QUORUM_MET
    reachable = len(voting) - voting.count(DeliveryState.FAILED) >= quorum
    return JobDelivery.PENDING if reachable else JobDelivery.FAILED


def test_the_truth_table_of_up_to_four_receivers() -> None:
    rows = list(truth_table())
    assert len(rows) == 3_076
    wrong = [
        (votes, quorum) for votes, quorum in rows if job_delivery(votes, quorum) != expected(votes, quorum)
    ]
    assert wrong == []


def test_a_receiver_without_a_vote_neither_makes_nor_breaks_the_quorum() -> None:
    voter = Vote(DeliveryState.DELIVERED, has_vote=True)
    lost = Vote(DeliveryState.FAILED, has_vote=False)
    assert job_delivery([voter, lost], 1) is JobDelivery.QUORUM_MET


SCHEDULE = Schedule()


def next_at(used: int, now_ms: int = FIRST_MS, *, jitter: float = 0.0) -> tuple[int, int] | None:
    return SCHEDULE.next_attempt(used, FIRST_MS, now_ms, retry_after_s=None, jitter=jitter)


def test_the_attempts_lie_at_growing_offsets_over_a_day() -> None:
    following = [next_at(used) for used in range(1, len(OFFSETS_S))]
    assert following == [(i, FIRST_MS + offset_s * 1_000) for i, offset_s in enumerate(OFFSETS_S)][1:]
    assert OFFSETS_S == (0, 5, 30, 2 * 60, 10 * 60, 3_600, 3 * 3_600, 8 * 3_600, 24 * 3_600)


def test_jitter_delays_an_attempt_by_a_tenth_of_its_step_at_most() -> None:
    assert next_at(1, jitter=0.999_999) == (1, FIRST_MS + 5_499)
    last = len(OFFSETS_S) - 1
    assert next_at(last, jitter=0.5) == (last, FIRST_MS + 24 * HOUR_MS + int(0.05 * 16 * HOUR_MS))


def test_offsets_and_jitter_can_be_set() -> None:
    short = Schedule(offsets_s=(0, 1, 4), jitter=0.5)
    assert short.next_attempt(1, FIRST_MS, FIRST_MS, retry_after_s=None, jitter=0.5) == (1, FIRST_MS + 1_250)
    assert short.next_attempt(2, FIRST_MS, FIRST_MS, retry_after_s=None, jitter=0.0) == (2, FIRST_MS + 4_000)
    assert short.next_attempt(3, FIRST_MS, FIRST_MS, retry_after_s=None, jitter=0.0) is None


def test_after_the_last_offset_the_delivery_is_over() -> None:
    assert next_at(len(OFFSETS_S)) is None


def test_offsets_that_passed_meanwhile_are_made_up_for_by_one_attempt() -> None:
    assert next_at(1, FIRST_MS + HOUR_MS) == (5, FIRST_MS + HOUR_MS)
    assert next_at(6, FIRST_MS + HOUR_MS) == (6, FIRST_MS + 3 * HOUR_MS)
    assert next_at(2, FIRST_MS + 100 * HOUR_MS) == (8, FIRST_MS + 100 * HOUR_MS)


@pytest.mark.parametrize(
    ("retry_after_s", "next_at_ms"),
    [
        (None, FIRST_MS + 5_000),
        (0.0, FIRST_MS + 5_000),
        (2.0, FIRST_MS + 5_000),
        (60.0, FIRST_MS + 61_000),
        (1e12, FIRST_MS + 1_000 + 24 * HOUR_MS),
    ],
)
def test_retry_after_delays_an_attempt_and_never_hastens_it(
    retry_after_s: float | None, next_at_ms: int
) -> None:
    following = SCHEDULE.next_attempt(1, FIRST_MS, FIRST_MS + 1_000, retry_after_s=retry_after_s, jitter=0.0)
    assert following == (1, next_at_ms)


def test_only_gone_and_forbidden_receivers_are_given_up_at_once() -> None:
    assert is_final(410, None)
    assert is_final(None, Fault.NOT_ALLOWED)
    assert not any(is_final(status, None) for status in (None, 301, 400, 404, 429, 500))
    assert not any(is_final(None, fault) for fault in Fault if fault is not Fault.NOT_ALLOWED)


def test_only_2xx_is_acceptance() -> None:
    assert [status for status in range(100, 600) if is_accepted(status)] == list(range(200, 300))
    assert not is_accepted(None)


def test_a_receiver_seems_down_where_nobody_answers_for_it() -> None:
    assert [status for status in range(100, 600) if seems_down(status)] == [502, 503, 504]
    assert seems_down(None)


def test_a_webhooks_regions_are_tried_in_their_order() -> None:
    assert next_region((LAX, IAD, ORD), (), REGIONS) == LAX
    assert next_region((LAX, IAD, ORD), (LAX,), REGIONS) == IAD
    assert next_region((LAX, IAD, ORD), (LAX,), (LAX, ORD)) == ORD
    assert next_region((LAX, IAD), (LAX, IAD), REGIONS) is None
    assert next_region((), (), REGIONS) is None
