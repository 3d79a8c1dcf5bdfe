"""No two act for one shard: whatever clocks show, whoever is stopped, and however long a question takes.

True time is drawn. The holder and the taker each have a clock that is off by any amount and runs a tenth too
fast or too slow; both go on while their process is stopped.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.domain.cluster.lease import Beat, HeldLease, WatchedBeat

RATES = st.floats(0.9, 1.1)
OFFSETS = st.floats(-1e6, 1e6)
DELAYS = st.floats(0.0, 8.0)
"""On the way to the database, in it, and back: a stopped process or a cut-off one is a long way."""
EXACT_S = 1e-6


@dataclass(frozen=True)
class OwnClock:
    """What a machine's CLOCK_BOOTTIME shows at a true time."""

    offset_s: float
    rate: float

    def at(self, true_s: float) -> float:
        return self.offset_s + self.rate * true_s


@dataclass(frozen=True)
class Question:
    """Asked after a pause, answered by the database ``there_s`` later, and read ``back_s`` after that."""

    pause_s: float
    there_s: float
    back_s: float


QUESTIONS = st.builds(Question, st.floats(0.0, 8.0), DELAYS, DELAYS)
CLOCKS = st.builds(OwnClock, OFFSETS, RATES)


@dataclass
class Beats:
    """The row: at which true times it changed."""

    at: list[float] = field(default_factory=list)

    def shown(self, true_s: float) -> Beat:
        return Beat(1, sum(at <= true_s for at in self.at))


def beat_of(questions: list[Question], clock: OwnClock, taken_at: float) -> tuple[Beats, HeldLease]:
    """Let the holder beat, one question after the other; once the shard is taken no beat is."""
    beats, lease, now = Beats(), HeldLease(), 0.0
    for question in questions:
        sent = now + question.pause_s
        if sent + question.there_s < taken_at:
            beats.at.append(sent + question.there_s)
            lease.renewed(clock.at(sent))
        now = sent + question.there_s + question.back_s
    return beats, lease


def take(
    beats: Beats, questions: list[Question], clock: OwnClock, begins_s: float
) -> tuple[float, Beat] | None:
    """Let the taker watch; give when it asks for the shard, and which beat it has seen."""
    watched, now = WatchedBeat(), begins_s
    for question in questions:
        sent = now + question.pause_s
        found = beats.shown(sent + question.there_s)
        now = sent + question.there_s + question.back_s
        if watched.look(found, clock.at(sent), clock.at(now)):
            return now, found
    return None


@given(
    st.lists(QUESTIONS, max_size=12),
    st.lists(QUESTIONS, max_size=12),
    CLOCKS,
    CLOCKS,
    st.floats(0.0, 40.0),
    DELAYS,
)
@example([], [Question(0, 0, 0), Question(5.6, 0, 0)], OwnClock(0, 1), OwnClock(0, 1), 0.0, 0.0)
def test_whoever_takes_a_shard_finds_that_the_other_acts_no_more(
    holder: list[Question],
    taker: list[Question],
    holders: OwnClock,
    takers: OwnClock,
    begins_s: float,
    asked_s: float,
) -> None:
    beats, _ = beat_of(holder, holders, float("inf"))
    decided = take(beats, taker, takers, begins_s)
    if decided is None:
        return
    at, seen = decided
    taken_at = at + asked_s
    # The store takes the shard only where the beat is still the one that was seen, in one transaction.
    if beats.shown(taken_at) != seen:
        return
    _, lease = beat_of(holder, holders, taken_at)
    assert lease.left_s(holders.at(taken_at)) <= EXACT_S


def test_a_watch_that_is_no_longer_than_the_lease_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.domain.cluster.lease.WATCH_S", 3.5)
    looks = [Question(0.0, 0.0, 0.0), Question(3.5, 0.0, 0.0)]
    beats, lease = beat_of([Question(0.0, 0.0, 0.0)], OwnClock(0, 1), float("inf"))
    decided = take(beats, looks, OwnClock(0, 1), 0.0)
    assert decided is not None
    assert lease.left_s(decided[0]) > 0
