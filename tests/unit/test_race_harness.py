"""The harness of the races: equal draws for all, what counts as a loser, a page that needs nothing else."""

import json
import math
import re
from random import Random

import pytest

from bench.figures import percentile
from bench.race.arms import ARMS, ORACLE, Arm
from bench.race.outcome import Leg, Outcome, interval, losers, replayed
from bench.race.report import oracle_row, page, row, table
from bench.race.target import Asked
from bench.race.workloads import REGIONS, WORKLOADS, Workload
from orchestrator.adapters.http.submissions import read_submission
from orchestrator.domain.ids import RegionName

JOBS = 2_000
ALL = pytest.mark.parametrize("workload", WORKLOADS.values(), ids=lambda workload: workload.name)


def asked(region: str, at: float, due: float, *, answered: bool = True, closed: float | None = None) -> Asked:
    return Asked(1, region, at, due, 200, due if answered else None, closed)


def outcome(arm: str, times: list[float]) -> Outcome:
    leg = Leg(region="iad", at_ms=0, ended_ms=5, status=200)
    return Outcome(
        arm=arm,
        service_ms=times,
        whole_ms=[time + 1 for time in times],
        oracle_ms=[time / 2 for time in times],
        close_ms=[2.0],
        requests=len(times) * 2,
        losers_due_late=4,
        losers_closed_in_time=3,
        cpu_ms_per_job=1.0,
        begun_late_p99_ms=0.1,
        replay=[[leg]],
    )


@ALL
def test_a_leg_draws_the_same_whatever_way_its_job_is_run_in(workload: Workload) -> None:
    drawn = [workload.drawn(7, job, JOBS, region) for job in range(50) for region in REGIONS]
    assert drawn == [workload.drawn(7, job, JOBS, region) for job in range(50) for region in REGIONS]
    assert drawn != [workload.drawn(8, job, JOBS, region) for job in range(50) for region in REGIONS] or (
        workload.name == "constant"
    )


@ALL
def test_the_oracle_is_no_slower_than_any_region(workload: Workload) -> None:
    for job in range(200):
        oracle_s = workload.oracle_s(7, job, JOBS)
        legs = [workload.drawn(7, job, JOBS, region) for region in REGIONS]
        assert oracle_s == min(leg.after_s for leg in legs if leg.status == 200)


def test_the_workloads_are_what_they_say() -> None:
    def p(name: str, share: float, region: str = "lax") -> float:
        return percentile([WORKLOADS[name].drawn(1, job, JOBS, region).after_s for job in range(JOBS)], share)

    assert p("constant", 0.99) == pytest.approx(0.02)
    assert p("heavy-tail", 0.97) == pytest.approx(0.02)
    assert p("heavy-tail", 0.995) == pytest.approx(1.0)
    assert 0.004 < p("stragglers", 0.5) < 0.006
    assert p("stragglers", 0.99) > 0.04
    assert p("degraded", 0.5, "iad") > 5 * p("degraded", 0.5)
    fails = [WORKLOADS["erroring"].drawn(1, job, JOBS, "iad").status == 500 for job in range(JOBS)]
    assert 0.25 < sum(fails) / JOBS < 0.35
    drifting = WORKLOADS["drifting"]
    assert (
        drifting.drawn(1, JOBS - 1, JOBS, "iad").after_s
        > 5 * drifting.drawn(1, JOBS - 1, 10**9, "iad").after_s
    )


@pytest.mark.parametrize("arm", ARMS.values(), ids=lambda arm: arm.name)
def test_every_arm_is_a_submission_without_a_fault(arm: Arm) -> None:
    job = json.loads(json.dumps({"url": "http://127.0.0.1/", **arm.fields(5)}))
    reading = read_submission(job, RegionName("iad"))
    assert (reading.errors, reading.ignored) == ([], [])


def test_a_loser_went_on_when_the_winner_was_answered() -> None:
    winner = asked("iad", 0.0, 1.0)
    closed = asked("lax", 0.1, 3.0, answered=False, closed=1.004)
    answered_late = asked("ord", 0.2, 1.5)
    failed_before = Asked(1, "fra", 0.0, 0.5, 500, 0.5)
    won_at, found = losers([winner, closed, answered_late, failed_before])
    assert won_at == 1.0
    assert found == [closed, answered_late]
    assert losers([failed_before]) == (math.inf, [])


def test_a_replay_begins_with_the_first_request_and_shows_who_was_closed() -> None:
    legs = replayed([asked("iad", 5.0, 5.02), asked("lax", 5.01, 6.0, answered=False, closed=5.021)])
    assert [(leg.region, round(leg.at_ms), round(leg.ended_ms), leg.status) for leg in legs] == [
        ("iad", 0, 20, 200),
        ("lax", 10, 21, None),
    ]


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_confidence_interval_holds_what_it_estimates_nineteen_times_of_twenty(share: float) -> None:
    random = Random(1)
    within = 0
    for _ in range(300):
        found = interval([random.random() for _ in range(500)], share)
        within += found.least <= share <= found.most
    assert 0.9 <= within / 300 <= 0.99


def test_a_page_needs_nothing_beside_itself_and_holds_every_row() -> None:
    rows = [
        row("usual", [outcome("race of 3", [3.0, 4.0, 5.0])]),
        oracle_row("usual", outcome("single", [3.0] * 9)),
    ]
    shown = page(rows, "made </script> so")
    assert not re.search(r"(src|href)=|https?://(?!www\.w3\.org/2000/svg)", shown)
    data = json.loads(shown.split('id="data">')[1].split("</script>")[0])
    assert [each["arm"] for each in data["rows"]] == ["race of 3", ORACLE]
    assert data["made_with"] == "made </script> so"


def test_a_table_has_a_line_for_each_arm() -> None:
    lines = table([row("usual", [outcome("race of 3", [3.0, 4.0, 5.0]) for _ in range(3)])]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "race of 3" in lines[2]
    assert "100.0 (100.0 to 100.0)" in lines[2], "extra requests"
    assert "| 75.0 |" in lines[2], "losers closed in time"
