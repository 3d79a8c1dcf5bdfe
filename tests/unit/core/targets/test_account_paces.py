"""Where accounts have queues, what one is told is its own pace and nobody else's, in virtual time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from msgspec.structs import replace

from orchestrator.adapters.records import pack_learned, unpack_learned
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.pace.overruling import Overruling, SetPace
from orchestrator.domain.pace.pacing import Limiter, Pace, PaceCaps
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.account_paces import ACCOUNTS_KEPT
from orchestrator.domain.steering.heard import Heard
from orchestrator.domain.steering.steering import Steering
from orchestrator.domain.steering.throttles import THROTTLES_MOST
from tests.support.long import LONG
from tests.support.outlet import HeapClock, Outlet, Start, response

BASE = Pace(2.0, 2)
Said = Mapping[str, object]


@dataclass(slots=True)
class ByAccount:
    """Tells each account what stands here for it; None is for requests without credentials."""

    told: dict[str | None, Said] = field(default_factory=dict)
    otherwise: Said = field(default_factory=dict)
    status: dict[str | None, int] = field(default_factory=dict)

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        del now
        account = ticket.account
        return response(self.status.get(account, 200), **self.told.get(account, self.otherwise))


class Stuck(Outlet):
    """While ``sticks`` what it lets out does not start, until it ``thaws`` or is ``recalled``."""

    sticks = False

    def __init__(self, server: ByAccount, pace: Pace) -> None:
        super().__init__(server, pace=pace, account_queues=True)
        self.stuck: list[tuple[Ticket, int]] = []

    def _launch(self, limiter: DomainLimiter, ticket: Ticket, permit: int) -> None:
        if self.sticks:
            self.stuck.append((ticket, permit))
        else:
            super()._launch(limiter, ticket, permit)

    def part(self, account: str | None, count: int) -> "Stuck":
        """Let requests of an account get stuck, and another be told a pace of its own meanwhile."""
        self.sticks = True
        self.put(count, f"cust_{account}", account)
        self.run(2)
        assert len(self.stuck) == count
        self.sticks = False
        self.put(1, "cust_a", "a")
        self.run(0.5)
        assert [start.ticket.account for start in self.starts] == ["a"]
        return self

    def thaw(self) -> None:
        """Let all that is stuck start."""
        for ticket, permit in self.stuck:
            self._start(ticket, permit)

    def recall(self) -> None:
        """Take all that is stuck back."""
        for _, permit in self.stuck:
            self.limiter.unused(permit)


def rps(value: float, most: int = 100) -> Said:
    return {"x_ezthrottle_rps": value, "x_ezthrottle_max_concurrent": most}


BUDGET = {"x_ratelimit_limit": 900, "x_ratelimit_remaining": 900, "x_ratelimit_reset": 9}


def queued(server: ByAccount, *accounts: str | None, count: int = 2_000, **options: object) -> Outlet:
    outlet = Outlet(server, **({"pace": BASE, "account_queues": True} | options))  # type: ignore[arg-type]  # a test's
    for account in accounts:
        outlet.put(count, f"cust_{account}", account)
    return outlet


def went(outlet: Outlet, since: float, until: float) -> dict[str | None, float]:
    """Count each account's starts a second."""
    starts = outlet.between(since, until)
    accounts = {start.ticket.account for start in starts}
    return {a: sum(s.ticket.account == a for s in starts) / (until - since) for a in accounts}


def busiest_second(starts: list[Start]) -> int:
    times = [start.at for start in starts]
    return max((sum(at <= other < at + 1 for other in times) for at in times), default=0)


def test_each_account_keeps_to_what_it_was_told_and_one_that_was_told_nothing_to_the_domains() -> None:
    outlet = queued(ByAccount({"a": rps(10), "b": rps(1), "c": rps(4)}), "a", "b", "c", "d").run(70)
    rates = went(outlet, 10, 60)
    assert rates["a"] == pytest.approx(10, rel=0.05)
    assert rates["b"] == pytest.approx(1, rel=0.1)
    assert rates["c"] == pytest.approx(4, rel=0.05)
    assert rates["d"] == pytest.approx(2, rel=0.05)
    for account in "abcd":
        own = [start for start in outlet.starts if start.ticket.account == account]
        assert busiest_second(own) <= {"a": 10, "b": 1, "c": 4, "d": 2}[account]


def test_those_that_were_told_nothing_share_the_domains_pace_with_requests_without_an_account() -> None:
    outlet = queued(ByAccount({"a": rps(10)}), "a", "b", "c", None).run(70)
    rates = went(outlet, 10, 60)
    assert rates["a"] == pytest.approx(10, rel=0.05)
    assert rates["b"] + rates["c"] + rates[None] == pytest.approx(2, rel=0.05)
    assert min(rates["b"], rates["c"], rates[None]) > 0.5
    rest = [start for start in outlet.starts if start.ticket.account != "a"]
    assert busiest_second(rest) <= 2


@pytest.mark.parametrize(
    "slow", [rps(0.01, 1), {"x_ezthrottle_rps": 0.05}, {"x_aqueduct_max_concurrent": 1}, rps(1, 1)]
)
def test_one_accounts_header_slows_nobody_else_however_often_it_comes(slow: Said) -> None:
    outlet = queued(ByAccount({"bad": slow, "good": rps(20)}), "bad", "good", count=5_000).run(130)
    assert went(outlet, 10, 120)["good"] == pytest.approx(20, rel=0.05)
    assert outlet.limiter.pace == BASE


RATE, PLACES = "x_ezthrottle_rps", "x_ezthrottle_max_concurrent"


@pytest.mark.parametrize(("before", "after"), [(50, 5), (2, 20)])
def test_what_an_account_was_not_told_is_what_the_domain_has_now(before: int, after: int) -> None:
    server = ByAccount({None: rps(before), "a": {PLACES: 40}})
    outlet = queued(server, None).run(10)
    outlet.put(2_000, "cust_a", "a")
    outlet.run(10)
    assert went(outlet, 12, 20)["a"] == pytest.approx(before, rel=0.1)
    server.told[None] = rps(after)
    outlet.run(20)
    assert went(outlet, 25, 40)["a"] == pytest.approx(after, rel=0.05)


@pytest.mark.parametrize(
    ("told", "pace"), [({PLACES: 10}, SetPace(rps=50.0)), ({RATE: 10}, SetPace(max_concurrent=1))]
)
def test_what_the_operator_set_for_a_while_is_no_accounts_own_pace(told: Said, pace: SetPace) -> None:
    outlet = queued(ByAccount(otherwise=told), "a", "b", pace=Pace(3.0, 5), latency_s=(0.5, 0.5), count=900)
    until_ms = outlet.clock.unix_ms() + 20_000
    outlet.limiter.overrule(Overruling(pace=replace(pace, until_ms=until_ms)))
    outlet.run(50)
    for rate in went(outlet, 30, 50).values():
        assert rate == pytest.approx(3 if PLACES in told else 10, rel=0.1)


class Hanging(Outlet):
    """While ``hangs`` nothing that starts is answered."""

    hangs = False

    def _answered(self, ticket: Ticket, permit: int, answer: HttpResponse, started_at: float) -> None:
        if not self.hangs:
            super()._answered(ticket, permit, answer, started_at)


@pytest.mark.parametrize("account", ["a", None])
def test_a_limit_that_has_lapsed_holds_nobody_back_while_what_it_let_out_is_not_answered(
    account: str | None,
) -> None:
    """Nothing comes back that would tell those who wait."""
    server = ByAccount({account: rps(5, 1), "b": rps(5)})
    outlet = Hanging(server, pace=Pace(2.0, 5), account_queues=True)
    outlet.put(1, "cust_b", "b")
    outlet.put(1, "cust_a", account)
    outlet.run(10)
    outlet.hangs = True
    outlet.put(5, "cust_a", account)
    assert went(outlet.run(40), 10, 50) == {account: pytest.approx(1 / 40)}
    outlet.run(40)
    assert len([start for start in outlet.between(60, 90) if start.ticket.account == account]) == 4


def test_an_account_that_is_told_more_raises_nobody_else() -> None:
    outlet = queued(ByAccount({"a": rps(50)}), "a", "b", count=9_000).run(70)
    assert went(outlet, 10, 60)["b"] == pytest.approx(2, rel=0.05)


def test_what_requests_without_credentials_hear_is_the_domains() -> None:
    outlet = queued(ByAccount({None: rps(8), "a": rps(3)}), None, "a", "b").run(70)
    rates = went(outlet, 10, 60)
    assert outlet.limiter.pace.rps == 8
    assert rates[None] + rates["b"] == pytest.approx(8, rel=0.05)
    assert rates["a"] == pytest.approx(3, rel=0.05)


def test_all_together_keep_to_the_most_that_the_operator_allows() -> None:
    caps = PaceCaps(rps=12, max_concurrent=5)
    outlet = queued(ByAccount(otherwise=rps(10)), *"abcdef", caps=caps, latency_s=(0.1, 0.2), count=900)
    highest = 0
    for _ in range(600):
        outlet.run(0.1)
        highest = max(highest, outlet.limiter.in_flight)
    assert busiest_second(outlet.starts) <= 12
    assert highest <= 5
    assert sum(went(outlet, 10, 60).values()) == pytest.approx(12, rel=0.05)


def test_an_account_may_be_told_no_more_than_the_most() -> None:
    outlet = queued(ByAccount({"a": rps(500)}), "a", caps=PaceCaps(rps=30, max_concurrent=50), count=4_000)
    outlet.run(30)
    assert busiest_second(outlet.starts) <= 30


def test_a_503_without_a_word_slows_all_and_a_wait_told_without_credentials_holds_all() -> None:
    server = ByAccount({"a": rps(10), "b": rps(10)})
    outlet = queued(server, "a", "b", None).run(20)
    server.status = {"a": 503, "b": 503}
    server.told = {}
    outlet.run(10)
    assert sum(went(outlet, 25, 30).values()) < 5
    server.status, server.told = {}, {None: {"retry_after": 30}, "a": rps(10), "b": rps(10)}
    outlet.run(40)
    held = Outlet.between(outlet, 30, 70)
    gaps = [later.at - earlier.at for earlier, later in pairwise(held)]
    assert max(gaps) > 25


def test_a_429_slows_the_account_that_was_answered_from_its_own_pace() -> None:
    server = ByAccount({"a": rps(20), "b": rps(20)})
    outlet = queued(server, "a", "b", count=9_000).run(20)
    server.status, server.told = {"a": 429}, {"b": rps(20)}
    outlet.run(20)
    rates = went(outlet, 25, 40)
    assert rates["a"] < 5
    assert rates["b"] == pytest.approx(20, rel=0.05)


def test_a_lowered_pace_of_an_account_lapses_unless_it_is_repeated() -> None:
    server = ByAccount({"a": rps(0.5)})
    outlet = queued(server, "a").run(30)
    server.told = {}
    assert went(outlet, 10, 30)["a"] == pytest.approx(0.5, abs=0.1)
    outlet.run(100)
    assert went(outlet, 100, 130)["a"] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("account", ["a", "b", None])
def test_what_was_let_out_before_accounts_parted_counts_in_the_window_in_which_it_starts(
    account: str | None,
) -> None:
    outlet = Stuck(ByAccount({"a": rps(4)}), Pace(4.0, 50)).part(account, 3)
    for other in ("a", "b", None):
        outlet.put(20, f"cust_{other}", other)
    outlet.run(2.7).thaw()
    outlet.run(30)
    own = [start for start in outlet.starts if start.ticket.account == "a"]
    rest = [start for start in outlet.starts if start.ticket.account != "a"]
    assert len(own) + len(rest) == 64
    assert busiest_second(own) <= 4
    assert busiest_second(rest) <= 4


def test_what_was_let_out_by_a_budget_before_accounts_parted_counts_in_the_window_in_which_it_starts() -> (
    None
):
    server = ByAccount({"a": BUDGET})
    outlet = Stuck(server, Pace(4.0, 50))
    outlet.put(1, "cust_a", "a")
    outlet.run(2).starts.clear()
    server.told = {"a": rps(4)}
    outlet.part("a", 3).put(20, "cust_a", "a")
    outlet.run(2.7).thaw()
    outlet.run(30)
    assert len(outlet.starts) == 24
    assert busiest_second(outlet.starts) <= 4


@pytest.mark.parametrize("told", [{}, BUDGET])
@pytest.mark.parametrize("account", ["a", "b"])
def test_what_was_let_out_before_accounts_parted_and_never_starts_takes_nothing_of_a_window(
    account: str, told: Said
) -> None:
    server = ByAccount({"a": told})
    outlet = Stuck(server, Pace(4.0, 50))
    outlet.put(1, "cust_a", "a")
    outlet.run(2).starts.clear()
    server.told = {"a": rps(4)}
    outlet.part(account, 3)
    outlet.put(60, f"cust_{account}", account)
    outlet.run(2).recall()
    outlet.run(10)
    assert busiest_second(outlet.starts) <= 4
    assert went(outlet, 6, 14)[account] == pytest.approx(4, rel=0.1)


def test_a_slower_pace_told_after_accounts_parted_sees_what_started_before() -> None:
    outlet = queued(ByAccount({"a": rps(4)}), "a", count=1, pace=Pace(4.0, 50)).run(0.01)
    outlet.server = ByAccount({None: rps(0.2)})
    outlet.put(9, "cust_b", None)
    outlet.run(20)
    first, second, *_ = (start.at for start in outlet.starts if start.ticket.account is None)
    assert outlet.limiter.pace.rps == 0.2
    assert second - first >= 5


def test_what_accounts_had_in_flight_when_they_parted_keeps_its_places() -> None:
    outlet = Stuck(ByAccount({"a": rps(4, most=3)}), Pace(4.0, 3)).part("a", 2)
    outlet.sticks = True
    outlet.put(9, "cust_b", "b")
    outlet.put(9, "cust_a", "a")
    outlet.run(10)
    assert [ticket.account for ticket, _ in outlet.stuck] == ["a", "a", "b", "a"]


def test_an_answer_that_a_later_one_overtook_raises_an_account_no_more() -> None:
    steering, account = Steering(BASE, PaceCaps(), account_queues=True), AccountId("a")
    for answered_at, said in ((100.0, "1"), (90.0, "50")):
        heard = Heard(200, {"x-ezthrottle-rps": said}, CustomerId("cust_a"), account, 80.0, answered_at)
        steering.hear(heard, Limiter(BASE), 101.0, datetime.now(UTC))
    assert steering.binding.accounts.pace_of(account, 101.0) == Pace(1.0, 2)


@pytest.mark.parametrize("first", [True, False])
def test_switching_queues_at_run_time_lets_no_window_be_exceeded(first: bool) -> None:
    switched = {"x_ezthrottle_account_queue": "disabled" if first else "enabled"}
    server = ByAccount({"a": rps(6), "b": rps(6)})
    outlet = queued(server, "a", "b", account_queues=first).run(30)
    alone, together = (12, 6) if first else (6, 12)
    assert sum(went(outlet, 10, 30).values()) == pytest.approx(alone, rel=0.06)
    server.told = {"a": rps(6) | switched, "b": rps(6) | switched}
    outlet.run(40)
    assert sum(went(outlet, 45, 70).values()) == pytest.approx(together, rel=0.06)
    assert busiest_second(outlet.starts) <= 12
    for account in "ab":
        assert busiest_second([s for s in outlet.starts if s.ticket.account == account]) <= 6


def test_what_accounts_were_told_outlives_a_restart_as_far_as_it_holds() -> None:
    server = ByAccount({"a": rps(10), "b": rps(0.5)})
    before = queued(server, "a", "b").run(30)
    kept = unpack_learned(pack_learned(before.limiter.learned))
    clock = before.clock
    after = Outlet(ByAccount(), pace=BASE, account_queues=True, learned=kept, clock=clock)
    for account in "ab":
        after.put(900, f"cust_{account}", account)
    after.run(40)
    rates = went(after, 5, 35)
    assert rates["a"] == pytest.approx(10, rel=0.05)
    assert rates["b"] == pytest.approx(0.5, abs=0.1)
    without = Outlet(ByAccount(), pace=BASE, account_queues=False, learned=kept, clock=HeapClock())
    without.put(900, "cust_a", "a")
    assert went(without.run(40), 5, 35)["a"] == pytest.approx(2, rel=0.05)


@LONG
@pytest.mark.timeout(240)
def test_of_very_many_accounts_only_so_many_are_remembered_and_kept() -> None:
    outlet = Outlet(
        ByAccount(otherwise=rps(50)), pace=Pace(5_000.0, 5_000), caps=PaceCaps(rps=1e5), account_queues=True
    )
    for number in range(THROTTLES_MOST + 3_000):
        outlet.put(1, "cust_a", f"account {number}")
    outlet.run(60)
    assert len(outlet.starts) == THROTTLES_MOST + 3_000
    throttles = (
        outlet.limiter._keeper._steering.binding.throttles.by_key
    )  # what it remembers shows nowhere else
    assert throttles is not None
    assert len(throttles) <= 2 * THROTTLES_MOST
    assert len(outlet.limiter.learned.accounts_told) <= ACCOUNTS_KEPT


def test_estimates_and_the_shown_pace_are_the_accounts_own() -> None:
    outlet = queued(ByAccount({"a": rps(10), "b": rps(0.5)}), "a", "b", "c", count=300).run(20)
    shown: Callable[[str], float] = lambda name: outlet.limiter.view().effective(CustomerId(name)).rps  # noqa: E731  # short
    assert (shown("cust_a"), shown("cust_b"), shown("cust_c")) == (10, 0.5, 2)
    assert outlet.limiter.view().effective(None).rps == pytest.approx(12.5)
    for account, rate in (("a", 10), ("b", 0.5), ("c", 2)):
        ticket = outlet.put(1, f"cust_{account}", account)[0]
        place = outlet.limiter.place(ticket.customer, ticket.order_key, ticket.job_id)
        waiting = outlet.limiter.waiting_of(ticket.customer)
        assert place is not None
        assert place.wait_s == pytest.approx(waiting / rate, rel=0.1)


def test_a_pace_that_the_operator_sets_is_that_of_all_together() -> None:
    outlet = queued(ByAccount(otherwise=rps(10)), "a", "b").run(20)
    outlet.limiter.forget_learned(but_queues=True)
    outlet.limiter.overrule(Overruling(pace=SetPace(rps=5.0)))
    outlet.run(30)
    assert sum(went(outlet, 25, 50).values()) == pytest.approx(5, rel=0.05)
    assert outlet.limiter.view().effective(None).rps == 5.0
