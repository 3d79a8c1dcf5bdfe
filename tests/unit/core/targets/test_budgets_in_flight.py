"""What is under way while a target tells a budget may not be counted in it yet, and may come back."""

from collections.abc import Callable

import pytest

from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.ticket import Ticket
from tests.support.outlet import Outlet, SlidingWindow, response

PACE = Pace(1_000.0, 1_000)
RESET_S = 9
"""So short that what is left is not spread over it."""
SOON_S = 0.05


class ByHand(Outlet):
    """What it lets out starts, is answered or comes back when a test says so."""

    def __init__(self) -> None:
        super().__init__(SlidingWindow(1_000), pace=PACE)
        self.out: list[tuple[Ticket, int]] = []

    def _launch(self, limiter: DomainLimiter, ticket: Ticket, permit: int) -> None:
        self.out.append((ticket, permit))

    def let_out(self, count: int, account: str | None = "a", *, cost: float = 1.0) -> list[int]:
        """Queue requests, and give the permits of those that are let out soon."""
        return self.released_by(lambda: self.put(count, account=account, cost=cost))

    def released_by(self, act: Callable[[], object]) -> list[int]:
        """Give the permits of what is let out soon after something was done."""
        before = len(self.out)
        act()
        self.run(SOON_S)
        return [permit for _, permit in self.out[before:]]

    def answer(self, permit: int, answer: HttpResponse, *, ago_s: float = 0.0) -> None:
        """Let a request start and be answered, ``ago_s`` before this is heard."""
        at = self.clock.now() - ago_s
        self.limiter.hear(permit, answer, at, at)
        self.limiter.started(permit, at)
        self.limiter.closed(permit)


def requests_left(count: float, status: int = 200) -> HttpResponse:
    return response(
        status, x_ratelimit_limit=100, x_ratelimit_remaining=int(count), x_ratelimit_reset=RESET_S
    )


def tokens_left(count: float) -> HttpResponse:
    return response(
        200,
        ratelimit_policy=f'"t";q=100;w={RESET_S};qu="tokens"',
        ratelimit=f'"t";r={int(count)};t={RESET_S}',
    )


@pytest.mark.parametrize("account", ["a", None])
def test_what_was_let_out_before_a_budget_was_told_may_spend_from_it(account: str | None) -> None:
    outlet = ByHand()
    first, *others = outlet.let_out(4, account)
    assert len(others) == 3
    outlet.answer(first, requests_left(3))
    assert outlet.let_out(1, account) == []
    outlet.limiter.unused(others[0])
    assert len(outlet.out) == 5


def test_what_was_let_out_before_a_budget_was_told_may_spend_its_tokens() -> None:
    outlet = ByHand()
    first, other = outlet.let_out(2, cost=5.0)
    outlet.answer(first, tokens_left(8))
    assert outlet.let_out(1, cost=5.0) == []
    outlet.limiter.unused(other)
    assert len(outlet.out) == 3


def test_what_an_answer_says_is_left_of_the_tokens_is_left_beside_its_own_request() -> None:
    outlet = ByHand()
    (first,) = outlet.let_out(1, cost=5.0)
    outlet.answer(first, tokens_left(50))
    (second,) = outlet.let_out(1, cost=5.0)
    outlet.answer(second, tokens_left(5))
    assert len(outlet.let_out(1, cost=5.0)) == 1


@pytest.mark.parametrize("account", ["a", None])
def test_a_permit_that_comes_back_gives_back_no_more_than_it_took(account: str | None) -> None:
    outlet = ByHand()
    first, second = outlet.let_out(2, account)
    outlet.answer(first, requests_left(2))
    (third,) = outlet.let_out(1, account)
    # Let out before there was a budget, and answered after another that was let out since.
    outlet.answer(second, requests_left(0, 429))
    outlet.limiter.unused(third)
    assert outlet.let_out(1, account) == []


def test_an_answer_that_a_later_one_overtook_raises_no_budget() -> None:
    outlet = ByHand()
    first, second = outlet.let_out(2)
    outlet.answer(second, requests_left(0))
    outlet.answer(first, requests_left(3), ago_s=0.02)
    assert outlet.let_out(1) == []
    outlet.run(RESET_S)
    assert len(outlet.out) == 3


def test_an_answer_of_a_window_that_is_over_says_nothing_of_the_next() -> None:
    outlet = ByHand()
    first, second = outlet.let_out(2)
    outlet.answer(second, requests_left(3))
    outlet.answer(first, requests_left(0), ago_s=0.02)
    assert len(outlet.let_out(4)) == 2


def test_an_account_that_is_told_how_many_may_be_in_flight_counts_those_that_are() -> None:
    outlet = ByHand()
    first, *others = outlet.let_out(4)
    most = {"ratelimit_policy": '"c";q=3;qu="concurrent-requests"', "ratelimit": '"c";r=0'}
    outlet.answer(first, response(200, **most))
    assert outlet.let_out(2) == []
    outlet.answer(others[0], response(200, **most))
    outlet.run(SOON_S)
    assert len(outlet.out) == 5
