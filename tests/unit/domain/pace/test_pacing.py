import heapq
import math
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from orchestrator.domain.pace.pacing import ARRIVAL_MARGIN_S, Limiter, Pace

WINDOW_S = 1 + ARRIVAL_MARGIN_S


def taken(limiter: Limiter, now: float) -> int:
    permit = limiter.take(now)
    assert permit is not None
    return permit


def start_and_close(limiter: Limiter, now: float) -> None:
    permit = taken(limiter, now)
    limiter.started(permit, now)
    limiter.closed(permit, now)


def start_when_due(limiter: Limiter, now: float) -> float:
    due = limiter.next_at(now)
    assert due is not None
    start_and_close(limiter, due)
    return due


@pytest.mark.parametrize(
    ("rps", "starts", "window_s"),
    [(2.0, 2, 1.0), (1.0, 1, 1.0), (2.9, 2, 1.0), (0.5, 1, 2.0), (0.01, 1, 100.0), (500.0, 500, 1.0)],
)
def test_a_pace_is_a_number_of_starts_in_a_window(rps: float, starts: int, window_s: float) -> None:
    assert (Pace(rps).starts, Pace(rps).window_s) == (starts, window_s)


def test_two_start_at_once_and_the_third_waits_out_the_window() -> None:
    limiter = Limiter(Pace(2.0, 10))
    start_and_close(limiter, 100.0)
    start_and_close(limiter, 100.0)
    assert limiter.take(100.0) is None
    assert limiter.next_at(100.0) == pytest.approx(100.0 + WINDOW_S)
    assert limiter.take(100.001 + WINDOW_S) is not None


def test_a_pause_does_not_save_up_starts() -> None:
    limiter = Limiter(Pace(2.0, 10))
    for now in (0.0, 0.0, 50.0, 50.0):
        start_and_close(limiter, now)
    assert limiter.take(50.9) is None


def test_places_in_flight_come_back_only_when_a_connection_is_closed() -> None:
    limiter = Limiter(Pace(50.0, 2))
    first, _ = taken(limiter, 0.0), taken(limiter, 0.0)
    limiter.started(first, 0.0)
    assert limiter.in_flight == 2
    assert limiter.next_at(9.0) is None
    limiter.closed(first, 9.0)
    assert limiter.take(9.0) is not None


def test_an_unused_permit_comes_back_whole() -> None:
    limiter = Limiter(Pace(1.0, 1))
    limiter.unused(taken(limiter, 5.0))
    assert limiter.in_flight == 0
    assert limiter.take(5.0) is not None


def test_a_window_runs_from_the_start_and_not_from_the_grant() -> None:
    limiter = Limiter(Pace(1.0, 10))
    slow = taken(limiter, 0.0)
    assert limiter.next_at(3.0) is None
    limiter.started(slow, 3.0)
    assert limiter.next_at(3.0) == 3.0 + WINDOW_S


def test_a_start_that_nobody_reported_counts_from_the_close() -> None:
    limiter = Limiter(Pace(1.0, 10))
    limiter.closed(taken(limiter, 0.0), 2.0)
    assert limiter.next_at(2.0) == 2.0 + WINDOW_S


def test_hearing_of_a_start_twice_counts_it_once() -> None:
    limiter = Limiter(Pace(2.0, 10))
    permit = taken(limiter, 0.0)
    limiter.started(permit, 0.0)
    limiter.started(permit, 0.5)
    limiter.closed(permit, 0.5)
    assert limiter.take(0.5) is not None


def test_nothing_starts_before_the_end_of_a_pause() -> None:
    limiter = Limiter(Pace(2.0, 2))
    limiter.pause(10.0)
    limiter.pause(7.0)
    assert limiter.take(9.9) is None
    assert limiter.next_at(9.9) == 10.0
    assert limiter.take(10.0) is not None


def test_a_limiter_can_begin_with_a_pause() -> None:
    limiter = Limiter(Pace(), not_before=4.0)
    assert limiter.next_at(0.0) == 4.0


def test_a_raised_pace_holds_for_the_very_next_start() -> None:
    limiter = Limiter(Pace(1.0, 100))
    start_and_close(limiter, 0.0)
    assert limiter.take(0.3) is None
    limiter.pace = Pace(5.0, 100)
    starts = [start_when_due(limiter, 0.3) for _ in range(4)]
    assert starts == pytest.approx([0.3, 0.3, 0.688, 0.892])
    assert limiter.next_at(0.9) == pytest.approx(1.096)


def test_a_lowered_pace_waits_until_the_window_holds_few_enough() -> None:
    limiter = Limiter(Pace(5.0, 100))
    for now in (0.0, 0.22, 0.44, 0.66, 0.88):
        start_and_close(limiter, now)
    limiter.pace = Pace(2.0, 100)
    assert limiter.next_at(0.9) == 0.66 + WINDOW_S


def test_fewer_places_stop_new_starts_and_end_nothing() -> None:
    limiter = Limiter(Pace(50.0, 3))
    permits = [taken(limiter, now) for now in (0.0, 0.1, 0.2)]
    limiter.pace = Pace(50.0, 1)
    for permit in permits[:2]:
        limiter.closed(permit, 5.0)
        assert limiter.take(5.0) is None
    limiter.closed(permits[2], 5.0)
    assert limiter.take(5.0) is not None


def test_starts_of_a_backlog_are_spread_over_the_window() -> None:
    limiter = Limiter(Pace(50.0, 100))
    starts = [start_when_due(limiter, 10.0) for _ in range(200)]
    gaps = [late - early for early, late in pairwise(starts[2:])]
    assert (min(gaps), max(gaps)) == (pytest.approx(WINDOW_S / 50), pytest.approx(WINDOW_S / 50))


def test_after_a_rest_two_may_start_back_to_back() -> None:
    limiter = Limiter(Pace(50.0, 100))
    for rest in (10.0, 20.0):
        starts = [start_when_due(limiter, rest) for _ in range(3)]
        assert starts == pytest.approx([rest, rest, rest + 2 * WINDOW_S / 50])


def test_a_late_timer_costs_no_start() -> None:
    limiter, now, starts = Limiter(Pace(500.0, 1_000)), 10.0, 0
    while now < 12.0:
        now += 0.007
        while limiter.next_at(now) == now:
            start_and_close(limiter, now)
            starts += 1
    assert starts >= 0.95 * 2 * 500


def test_a_permit_that_comes_back_gives_its_slot_back() -> None:
    limiter = Limiter(Pace(50.0, 100))
    start_and_close(limiter, 10.0)
    start_and_close(limiter, 10.0)
    due = limiter.next_at(10.0)
    assert due is not None
    limiter.unused(taken(limiter, due))
    assert limiter.next_at(due) == due


def test_a_pace_that_falls_below_one_per_second_remembers_the_last_start() -> None:
    limiter = Limiter(Pace(2.0, 10))
    start_and_close(limiter, 0.0)
    assert limiter.next_at(2.0) == 2.0
    limiter.pace = Pace(0.1, 10)
    assert limiter.next_at(2.0) == 10.0 + ARRIVAL_MARGIN_S


def test_below_one_per_second_one_starts_an_interval() -> None:
    limiter = Limiter(Pace(0.25, 10))
    start_and_close(limiter, 0.0)
    assert limiter.take(3.9) is None
    assert limiter.next_at(1.0) == 4.0 + ARRIVAL_MARGIN_S


def simulated_starts(pace: Pace, seconds: float, *, served_in: Callable[[], float]) -> list[float]:
    """Keep work waiting under a simulated clock; each start is reported some ms after its grant."""
    limiter, random, now = Limiter(pace), Random(7), 1_000.0
    starts: list[float] = []
    events: list[tuple[float, int, bool]] = []
    while now < 1_000.0 + seconds:
        while (permit := limiter.take(now)) is not None:
            heapq.heappush(events, (now + random.uniform(0.0, 0.006), permit, True))
        due = limiter.next_at(now)
        if events and (due is None or events[0][0] <= due):
            now, permit, begins = heapq.heappop(events)
            if begins:
                starts.append(now)
                limiter.started(permit, now)
                heapq.heappush(events, (now + served_in(), permit, False))
            else:
                limiter.closed(permit, now)
        else:
            assert due is not None
            now = due
    return sorted(starts)


@pytest.mark.parametrize("rps", [2.0, 50.0, 500.0])
def test_with_work_waiting_at_least_95_percent_of_the_pace_is_used(rps: float) -> None:
    random, seconds = Random(3), 40.0
    pace = Pace(rps, 1_000)
    starts = simulated_starts(pace, seconds, served_in=lambda: random.expovariate(10.0))
    assert 0.95 * rps * seconds <= len(starts) <= rps * (seconds + 1)
    crowded = [late - early for early, late in zip(starts, starts[pace.starts :], strict=False)]
    assert min(crowded) >= 1.0


def test_with_few_places_they_are_all_used() -> None:
    starts = simulated_starts(Pace(1_000.0, 2), 20.0, served_in=lambda: 0.1)
    assert len(starts) == pytest.approx(2 * 20.0 / 0.103, rel=0.05)


def test_nothing_waits_at_a_target_never_called() -> None:
    assert Limiter(Pace()).next_at(-math.inf) == -math.inf
    assert Limiter(Pace()).next_at(12.5) == 12.5
