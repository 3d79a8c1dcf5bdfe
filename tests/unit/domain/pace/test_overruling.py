"""What an operator sets outranks what a target states and what was found by trying, not waits it names."""

import itertools
from datetime import UTC, datetime

import pytest

from orchestrator.domain.headers.budgets import read_budgets
from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.pace.overruling import AS_IT_IS, Overruling, Pause, SetPace
from orchestrator.domain.pace.pacing import Limiter, Pace, PaceCaps
from orchestrator.domain.steering.heard import Heard
from orchestrator.domain.steering.steering import Steering

NOW, AT = 1_000.0, datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
BASE = Pace(2.0, 2)
ACME, BETA = CustomerId("cust_acme"), CustomerId("cust_beta")
FOR_EVER = float("inf")

STATED = (
    {"x-ezthrottle-rps": "0.01"},
    {"x-ezthrottle-rps": "900", "x-ezthrottle-max-concurrent": "900"},
    {"x-aqueduct-rps": "1", "x-aqueduct-max-concurrent": "1"},
    {"ratelimit-policy": '"a";q=1;w=60', "ratelimit": '"a";r=1;t=60'},
    {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "3", "x-ratelimit-reset": "600"},
    {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "1s",
    },
    {},
)


def heard(
    status: int, headers: dict[str, str], *, customer: CustomerId = ACME, account: str | None = None
) -> Heard:
    return Heard(status, headers, customer, AccountId(account) if account else None, NOW, NOW)


def hear(steering: Steering, answer: Heard, *, now: float = NOW) -> None:
    steering.hear(answer, Limiter(steering.pace), now, AT)


def next_at(steering: Steering, customer: CustomerId = ACME, account: str | None = None) -> float:
    own = steering.binding.throttles.own
    throttles = [
        throttle
        for _, throttle in steering.binding.accounts.bound(customer, account and AccountId(account), NOW)
    ]
    return (
        max(throttle.next_at(NOW, 1.0) for throttle in ([own] if own else []) + throttles)
        if own or throttles
        else NOW
    )


@pytest.mark.parametrize(
    ("status", "headers", "account"),
    [*itertools.product((200, 429, 503), STATED, (None, "a"))],
)
def test_while_a_pace_is_set_nothing_that_is_stated_or_found_by_trying_holds(
    status: int, headers: dict[str, str], account: str | None
) -> None:
    steering = Steering(BASE, PaceCaps())
    steering.overrule(SetPace(rps=50.0, max_concurrent=40), FOR_EVER)
    for customer in (ACME, BETA, ACME):
        hear(steering, heard(status, headers, customer=customer, account=account))
    assert steering.pace == Pace(50.0, 40)
    assert next_at(steering, account=account) == NOW
    assert [limit.source for limit in steering.active_limits_for(None, NOW)] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "30"},
        {"ratelimit-policy": '"a";q=10;w=30', "ratelimit": '"a";r=0;t=30'},
        {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"},
        {"retry-after": "30", "x-ezthrottle-rps": "1"},
    ],
)
@pytest.mark.parametrize("status", [200, 429, 503])
def test_a_wait_that_is_named_since_is_kept(status: int, headers: dict[str, str]) -> None:
    steering = Steering(BASE, PaceCaps())
    steering.overrule(SetPace(rps=50.0), FOR_EVER)
    hear(steering, heard(status, headers))
    assert steering.pace.rps == 50.0
    assert next_at(steering) == pytest.approx(NOW + 30, abs=0.1)


def test_what_is_not_set_is_left_to_the_target() -> None:
    steering = Steering(BASE, PaceCaps())
    steering.overrule(SetPace(max_concurrent=7), FOR_EVER)
    hear(steering, heard(200, {"x-ezthrottle-rps": "9", "x-ezthrottle-max-concurrent": "1"}))
    assert steering.pace == Pace(9.0, 7)
    hear(steering, heard(429, {}))
    assert steering.binding.throttles.own is not None
    assert steering.binding.throttles.own.tried_rate is not None


def test_when_its_time_is_over_the_target_decides_again() -> None:
    steering = Steering(BASE, PaceCaps())
    steering.overrule(SetPace(rps=50.0), NOW + 10)
    assert steering.next_change_at == NOW + 10
    assert not steering.lapse(NOW + 9)
    assert steering.lapse(NOW + 10)
    assert steering.pace == BASE
    hear(steering, heard(200, {"x-ezthrottle-rps": "5"}), now=NOW + 11)
    assert steering.pace.rps == 5.0


def test_forgetting_clears_paces_waits_rates_and_budgets_of_the_domain_of_customers_and_accounts() -> None:
    steering = Steering(BASE, PaceCaps())
    empty = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}
    for answer in (
        heard(200, {"x-ezthrottle-rps": "0.5", "x-ezthrottle-account-queue": "enabled"}),
        heard(503, {"retry-after": "600"}),
        heard(503, {}, customer=BETA),
        heard(429, {"retry-after": "600"}, account="a"),
        heard(429, empty, account="b"),
    ):
        hear(steering, answer)
    assert next_at(steering, account="a") > NOW + 500
    steering.forget()
    assert (steering.pace, steering.steered, steering.binding.accounts.have_queues) == (BASE, False, False)
    assert next_at(steering, account="a") == next_at(steering, account="b") == NOW
    assert not [*steering.active_limits(NOW), *steering.active_limits_for(None, NOW)]
    assert steering.at_rest(NOW)


def test_a_set_pace_does_not_close_the_queues_of_accounts() -> None:
    steering = Steering(BASE, PaceCaps())
    hear(steering, heard(200, {"x-ezthrottle-account-queue": "enabled"}))
    steering.forget(but_queues=True)
    assert steering.binding.accounts.have_queues


def test_an_overruling_knows_what_is_left_of_it() -> None:
    said = Overruling(pace=SetPace(rps=1.0, until_ms=100), pause=Pause(at_ms=1, by="k"))
    assert said.at(99) == said
    assert said.at(100) == Overruling(pause=Pause(at_ms=1, by="k"))
    assert not Overruling(pace=SetPace(rps=1.0, until_ms=100)).at(100)
    assert (bool(said), bool(AS_IT_IS), SetPace().empty) == (True, False, True)


def test_of_a_budget_that_is_empty_only_the_wait_is_left() -> None:
    headers = {"x-ratelimit-limit": "10, 10;w=30", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}
    (budget,) = read_budgets(headers, AT)
    (left,) = SetPace(rps=50.0).heeded_of([budget])
    assert (budget.rate is not None, left.rate, left.exhausted, left.reset_s) == (True, None, True, 30.0)
