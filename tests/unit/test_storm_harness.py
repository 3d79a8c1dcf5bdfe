"""The harness of the storm: the same jobs for every arm, a target that counts, and what is required."""

import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from random import Random

import msgspec
import pytest
from tenacity import Future, RetryCallState, Retrying

from bench.storm.__main__ import written
from bench.storm.arms import ARMS, EZTHROTTLE
from bench.storm.celery_tasks import call
from bench.storm.figure import draw
from bench.storm.orders import Order, when_due
from bench.storm.outcome import Costs, Outcome, judged
from bench.storm.play import play
from bench.storm.report import failures, table, too_busy
from bench.storm.retrying_client import BACKOFF, RefusedError, RetryAfterWait
from bench.storm.scenarios import HICCUP_EVERY, Known, Scenario, outage, storm
from bench.storm.target import Asked, Door

STORM = storm(Known.STATED)
OUTAGE = outage(60.0)
OK, TOO_MANY, UNAVAILABLE = HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE
NOTHING = Costs(clients_cpu_s=2.0, service_cpu_s=1.0, late_ms=1.0, others_cores=0.0)


def outcome(
    requests: int, refusals: int, *, lost: int = 0, costs: Costs = NOTHING, scenario: Scenario = STORM
) -> Outcome:
    successes = [Asked(job, 0.5, 200, 100) for job in range(requests - refusals - lost)]
    refused = [Asked(job, 1.5, 429, 100) for job in range(refusals + lost)]
    jobs = len(successes) + lost
    fitting = msgspec.structs.replace(scenario, per_s=float(jobs), seconds=1.0)
    return judged(fitting, EZTHROTTLE, [*successes, *refused], costs)


# --- which jobs come when ---------------------------------------------------------------------------------


@pytest.mark.parametrize("clients", [1, 3, 4])
@pytest.mark.parametrize("scenario", [STORM, OUTAGE], ids=lambda scenario: scenario.name)
def test_the_same_jobs_come_at_the_same_moments_however_many_clients_share_them(
    scenario: Scenario, clients: int
) -> None:
    shared = sorted(job for client in range(clients) for job in scenario.share(client, clients))
    assert shared == [(number, scenario.due_s(number)) for number in range(scenario.jobs)]
    assert shared[-1][1] < scenario.seconds


def test_a_storm_is_more_than_its_target_lets_in_and_an_outage_begins_and_ends_among_its_jobs() -> None:
    assert STORM.per_s == 4 * STORM.limit
    assert STORM.soonest_s == pytest.approx(20.0)
    assert OUTAGE.per_s < OUTAGE.limit
    assert [OUTAGE.is_away(at_s) for at_s in (4.9, 5.0, 64.9, 65.0)] == [False, True, True, False]
    assert OUTAGE.due_s(OUTAGE.jobs - 1) > 65.0
    assert 65.0 + 6_500 / OUTAGE.limit == pytest.approx(OUTAGE.soonest_s)


def test_who_has_a_setting_has_the_limit_where_it_is_known_and_twice_that_where_it_is_not() -> None:
    assert STORM.setting == STORM.limit
    assert storm(Known.GUESSED).setting == 2 * storm(Known.GUESSED).limit


async def test_a_client_takes_every_job_once_in_order_and_none_before_its_time() -> None:
    order = Order("http://target", [(number, number / 100) for number in range(20)])
    began = time.monotonic()
    taken: list[int] = []
    async for numbers in when_due(order, began):
        assert time.monotonic() - began >= numbers[-1] / 100
        taken += numbers
    assert taken == list(range(20))


async def test_jobs_that_came_while_a_client_was_busy_are_taken_together() -> None:
    order = Order("http://target", [(number, number / 100) for number in range(20)])
    batches = [numbers async for numbers in when_due(order, time.monotonic() - 10.0)]
    assert batches == [list(range(20))]


# --- what the target does ---------------------------------------------------------------------------------


def test_no_second_lets_in_more_than_the_limit_and_what_is_forgiven() -> None:
    random, door = Random(3), Door(STORM)
    times = sorted(random.uniform(0, 10) for _ in range(5_000))
    let_in = [at for number, at in enumerate(times) if door.status(10_000 + number, at) is OK]
    for at in let_in:
        assert sum(at <= other < at + 1 for other in let_in) <= 103
    assert len(let_in) > 900


def test_past_thrice_its_limit_a_target_refuses_as_overloaded_and_lets_in_as_much_as_before() -> None:
    door = Door(STORM)
    seen = [door.status(1_000 * number, number / 1_000) for number in range(500)]
    assert seen.count(OK) == 103
    assert set(seen[103:300]) == {TOO_MANY}
    assert set(seen[300:]) == {UNAVAILABLE}


def test_one_job_in_five_hundred_is_refused_at_first_whoever_asks() -> None:
    door, hiccup = Door(STORM), HICCUP_EVERY // 2
    assert [door.status(hiccup, at) for at in (0.0, 1.0)] == [UNAVAILABLE, OK]
    assert door.status(hiccup + 1, 2.0) is OK
    assert sum(STORM.has_hiccup(number) for number in range(STORM.jobs)) == 4


def test_a_target_that_is_away_refuses_everything_and_states_nothing() -> None:
    door = Door(OUTAGE)
    assert [door.status(1, at) for at in (1.0, 5.0, 64.9, 65.1)] == [OK, UNAVAILABLE, UNAVAILABLE, OK]
    assert door.headers(UNAVAILABLE, 6.0) == ""
    assert "RateLimit-Policy" in door.headers(OK, 66.0)


def test_a_target_states_its_limit_and_when_to_come_back_or_nothing_at_all() -> None:
    stating, silent = Door(STORM), Door(storm(Known.GUESSED))
    assert "q=100;w=1" in stating.headers(OK, 0.0)
    assert "Retry-After" not in stating.headers(OK, 0.0)
    assert "Retry-After: 1\r\n" in stating.headers(TOO_MANY, 0.5)
    assert silent.headers(TOO_MANY, 0.5) == ""


# --- how clients wait -------------------------------------------------------------------------------------


def refused(retry_after_s: float, attempt: int = 3) -> RetryCallState:
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt
    state.outcome = Future(attempt)
    state.outcome.set_exception(RefusedError(retry_after_s))
    return state


@pytest.mark.parametrize(("wait", "least_s"), [(BACKOFF, 0.0), (RetryAfterWait(), 7.0)])
def test_a_client_backs_off_with_jitter_and_heeds_retry_after_where_it_is_to(
    wait: Callable[[RetryCallState], float], least_s: float
) -> None:
    waits = [wait(refused(7.0)) for _ in range(500)]
    assert least_s <= min(waits) < least_s + 1
    assert least_s + 3 < max(waits) <= least_s + 4
    assert max(BACKOFF(refused(0.0, attempt=50)) for _ in range(500)) <= 60


def test_no_client_gives_up() -> None:
    assert call.max_retries is None
    assert (call.retry_backoff, call.retry_jitter) == (True, True)


# --- what is counted --------------------------------------------------------------------------------------


def test_a_job_that_succeeded_twice_is_finished_once_and_one_that_never_did_is_lost() -> None:
    two = Scenario(name="two", what="", per_s=3.0, seconds=1.0, limit=9, known=Known.STATED, patience_s=1.0)
    log = [
        *(Asked(0, at_s, status, 100) for at_s, status in ((0.1, 429), (1.2, 200), (2.2, 200))),
        *(Asked(1, 0.3, 503, 50) for _ in range(7)),
        Asked(2, 3.0, 200, 100),
    ]
    found = judged(two, "any", log, NOTHING)
    assert (found.jobs, found.finished, found.lost) == (3, 2, 1)
    assert (found.requests, found.refusals, found.took_many_requests) == (11, 8, 1)
    assert (found.requests_per_job, found.refused_share) == (5.5, 8 / 11)
    assert (found.took_s, found.bytes_per_job) == (3.0, 375.0)
    assert (found.clients_ms_per_job, found.service_ms_per_job) == (1000.0, 500.0)
    assert (found.let_in, found.refused) == ([0, 1, 1, 1], [8, 0, 0, 0])


def test_where_nothing_finished_no_figure_looks_good() -> None:
    found = judged(STORM, "any", [], NOTHING)
    assert (found.lost, found.requests_per_job, found.took_s) == (2_000, float("inf"), float("inf"))
    assert len(list(failures(STORM, {EZTHROTTLE: [found]}))) == 2


@pytest.mark.parametrize(
    ("run", "failed"),
    [
        (outcome(1_000, 10), []),
        (outcome(1_000, 11), ["1.1%"]),
        (outcome(1_000, 200), ["1.25 requests", "20.0%"]),
        (outcome(1_000, 5, lost=1), ["1 jobs were lost"]),
    ],
)
def test_the_service_must_ask_little_be_refused_rarely_and_lose_nothing(
    run: Outcome, failed: list[str]
) -> None:
    found = list(failures(STORM, {EZTHROTTLE: [run]}))
    assert [part in line for part, line in zip(failed, found, strict=True)] == [True] * len(failed)


def test_the_median_of_the_runs_is_judged_and_other_arms_are_not() -> None:
    good, bad = outcome(1_000, 5), outcome(1_000, 500)
    assert not list(failures(STORM, {EZTHROTTLE: [good, bad, good], "tenacity": [bad]}))
    assert len(list(failures(STORM, {EZTHROTTLE: [good, bad, bad]}))) == 2
    assert not list(failures(storm(Known.GUESSED), {EZTHROTTLE: [bad]})), "nobody could know that limit"
    assert not list(failures(OUTAGE, {EZTHROTTLE: [bad]})), "refused while it was away"
    assert len(list(failures(OUTAGE, {EZTHROTTLE: [outcome(1_000, 5, lost=3)]}))) == 1


def test_a_late_target_is_no_judge() -> None:
    late = outcome(1_000, 5, costs=msgspec.structs.replace(NOTHING, late_ms=80.0))
    assert [*too_busy({"tenacity": [outcome(1_000, 5), late]})] == [
        "storm, tenacity: the target was 80 ms late: too busy to judge"
    ]
    assert not list(too_busy({"tenacity": [outcome(1_000, 5)]}))


# --- what is shown, and all of it together ----------------------------------------------------------------


def test_the_table_the_file_and_the_picture_hold_every_arm(tmp_path: Path) -> None:
    runs = {arm: [outcome(1_000, 5), outcome(1_000, 15), outcome(1_000, 25)] for arm in ARMS}
    lines = table(STORM, runs).splitlines()
    assert len({line.count("|") for line in lines[2:]}) == 1
    assert lines[4].startswith("| EZThrottle | 1.02 (1.01 to 1.03) | 1.5 (0.5 to 2.5) |")
    assert len(lines) == 4 + len(ARMS)
    assert len(msgspec.json.decode(written({STORM: runs}))["runs"]) == 3 * len(ARMS)
    draw({STORM: runs, OUTAGE: runs}, tmp_path / "storm.png")
    assert (tmp_path / "storm.png").read_bytes().startswith(b"\x89PNG")


async def test_a_play_counts_what_real_clients_asked_a_real_target() -> None:
    few = Scenario(
        name="few", what="", per_s=600.0, seconds=0.5, limit=400, known=Known.STATED, patience_s=60.0
    )
    found = await play(few, ARMS["tenacity + Retry-After"])
    assert (found.jobs, found.lost) == (300, 0)
    assert found.refusals == 1, "the one job in five hundred"
    assert found.requests == 301
    assert found.costs.clients_cpu_s > 0
    assert sum(found.let_in) == 300
