"""Targets that answer 429 past a limit that they do not name, in virtual time."""

from dataclasses import dataclass
from itertools import pairwise

import pytest

from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.ticket import Ticket
from tests.support.long import some_of
from tests.support.outlet import FixedWindow, Outlet, SlidingWindow, TokenBucket, response

Kind = type[TokenBucket | FixedWindow | SlidingWindow]


def assert_found(outlet: Outlet, limit: float) -> None:
    """Let it run for as long as some 500 requests take, and look at all but the first 10 s."""
    seconds = max(70, 500 / limit)
    outlet.put(int(limit * seconds * 2))
    outlet.run(seconds)

    settled = outlet.between(10, seconds)
    refused = sum(start.status == 429 for start in settled)
    assert (len(settled) - refused) / (limit * (seconds - 10)) >= 0.9
    assert refused / len(settled) <= 0.02


LIMITS = [(1, 2), (1, 10), (2, 2), (5, 10), (20, 2), (20, 10), (50, 20), (100, 2), (200, 10)]
"""And how many times as much is tried first."""


@pytest.mark.parametrize("kind", [TokenBucket, FixedWindow, SlidingWindow])
@pytest.mark.parametrize(("limit", "factor"), some_of(LIMITS, (1, 10), (5, 10), (20, 2), (50, 20)))
def test_an_unnamed_limit_is_found_and_kept_to(kind: Kind, limit: int, factor: int) -> None:
    assert_found(Outlet(kind(limit), pace=Pace(limit * factor, 1_000)), limit)


@dataclass
class OneIn:
    """Takes one request in so many seconds."""

    seconds: float
    last: float = 0.0

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        if now < self.last + self.seconds:
            return response(429)
        self.last = now
        return response(200)


@pytest.mark.parametrize("factor", [2, 10])
def test_an_unnamed_limit_of_one_request_in_two_seconds_is_found_too(factor: int) -> None:
    assert_found(Outlet(OneIn(2.0), pace=Pace(0.5 * factor, 1_000)), 0.5)


def test_what_binds_one_customer_alone_from_now_on_keeps_its_timetable() -> None:
    outlet = Outlet(OneIn(1.0), pace=Pace())
    outlet.put(200)
    outlet.run(90)
    handed_over = outlet.between(55, 65)
    assert all(late.at - early.at >= 1 for early, late in pairwise(handed_over))


@dataclass
class Outage:
    """Answers 503 without a word until it is well again."""

    until: float

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        return response(503 if now < self.until else 200)


def test_an_outage_is_asked_seldom_and_left_behind_within_ten_seconds() -> None:
    outlet = Outlet(Outage(1_060.0), pace=Pace(100.0, 1_000))
    outlet.put(20_000)
    outlet.run(90)
    assert len(outlet.between(5, 60)) <= 0.1 * 100 * 55
    assert len(outlet.between(70, 75)) >= 0.9 * 5 * 100


def test_a_single_refusal_costs_little() -> None:
    outlet = Outlet(Stumble(), pace=Pace(50.0, 100))
    outlet.put(5_000)
    outlet.run(60)
    assert len(outlet.between(0, 60)) >= 0.9 * 50 * 60


class Stumble:
    """Answers 429 once, in the fifth second."""

    def __init__(self) -> None:
        self.stumbled = False

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        stumbles = now > 1_005 and not self.stumbled
        self.stumbled |= stumbles
        return response(429 if stumbles else 200)
