import math
from datetime import UTC, datetime

import pytest

from orchestrator.domain.headers.signals import SILENT, Signal
from orchestrator.domain.ids import AccountId, CustomerId, JobId
from orchestrator.domain.pace.pacing import Limiter, Pace, PaceCaps, PaceState, steer
from orchestrator.domain.requests.path_class import PathClass
from orchestrator.domain.steering.heard import Heard
from orchestrator.domain.steering.steering import Steering

BASE = Pace(2.0, 2)


def steered(signal: Signal, *, state: PaceState | None = None, caps: PaceCaps | None = None) -> PaceState:
    return steer(state or PaceState(BASE), signal, base=BASE, caps=caps or PaceCaps(), now=1_000.0)


def test_a_silent_answer_changes_nothing() -> None:
    state = PaceState(Pace(1.0, 1), 1_060.0)
    assert steered(SILENT, state=state) is state


def test_a_target_may_raise_its_pace_for_good() -> None:
    assert steered(Signal(rps=50.0, max_concurrent=20)) == PaceState(Pace(50.0, 20), None)


def test_what_an_answer_does_not_say_stays() -> None:
    state = PaceState(Pace(50.0, 20))
    assert steered(Signal(rps=60.0), state=state).pace == Pace(60.0, 20)
    assert steered(Signal(max_concurrent=5), state=state).pace == Pace(50.0, 5)


@pytest.mark.parametrize(
    ("once", "again"),
    [(Signal(rps=0.5), Signal(max_concurrent=9)), (Signal(max_concurrent=1), Signal(rps=9.0))],
)
def test_what_is_said_of_one_part_of_a_pace_renews_no_other(once: Signal, again: Signal) -> None:
    state = steer(PaceState(BASE), once, base=BASE, caps=PaceCaps(), now=1_000.0)
    later = steer(state, again, base=BASE, caps=PaceCaps(), now=1_050.0)
    assert later.lapses_at == state.lapses_at
    both = steer(later, once, base=BASE, caps=PaceCaps(), now=1_050.0)
    assert (both.pace, both.lapses_at) == (later.pace, 1_110.0)


def test_the_operators_caps_hold() -> None:
    caps = PaceCaps(rps=10.0, max_concurrent=4)
    assert steered(Signal(rps=50.0, max_concurrent=20), caps=caps).pace == Pace(10.0, 4)


def test_the_default_caps_are_the_contracts() -> None:
    state = steered(Signal(rps=100_000.0, max_concurrent=1_000_000))
    assert state.pace == Pace(100_000.0, 1_000)


@pytest.mark.parametrize(
    ("signal", "lapses_after_s"),
    [
        (Signal(rps=1.0), 60.0),
        (Signal(rps=0.05), 60.0),
        (Signal(rps=0.025), 120.0),
        (Signal(rps=0.01), 300.0),
        (Signal(max_concurrent=1), 60.0),
        (Signal(rps=50.0, max_concurrent=1), 60.0),
    ],
)
def test_a_lowered_pace_lapses_after_a_minute_or_three_intervals(
    signal: Signal, lapses_after_s: float
) -> None:
    assert steered(signal).lapses_at == pytest.approx(1_000.0 + lapses_after_s)


def test_repeating_a_low_pace_renews_it() -> None:
    earlier = PaceState(Pace(1.0, 2), 1_001.0)
    assert steered(Signal(rps=1.0), state=earlier).lapses_at == 1_060.0


def test_a_pace_back_at_the_default_does_not_lapse() -> None:
    assert steered(Signal(rps=2.0), state=PaceState(Pace(1.0, 2), 1_001.0)) == PaceState(BASE, None)


def hear(steering: Steering, rps: float, answered_at: float, concurrent: int = 1_000) -> Pace:
    headers = {"x-ezthrottle-rps": str(rps), "x-ezthrottle-max-concurrent": str(concurrent)}
    heard = Heard(200, headers, CustomerId("cust_a"), None, started_at=9.0, answered_at=answered_at)
    steering.hear(heard, Limiter(steering.state.pace), 11.0, datetime.now(UTC))
    return steering.state.pace


def test_an_answer_that_a_later_one_overtook_does_not_raise_the_pace_again() -> None:
    steering = Steering(BASE, PaceCaps())
    hear(steering, 500, answered_at=10.0)
    assert hear(steering, 50, 10.3, concurrent=50) == Pace(50.0, 50)
    assert hear(steering, 500, answered_at=10.2) == Pace(50.0, 50)
    assert hear(steering, 500, answered_at=10.4) == Pace(500.0, 1_000)


def test_an_answer_that_a_later_one_overtook_may_lower_the_pace() -> None:
    steering = Steering(BASE, PaceCaps())
    hear(steering, 500, answered_at=10.4)
    assert hear(steering, 50, answered_at=10.3) == Pace(50.0, 1_000)


def answer(status: int, path: str, number: int, *, wait_s: int = 0, probe: bool = False) -> Heard:
    named = {"retry-after": str(wait_s)} if wait_s else {}
    who, job, kind = CustomerId(f"cust_{number}"), JobId(f"{path} {number}"), PathClass(path)
    return Heard(status, named, who, None, 9.0 + number, 10.0 + number, probe, job, kind)


def waits_until(steering: Steering, customer: str) -> float:
    bound = steering.binding.throttles.known(CustomerId(customer), None)
    return max((throttle.paused_until for throttle in bound), default=-math.inf)


@pytest.mark.parametrize("probe", [False, True])
@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_a_class_in_trouble_is_told_binds_nobody_else_be_it_a_probe(
    status: int, *, probe: bool
) -> None:
    steering = Steering(Pace(50.0, 50), PaceCaps())
    for each in (
        *(answer(503, "PUT /bad", number) for number in range(3)),
        *(answer(200, "GET /ok", number) for number in range(4, 8)),
        answer(503, "PUT /bad", 8),
        answer(status, "PUT /bad", 9, wait_s=30, probe=probe),
    ):
        steering.hear(each, Limiter(steering.state.pace), 20.0, datetime.now(UTC))
    assert waits_until(steering, "cust_9") < 20.0
    elsewhere = answer(503, "GET /ok", 10, wait_s=30, probe=probe)
    steering.hear(elsewhere, Limiter(steering.state.pace), 20.0, datetime.now(UTC))
    assert waits_until(steering, "cust_9") == 50.0


@pytest.mark.parametrize("account", [None, AccountId("acct")])
def test_what_is_repeated_of_a_pace_holds_when_the_rest_lapses(account: AccountId | None) -> None:
    """Else as many would be in flight at once as the operator lets, at a target that has just said: one."""
    steering = Steering(Pace(50.0, 50), PaceCaps(), account_queues=account is not None)

    def tell(now: float, **says: int) -> None:
        headers = {f"x-ezthrottle-{name.replace('_', '-')}": str(value) for name, value in says.items()}
        for customer in map(CustomerId, ("cust_a", "cust_b")):
            heard = Heard(200, headers, customer, account, started_at=now - 1, answered_at=now)
            steering.hear(heard, Limiter(steering.pace), now, datetime.now(UTC))

    def pace(now: float) -> Pace | None:
        steering.lapse(now)
        return steering.pace if account is None else steering.binding.accounts.pace_of(account, now)

    tell(100.0, rps=5, max_concurrent=1)
    tell(159.0, max_concurrent=1)
    assert pace(159.5) == Pace(5.0, 1)
    assert pace(160.5) == Pace(50.0, 1)
    assert steering.next_change_at == 219.0
    assert pace(219.5) == (Pace(50.0, 50) if account is None else None)
