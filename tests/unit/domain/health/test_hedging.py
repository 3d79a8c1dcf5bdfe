"""What hedges are worth, by the rules alone: a loop of draws, without a clock."""

import math
from heapq import heappop, heappush
from random import Random

import pytest
from msgspec import Struct

from orchestrator.domain.health.answer_times import AnswerTimes
from orchestrator.domain.health.hedging import TOKENS_MOST, HedgeBudget, note_answer, spend

JOBS = 20_000
A_SECOND = 1_000.0
"""Jobs that come in a second."""


class Played(Struct, frozen=True):
    p99_s: float
    extra: float


def stragglers(random: Random) -> float:
    """Draw as a public benchmark does: log-normal, 5 ms (deviation 2 ms), one in twenty ten times slower."""
    variance = math.log(1 + (2 / 5) ** 2)
    drawn = random.lognormvariate(math.log(5) - variance / 2, math.sqrt(variance))
    return drawn / 1000 * (10 if random.random() < 0.05 else 1)


def play(quantile: float, share: float) -> Played:
    random = Random(7)
    routes = [AnswerTimes(0.0), AnswerTimes(0.0)]
    budget, extra = HedgeBudget(), 0
    ends: list[tuple[float, int, float, bool]] = []
    totals = []
    for number in range(JOBS):
        now = number / A_SECOND
        while ends and ends[0][0] <= now:
            at, route, took_s, is_first = heappop(ends)
            routes[route].note(took_s, at)
            budget = note_answer(budget, share) if is_first else budget
        first, other = number % 2, 1 - number % 2
        total_s = stragglers(random)
        late_s = routes[first].quantile(quantile, now)
        left = spend(budget) if late_s is not None and total_s > late_s else None
        if left is not None and late_s is not None:
            budget, extra = left, extra + 1
            hedged_s = stragglers(random)
            total_s = min(total_s, late_s + hedged_s)
            if total_s == late_s + hedged_s:
                heappush(ends, (now + total_s, other, hedged_s, False))
        heappush(ends, (now + total_s, first, total_s, True))
        totals.append(total_s)
    return Played(sorted(totals)[int(JOBS * 0.99)], extra / JOBS)


def test_hedging_at_the_ninetieth_percentile_halves_the_tail_for_a_tenth_more_requests() -> None:
    played = play(0.9, 0.1)
    assert played.p99_s <= 0.017
    assert played.extra <= 0.1


def test_hedging_at_the_ninety_fifth_costs_little_more_than_a_twentieth() -> None:
    played = play(0.95, 0.1)
    assert played.p99_s <= 0.026
    assert played.extra <= 0.055


def test_the_budget_bounds_further_legs_whatever_the_quantile() -> None:
    assert play(0.1, 0.05).extra <= 0.05 + TOKENS_MOST / JOBS


def test_a_budget_that_nothing_earns_is_spent_after_a_few() -> None:
    budget: HedgeBudget | None = HedgeBudget()
    spent = 0
    while budget is not None and (budget := spend(budget)) is not None:
        spent += 1
    assert spent == TOKENS_MOST


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_shares_of_a_leg_add_up(share: float) -> None:
    budget = HedgeBudget(0.0)
    for _ in range(100):
        budget = note_answer(budget, share) if spend(budget) is None else budget
    assert spend(budget) is not None
    assert note_answer(HedgeBudget(), share) == HedgeBudget()
