"""Telling the receivers: the quorum, and when a delivery is tried again."""

import itertools
from collections.abc import Iterator

import pytest

from orchestrator.domain.fanout import (
    OFFSETS_S,
    DeliveryState,
    JobDelivery,
    Vote,
    job_delivery,
    next_attempt_ms,
)

FIRST_MS = 1_000_000
HOUR_MS = 3_600_000


def truth_table() -> Iterator[tuple[tuple[Vote, ...], int]]:
    kinds = [Vote(state, vote) for state in DeliveryState for vote in (True, False)]
    for size in range(4):
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


def test_the_truth_table_of_up_to_three_receivers() -> None:
    rows = list(truth_table())
    assert len(rows) > 300
    wrong = [
        (votes, quorum) for votes, quorum in rows if job_delivery(votes, quorum) != expected(votes, quorum)
    ]
    assert wrong == []


def test_a_receiver_without_a_vote_neither_makes_nor_breaks_the_quorum() -> None:
    voter = Vote(DeliveryState.DELIVERED, has_vote=True)
    lost = Vote(DeliveryState.FAILED, has_vote=False)
    assert job_delivery([voter, lost], 1) is JobDelivery.QUORUM_MET


def next_ms(made: int, now_ms: int = FIRST_MS, *, jitter: float = 0.0) -> int | None:
    return next_attempt_ms(made, FIRST_MS, now_ms, status=500, retry_after_s=None, jitter=jitter)


def test_the_attempts_lie_at_growing_offsets_over_a_day() -> None:
    offsets = [next_ms(made) for made in range(1, len(OFFSETS_S))]
    assert offsets == [FIRST_MS + offset_s * 1_000 for offset_s in OFFSETS_S[1:]]
    gaps = [late - early for early, late in itertools.pairwise(OFFSETS_S)]
    assert gaps == sorted(gaps)
    assert OFFSETS_S[-1] == 24 * 3600


def test_jitter_delays_an_attempt_by_a_tenth_of_its_step_at_most() -> None:
    assert next_ms(1, jitter=0.999_999) == FIRST_MS + 5_499
    last = next_ms(len(OFFSETS_S) - 1, jitter=0.5)
    assert last == FIRST_MS + 24 * HOUR_MS + int(0.05 * 16 * HOUR_MS)


def test_after_the_last_offset_the_delivery_is_over() -> None:
    assert next_ms(len(OFFSETS_S)) is None


def test_an_attempt_whose_time_has_passed_is_made_now() -> None:
    assert next_ms(1, FIRST_MS + HOUR_MS) == FIRST_MS + HOUR_MS


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
    at = next_attempt_ms(1, FIRST_MS, FIRST_MS + 1_000, status=503, retry_after_s=retry_after_s, jitter=0.0)
    assert at == next_at_ms


@pytest.mark.parametrize("made", [1, 5])
def test_410_ends_a_delivery(made: int) -> None:
    assert next_attempt_ms(made, FIRST_MS, FIRST_MS, status=410, retry_after_s=9.0, jitter=0.0) is None


@pytest.mark.parametrize("status", [None, 301, 400, 404, 429, 500])
def test_whatever_else_a_receiver_says_it_is_tried_again(status: int | None) -> None:
    at = next_attempt_ms(1, FIRST_MS, FIRST_MS, status=status, retry_after_s=None, jitter=0.0)
    assert at == FIRST_MS + 5_000
