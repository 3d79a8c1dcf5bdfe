"""What targets say, and whom it binds, in virtual time."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bench.strict_rules import Concurrency, Limit
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.pace.pacing import Pace, PaceCaps
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.learned import Learned
from tests.support.long import some_of
from tests.support.outlet import EPOCH_MS, FixedWindow, Outlet, SlidingWindow, TokenBucket, response

KINDS = [TokenBucket, FixedWindow, SlidingWindow]
Kind = type[TokenBucket | FixedWindow | SlidingWindow]


@dataclass
class Scripted:
    """Answers as a function says."""

    script: Callable[[Ticket, float], HttpResponse]

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        return self.script(ticket, now - 1_000)


def told(rps: float, concurrent: int = 1_000) -> dict[str, object]:
    return {"x-ezthrottle-rps": rps, "x-ezthrottle-max-concurrent": concurrent}


def refused(outlet: Outlet, since: float = 0.0) -> int:
    return sum(start.status == 429 for start in outlet.between(since, 1e9))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rps", some_of([2, 50, 500], 2, 50))
def test_a_named_limit_is_used_and_never_exceeded(kind: Kind, rps: int) -> None:
    seconds = 10
    outlet = Outlet(kind(rps, told(rps)), pace=Pace())
    outlet.put(rps * seconds * 2)
    outlet.run(seconds)
    assert refused(outlet) == 0
    assert len(outlet.between(2, seconds)) >= 0.95 * rps * (seconds - 2)


@pytest.mark.parametrize(
    ("rps", "seconds"), some_of([(1, 200), (2, 200), (20, 100), (200, 30)], (1, 200), (20, 100))
)
def test_a_lower_limit_that_one_customer_alone_hears_is_used_and_never_exceeded(
    rps: int, seconds: int
) -> None:
    outlet = Outlet(SlidingWindow(rps, told(rps)), pace=Pace(10.0 * rps, 1_000), connect_s=(0.0, 0.04))
    outlet.put(rps * seconds * 2)
    outlet.run(seconds)
    assert refused(outlet, since=5) == 0
    assert len(outlet.between(5, seconds)) >= 0.95 * rps * (seconds - 5)


class Announcing(FixedWindow):
    """Says with each answer what is left of its second, in whole seconds as the field does."""

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        self.headers = {}
        status = super().answer(ticket, now).status
        headers = {
            "ratelimit-policy": f'"default";q={self.limit};w=1',
            "ratelimit": f'"default";r={self.limit - self.taken};t=1',
            "x-ezthrottle-max-concurrent": 1_000,
        }
        return response(status, **headers)


@pytest.mark.parametrize("rps", some_of([50, 500], 50))
def test_a_quota_a_second_is_used_and_never_exceeded(rps: int) -> None:
    outlet = Outlet(Announcing(rps), pace=Pace())
    outlet.put(rps * 40)
    outlet.run(20)
    assert refused(outlet) == 0
    assert len(outlet.between(5, 20)) >= 0.95 * rps * 15


def test_a_tenfold_drop_binds_everything_after_the_answer_and_a_rise_is_taken_within_two_windows() -> None:
    def answer(_: Ticket, now: float) -> HttpResponse:
        return response(200, **told(20 if 10 <= now < 20 else 200))

    outlet = Outlet(Scripted(answer), pace=Pace(200.0, 1_000), latency_s=(0.03, 0.03))
    outlet.put(10_000)
    outlet.run(30)
    low = [start.at for start in outlet.between(10.04, 20)]
    assert all(late - early >= 1 for early, late in zip(low, low[20:], strict=False))
    assert len(outlet.between(22, 30)) >= 0.95 * 200 * 8


def test_the_operators_caps_hold() -> None:
    outlet = Outlet(Scripted(lambda *_: response(200, **told(500))), pace=Pace(), caps=PaceCaps(rps=20.0))
    outlet.put(1_000)
    outlet.run(10)
    assert len(outlet.between(2, 10)) <= 20 * 9


EVIL = [
    {"x-ezthrottle-rps": "0.01"},
    {"x-ezthrottle-rps": "NaN"},
    {"x-aqueduct-rps": "1e309"},
    {"x-ezthrottle-max-concurrent": "1"},
    {"ratelimit": '"x";r=0;t=2592000'},
    {"ratelimit-policy": '"x";q=1;w=60'},
    {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "86400"},
]


@pytest.mark.parametrize("evil", some_of(EVIL, EVIL[0], EVIL[4], EVIL[6]), ids=str)
@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize(
    ("honest", "others_rps"),
    [
        ({}, 2.0),
        ({"x-ezthrottle-rps": "3"}, 1.5),
        ({"x-ezthrottle-rps": "8", "x-ezthrottle-max-concurrent": "8"}, 4.0),
        ({"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "4900", "x-ratelimit-reset": "600"}, 2.0),
    ],
    ids=["says nothing", "lowers", "raises", "tells a budget"],
)
def test_one_customers_page_holds_others_up_for_a_minute_at_most(
    evil: dict[str, object], refuses: bool, honest: dict[str, object], others_rps: float
) -> None:
    def answer(ticket: Ticket, _: float) -> HttpResponse:
        if ticket.customer == "cust_evil":
            return response(503 if refuses else 200, **evil, **({"retry-after": 3600} if refuses else {}))
        return response(200, **honest)

    outlet = Outlet(Scripted(answer), pace=Pace(4.0, 4))
    outlet.put(3_000, "cust_evil")
    outlet.put(5_000, "cust_b")
    outlet.run(600)
    for minute in range(1, 9):
        assert len(outlet.between(minute * 60 + 2, minute * 60 + 62, "cust_b")) >= 0.95 * others_rps * 60


def test_one_kind_of_word_after_the_other_holds_others_up_for_no_more_than_one_minute() -> None:
    words = [{"x-ezthrottle-rps": "0.01"}, {"retry-after": 3600}, {"ratelimit": '"x";r=0;t=86400'}]

    def answer(ticket: Ticket, now: float) -> HttpResponse:
        if ticket.customer == "cust_evil":
            return response(503, **words[ticket.order_key % 3])
        return response(200)

    outlet = Outlet(Scripted(answer), pace=Pace(4.0, 4))
    for minute in range(10):
        outlet.put(3, "cust_evil", f"key {minute}")
        outlet.put(300, "cust_b")
        outlet.run(60)
    for minute in range(1, 9):
        assert len(outlet.between(minute * 60 + 2, minute * 60 + 62, "cust_b")) >= 0.9 * 4 * 60


def test_refusals_of_one_customer_do_not_add_up_to_those_of_others() -> None:
    def answer(ticket: Ticket, _: float) -> HttpResponse:
        rare = ticket.customer == "cust_b" and ticket.order_key % 200 == 0
        return response(503 if ticket.customer == "cust_evil" or rare else 200)

    outlet = Outlet(Scripted(answer), pace=Pace(20.0, 20))
    outlet.put(3_000, "cust_evil")
    outlet.put(6_000, "cust_b")
    outlet.run(300)
    assert len(outlet.between(100, 300, "cust_b")) >= 0.6 * 20 * 200


def test_a_page_that_names_the_default_does_not_undo_what_its_target_raised() -> None:
    def answer(ticket: Ticket, now: float) -> HttpResponse:
        if ticket.customer == "cust_evil":
            return response(200, **{"x-ezthrottle-rps": "2"})
        return response(200, **({"x-ezthrottle-rps": "20"} if now < 5 else {}))

    outlet = Outlet(Scripted(answer), pace=Pace(2.0, 40))
    outlet.put(20, "cust_b")
    outlet.run(10)
    outlet.put(3_000, "cust_evil")
    outlet.put(3_000, "cust_b")
    outlet.run(120)
    assert len(outlet.between(80, 120, "cust_b")) >= 0.9 * 18 * 40


@pytest.mark.parametrize("accounts", [1, 2, 4])
def test_a_stated_limit_is_kept_by_all_accounts_together(accounts: int) -> None:
    server = FixedWindow(10, {"ratelimit-policy": '"a";q=10;w=1'})
    outlet = Outlet(server, pace=Pace(40.0, 40))
    for number in range(accounts):
        outlet.put(1_000, f"cust_{number}", f"account_{number}")
    outlet.run(60)
    assert refused(outlet, since=5) == 0
    assert len(outlet.between(5, 60)) >= 0.9 * 10 * 55


def test_a_quota_that_two_accounts_are_told_may_raise_the_pace() -> None:
    outlet = Outlet(
        Scripted(lambda *_: response(200, **{"ratelimit-policy": '"a";q=50;w=1'})), pace=Pace(2.0, 50)
    )
    outlet.put(1_000, "cust_x", "x")
    outlet.put(1_000, "cust_y", "y")
    outlet.run(20)
    assert len(outlet.between(10, 20)) >= 0.9 * 50 * 10


def test_a_pause_that_one_customer_heard_binds_only_that_one_after_a_restart() -> None:
    def answer(ticket: Ticket, _: float) -> HttpResponse:
        evil = ticket.customer == "cust_evil"
        return response(503, retry_after=86_400) if evil else response(200)

    before = Outlet(Scripted(answer), pace=Pace(4.0, 4))
    before.put(1, "cust_evil")
    before.run(30)
    after = Outlet(Scripted(answer), pace=Pace(4.0, 4), learned=before.limiter.learned, clock=before.clock)
    after.put(100, "cust_evil")
    after.put(400, "cust_b")
    after.run(100)
    assert not after.between(0, 100, "cust_evil")
    assert len(after.between(40, 100, "cust_b")) >= 0.9 * 4 * 60


def test_what_no_target_told_is_the_operators_to_change_after_a_restart() -> None:
    before = Outlet(
        Scripted(lambda *_: response(503, retry_after=1)), pace=Pace(20.0, 20), account_queues=True
    )
    before.put(1)
    before.run(1)
    after = Outlet(Scripted(lambda *_: response(200)), pace=Pace(5.0, 5), learned=before.limiter.learned)
    assert (after.limiter.pace, after.limiter.account_queues) == (Pace(5.0, 5), False)


def test_a_bad_key_slows_nobody_but_its_owner() -> None:
    def answer(ticket: Ticket, _: float) -> HttpResponse:
        return response(429 if ticket.account == "bad" else 200)

    outlet = Outlet(Scripted(answer), pace=Pace(4.0, 4))
    outlet.put(500, "cust_evil", "bad")
    outlet.put(500, "cust_b", "good")
    outlet.run(60)
    assert len(outlet.between(2, 60, "cust_b")) >= 0.85 * 4 * 58
    assert len(outlet.between(10, 60, "cust_evil")) <= 0.25 * 50


def test_what_two_accounts_hear_binds_the_domain() -> None:
    def answer(ticket: Ticket, now: float) -> HttpResponse:
        refuses = ticket.account in ("x", "y") and now < 5
        return response(429, retry_after=20) if refuses else response(200)

    outlet = Outlet(Scripted(answer), pace=Pace(4.0, 4))
    for account in ("x", "y", "z"):
        outlet.put(100, f"cust_{account}", account)
    outlet.run(30)
    assert not outlet.between(2, 20)
    assert outlet.between(20, 30, "cust_z")


def test_with_account_queues_two_accounts_still_bind_only_themselves() -> None:
    def answer(ticket: Ticket, _: float) -> HttpResponse:
        return response(200) if ticket.account == "z" else response(429, retry_after=20)

    outlet = Outlet(Scripted(answer), pace=Pace(4.0, 4), account_queues=True)
    for account in ("x", "y", "z"):
        outlet.put(100, "cust_a", account)
    outlet.run(20)
    assert len(outlet.between(2, 20)) >= 0.9 * 4 * 18
    assert {start.ticket.account for start in outlet.between(2, 20)} == {"z"}


@pytest.mark.parametrize(
    ("account", "status"),
    [("x", 429), ("x", 403), (None, 429), ("x", 503), (None, 503), (None, 202), ("x", 200)],
)
def test_retry_after_pauses_whoever_it_binds(account: str | None, status: int) -> None:
    def answer(_: Ticket, now: float) -> HttpResponse:
        return response(status, retry_after=7) if now < 1 else response(200)

    outlet = Outlet(Scripted(answer), pace=Pace(4.0, 4))
    outlet.put(50, "cust_a", account)
    outlet.clock.call_at(1_001.0, lambda: outlet.put(50, "cust_b", "other"))
    outlet.run(20)
    assert not outlet.between(1, 7, "cust_a")
    assert outlet.between(7, 20, "cust_a")
    binds_account = account is not None and status != 503
    assert bool(outlet.between(1, 7, "cust_b")) is binds_account


def test_an_exhausted_budget_is_waited_for() -> None:
    def answer(_: Ticket, now: float) -> HttpResponse:
        left, reset = (4 - len(outlet.starts), 12 - now) if now < 12 else (1_000, 60)
        return response(200, x_ratelimit_remaining=left, x_ratelimit_reset=round(reset))

    outlet = Outlet(Scripted(answer), pace=Pace(10.0, 10))
    outlet.put(100, account="x")
    outlet.run(40)
    assert len(outlet.between(0, 12)) <= 5
    assert len(outlet.between(12, 20)) >= 0.9 * 8 * 10


def test_a_long_rest_of_a_window_is_spread_and_used() -> None:
    left = 60

    def answer(_: Ticket, now: float) -> HttpResponse:
        nonlocal left
        left -= 1
        status = 200 if left >= 0 else 429
        return response(status, x_ratelimit_remaining=max(0, left), x_ratelimit_reset=round(120 - now))

    outlet = Outlet(Scripted(answer), pace=Pace(10.0, 10))
    outlet.put(500, account="x")
    outlet.run(119)
    assert refused(outlet) == 0
    assert len(outlet.starts) >= 58
    assert 20 <= len(outlet.between(0, 60)) <= 40


def openai(limit: int, left: float, rate: float, unit: str = "requests") -> dict[str, object]:
    return {
        f"x-ratelimit-limit-{unit}": limit,
        f"x-ratelimit-remaining-{unit}": int(left),
        f"x-ratelimit-reset-{unit}": f"{(limit - left) / rate:.3f}s",
    }


def bucket_of(limit: int, rate: float, unit: str) -> Scripted:
    state = {"left": float(limit), "at": 0.0}

    def answer(ticket: Ticket, now: float) -> HttpResponse:
        state["left"] = min(limit, state["left"] + (now - state["at"]) * rate)
        state["at"] = now
        price = ticket.cost if unit == "tokens" else 1
        status = 200 if state["left"] >= price else 429
        state["left"] -= price if status == 200 else 0
        return response(status, **openai(limit, state["left"], rate, unit))

    return Scripted(answer)


def test_a_budget_that_refills_is_used_at_its_rate() -> None:
    outlet = Outlet(bucket_of(20, 1.0, "requests"), pace=Pace(10.0, 10))
    outlet.put(500, account="x")
    outlet.run(120)
    assert refused(outlet) == 0
    assert len(outlet.starts) >= 0.95 * (20 + 120)


def test_tokens_are_budgeted_by_the_cost_that_jobs_declare() -> None:
    outlet = Outlet(bucket_of(10_000, 500.0, "tokens"), pace=Pace(10.0, 10))
    outlet.put(200, account="x", cost=2_000)
    outlet.run(120)
    assert refused(outlet) == 0
    assert len(outlet.starts) * 2_000 >= 0.9 * (10_000 + 500 * 120)


def test_a_cost_beyond_the_whole_budget_goes_when_that_is_full() -> None:
    outlet = Outlet(bucket_of(1_000, 100.0, "tokens"), pace=Pace(10.0, 10))
    outlet.put(1, account="x", cost=500)
    outlet.run(1)
    outlet.put(1, account="x", cost=5_000)
    outlet.run(30)
    assert len(outlet.starts) == 2


def test_accounts_have_paces_of_their_own_each_the_strictest_that_it_is_told() -> None:
    def answer(ticket: Ticket, _: float) -> HttpResponse:
        slow = {"ratelimit-policy": '"default";q=1;w=1'} if ticket.account == "slow" else {}
        return response(200, **told(6), **{"x-ezthrottle-account-queue": "enabled"}, **slow)

    outlet = Outlet(Scripted(answer), pace=Pace())
    for account in ("slow", "fast"):
        outlet.put(1_000, "cust_a", account)
    outlet.run(60)
    by_account = [start.ticket.account for start in outlet.between(10, 60)]
    assert 43 <= by_account.count("slow") <= 51
    assert 0.95 * 6 * 50 <= by_account.count("fast") <= 6 * 51


def test_a_page_that_switches_account_queues_to_and_fro_is_not_followed() -> None:
    def answer(_: Ticket, now: float) -> HttpResponse:
        return response(200, x_ezthrottle_account_queue="enabled" if len(outlet.starts) % 2 else "disabled")

    outlet = Outlet(Scripted(answer), pace=Pace(50.0, 50))
    outlet.put(3_000)
    outlet.run(50)
    assert outlet.changes <= 1


def test_what_was_learned_outlives_a_restart() -> None:
    def answer(_: Ticket, now: float) -> HttpResponse:
        return response(503, retry_after=30) if now >= 2 else response(200, **told(20, 7))

    before = Outlet(Scripted(answer), pace=Pace())
    before.put(100)
    before.run(5)
    learned = before.limiter.learned
    after = Outlet(before.server, pace=Pace(), learned=learned, clock=before.clock)
    after.put(100)
    after.run(20)
    assert after.limiter.pace == Pace(20.0, 7)
    assert not after.starts
    after.run(10)
    assert after.starts


def test_an_accounts_pause_outlives_a_restart() -> None:
    learned = Learned(pace=Pace(), accounts_paused=(("x", EPOCH_MS + 1_010_000),))
    outlet = Outlet(Scripted(lambda *_: response(200)), pace=Pace(), learned=learned)
    outlet.put(1, "cust_a", "x")
    outlet.put(1, "cust_a", "y")
    outlet.run(20)
    assert [(start.ticket.account, start.at >= 1_010) for start in outlet.starts] == [
        ("y", False),
        ("x", True),
    ]


def test_a_lowered_pace_lapses_after_a_restart_when_it_would_have() -> None:
    learned = Learned(pace=Pace(0.1, 1), lapses_ms=EPOCH_MS + 1_005_000)
    outlet = Outlet(Scripted(lambda *_: response(200)), pace=Pace(), learned=learned)
    outlet.put(50)
    outlet.run(15)
    assert len(outlet.between(0, 5)) == 1
    assert len(outlet.between(5, 15)) >= 19


class Crowd(Outlet):
    """500 places, from the tenth second on 50. Answers are told when they are given; some overtake others."""

    def __init__(self) -> None:
        super().__init__(Scripted(lambda *_: response(200)), pace=Pace(100_000, 500))
        self.rule = Concurrency(Limit(500))
        self.known_at = float("inf")
        self.refused_knowingly = 0

    def _launch(self, limiter: DomainLimiter, ticket: Ticket, permit: int) -> None:
        granted_at = self.clock.now()
        self._later(0.001, 0.03, lambda: self._arrive(permit, granted_at))

    def _arrive(self, permit: int, granted_at: float) -> None:
        now = self.clock.now()
        self.limiter.started(permit, now)
        if self.rule.admit(now):
            self._later(0.8, 1.2, lambda: self._leave(permit, now))
        else:
            self.refused_knowingly += granted_at > self.known_at
            self._tell(permit, 429, now)

    def _leave(self, permit: int, started_at: float) -> None:
        if self.clock.now() > self.began + 10 and self.rule.limit == Limit(500):
            self.rule = self.rule.follow(Limit(50))
        self.rule.leave()
        self._tell(permit, 200, started_at)

    def _tell(self, permit: int, status: int, started_at: float) -> None:
        now, places = self.clock.now(), self.rule.limit.count
        answer = response(status, **told(100_000, places))
        self._later(0.005, 0.06, lambda: self._hear(permit, answer, started_at, now))

    def _hear(self, permit: int, answer: HttpResponse, started_at: float, answered_at: float) -> None:
        self.limiter.hear(permit, answer, started_at, answered_at)
        if self.limiter.pace.max_concurrent == 50:
            self.known_at = min(self.known_at, self.clock.now())
        self.limiter.closed(permit)

    def _later(self, least_s: float, most_s: float, callback: Callable[[], None]) -> None:
        self.clock.call_at(self.clock.now() + self._random.uniform(least_s, most_s), callback)


def test_an_answer_that_was_overtaken_does_not_undo_a_lowered_limit() -> None:
    crowd = Crowd()
    crowd.put(10_000)
    crowd.run(14)
    assert crowd.known_at < crowd.began + 10.5
    assert crowd.refused_knowingly == 0
