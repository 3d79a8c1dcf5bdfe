"""Paths that are broken and jobs that can never pass, beside others that work, in virtual time."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.ticket import Ticket
from tests.support.long import some_of
from tests.support.outlet import Outlet, SlidingWindow, Start, response

OK, BAD = "GET /ok", "POST /bad"
FOR_EVER = math.inf


@dataclass
class Target:
    """Refuses what it is told to; else it states its limit, or only keeps to it."""

    refuses: Callable[[Ticket, float], int | None]
    limit: int = 50
    states: bool = True
    window: SlidingWindow = field(init=False)

    def __post_init__(self) -> None:
        self.window = SlidingWindow(self.limit, _stated(self.limit) if self.states else {})

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        status = self.refuses(ticket, now - 1_000)
        if status is not None:
            return response(status)
        return self.window.answer(ticket, now)


def _stated(rps: int) -> dict[str, object]:
    return {"x-ezthrottle-rps": rps, "x-ezthrottle-max-concurrent": 1_000}


def broken(ticket: Ticket, _: float) -> int | None:
    return 503 if "bad" in ticket.path else None


def outlet_before(target: Target, *, unknown: bool = False) -> Outlet:
    guessed = Pace(target.limit * (10.0 if unknown else 1.0), 1_000)
    pace = Pace() if target.states else guessed
    return Outlet(target, pace=pace, repeats=FOR_EVER)


def share_of(starts: list[Start], path: str) -> float:
    return sum(start.ticket.path == path for start in starts) / max(1, len(starts))


def succeeded_by(outlet: Outlet, count: int) -> float:
    """Say when so many had succeeded, in seconds from the beginning."""
    done = [start.at - outlet.began for start in outlet.starts if start.status == 200]
    return done[count - 1] if len(done) >= count else math.inf


@pytest.mark.parametrize(
    ("bad", "good"), some_of([(3, 600), (5, 400), (1, 600), (40, 600)], (3, 600), (40, 600))
)
@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize("account", [None, "account"])
def test_a_few_jobs_on_a_broken_path_hold_up_nobody_for_long(
    bad: int, good: int, status: int, account: str | None
) -> None:
    target = Target(lambda ticket, now: broken(ticket, now) and status)
    outlet = outlet_before(target)
    outlet.put(bad, account=account, path=BAD)
    outlet.put(good, account=account, path=OK)
    outlet.run(60)
    assert succeeded_by(outlet, good) <= good / 50 + 15


def test_one_job_that_is_refused_for_ever_costs_the_others_nothing_where_nothing_is_stated() -> None:
    target = Target(lambda ticket, _: 429 if ticket.order_key == 700 else None, states=False, limit=1_000)
    outlet = Outlet(target, pace=Pace(50.0, 50), repeats=FOR_EVER)
    outlet.put(1_400, path=OK)
    outlet.run(60)
    assert succeeded_by(outlet, 1_399) <= 1_400 / 50 + 6


PATHS = [(BAD,), ("POST /bad", "GET /bad/*"), tuple(f"GET /bad/{letter}" for letter in "abcde")]


@pytest.mark.parametrize("bad_paths", PATHS, ids=len)
@pytest.mark.parametrize("share", some_of([0.01, 0.3], 0.3))
@pytest.mark.parametrize("states", [True, False])
def test_broken_paths_get_a_fiftieth_and_the_others_the_pace(
    bad_paths: tuple[str, ...], share: float, states: bool
) -> None:
    random = Random(3)
    outlet = outlet_before(Target(broken, states=states), unknown=True)
    for _ in range(50 * 130):
        outlet.put(path=random.choice(bad_paths) if random.random() < share else OK)
    outlet.run(90)
    settled = outlet.between(30, 90)
    good = [start for start in settled if start.status == 200]
    assert len(settled) >= (0.95 if states else 0.85) * 50 * 60
    assert len(good) >= (0.93 if states else 0.8) * 50 * 60
    assert sum(start.status == 503 for start in settled) <= (0.02 if states else 0.03) * len(settled) + 1


def test_a_path_that_is_well_again_goes_on_at_the_pace_after_one_answer() -> None:
    outlet = outlet_before(Target(lambda ticket, now: broken(ticket, now) if now < 40 else None))
    for _ in range(2_000):
        outlet.put(path=OK)
        outlet.put(path=BAD)
    outlet.run(42)
    assert share_of(outlet.between(10, 40), BAD) <= 0.03
    outlet.run(15)
    assert len([start for start in outlet.between(44, 57) if start.ticket.path == BAD]) >= 0.9 * 13 * 50 / 2


@pytest.mark.parametrize("paths", [(OK,), (OK, "GET /a", "GET /b", "POST /c")], ids=len)
@pytest.mark.parametrize("states", [True, False])
@pytest.mark.parametrize("status", some_of([429, 503], 503))
def test_a_target_that_refuses_everything_is_asked_seldom_and_used_at_once_when_it_is_well(
    paths: tuple[str, ...], states: bool, status: int
) -> None:
    random = Random(1)
    outlet = outlet_before(Target(lambda _, now: status if 30 <= now < 90 else None, states=states))
    for _ in range(50 * 170):
        outlet.put(path=random.choice(paths))
    outlet.run(160)
    assert len(outlet.between(31, 90)) <= 0.1 * 50 * 59
    assert len(outlet.between(100, 160)) >= 0.9 * 50 * 60


def test_a_customers_broken_path_holds_up_neither_that_customer_nor_another() -> None:
    outlet = outlet_before(Target(broken))
    outlet.put(400, "cust_evil", path=BAD)
    outlet.put(2_000, "cust_evil", path=OK)
    outlet.put(4_000, "cust_b", path=OK)
    outlet.run(60)
    assert len(outlet.between(10, 60, "cust_b")) >= 0.9 * 25 * 50
    assert len(outlet.between(10, 60)) >= 0.95 * 50 * 50


@pytest.mark.parametrize("states", [True, False])
@pytest.mark.parametrize("account", [None, "account"])
def test_what_was_refused_together_with_a_broken_path_does_not_wait_for_it(
    states: bool, account: str | None
) -> None:
    target = Target(lambda ticket, now: 503 if now < 20 or "bad" in ticket.path else None, states=states)
    outlet = outlet_before(target)
    for _ in range(300):
        outlet.put(path=BAD, account=account)
        outlet.put(path=OK, account=account)
    outlet.run(60)
    assert succeeded_by(outlet, 300) <= 45


def test_what_is_broken_for_one_account_is_not_for_another() -> None:
    target = Target(lambda ticket, _: 429 if (ticket.path, ticket.account) == (BAD, "poor") else None)
    outlet = outlet_before(target)
    for account in ("poor", "rich"):
        for _ in range(1_500):
            outlet.put(path=BAD, account=account)
            outlet.put(path=OK, account=account)
    outlet.run(60)
    settled = outlet.between(30, 60)
    assert len(settled) >= 0.95 * 50 * 30
    assert sum(start.status == 429 for start in settled) <= 0.03 * len(settled)


def test_a_wait_that_a_broken_path_names_binds_its_path_alone() -> None:
    def answer(ticket: Ticket, _: float) -> HttpResponse:
        return response(503, retry_after=5) if ticket.path == BAD else response(200, **_stated(50))

    @dataclass
    class Server:
        def answer(self, ticket: Ticket, now: float) -> HttpResponse:
            return answer(ticket, now)

    outlet = Outlet(Server(), pace=Pace(), repeats=FOR_EVER)
    for _ in range(3_000):
        outlet.put(path=OK)
        outlet.put(path=BAD)
    outlet.run(90)
    assert len(outlet.between(40, 90)) >= 0.95 * 50 * 50


def test_many_tickets_of_a_broken_path_are_set_apart_in_pieces() -> None:
    outlet = outlet_before(Target(broken))
    outlet.put(5_000, path=BAD)
    outlet.put(500, path=OK)
    outlet.run(60)
    assert succeeded_by(outlet, 500) <= 30


def test_a_broken_path_is_tried_on_where_nobody_else_asks() -> None:
    outlet = outlet_before(Target(lambda ticket, now: broken(ticket, now) if now < 60 else None))
    outlet.put(10, path=OK)
    outlet.run(1)
    outlet.put(20, path=BAD)
    outlet.put(10, path=OK)
    outlet.run(59)
    assert len(outlet.between(20, 60)) >= 0.5 * 0.018 * 50 * 40
    outlet.run(40)
    assert succeeded_by(outlet, 40) <= 100


def test_a_path_half_of_whose_jobs_are_refused_for_ever_leaves_the_target_its_pace() -> None:
    random = Random(2)
    hopeless = {number for number in range(5_000) if random.random() < 0.5}
    outlet = outlet_before(
        Target(lambda ticket, _: 503 if ticket.path == BAD and ticket.order_key in hopeless else None)
    )
    for _ in range(5_000):
        outlet.put(path=BAD if random.random() < 0.45 else OK)
    outlet.run(80)
    settled = outlet.between(20, 80)
    assert len(settled) >= 0.95 * 50 * 60
    assert sum(start.status == 200 for start in settled) >= 0.4 * 50 * 60
