"""Targets that answer 429 past a limit that they do not name, in virtual time."""

from dataclasses import dataclass

import pytest

from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.fairness import Ticket
from orchestrator.domain.pacing import Pace
from tests.support.outlet import FixedWindow, Outlet, SlidingWindow, TokenBucket, response


@pytest.mark.parametrize("kind", [TokenBucket, FixedWindow, SlidingWindow])
@pytest.mark.parametrize(("limit", "factor"), [(2, 2), (20, 2), (20, 10), (50, 20)])
def test_an_unnamed_limit_is_found_and_kept_to(
    kind: type[TokenBucket | FixedWindow | SlidingWindow], limit: int, factor: int
) -> None:
    seconds = max(70, 300 // limit)
    outlet = Outlet(kind(limit), pace=Pace(limit * factor, 1_000))
    outlet.put(limit * seconds * 2)
    outlet.run(seconds)

    settled = outlet.between(10, seconds)
    refused = sum(start.status == 429 for start in settled)
    assert (len(settled) - refused) / (limit * (seconds - 10)) >= 0.9
    assert refused / len(settled) <= 0.02


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
