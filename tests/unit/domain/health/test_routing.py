import pytest

from orchestrator.domain.health.routing import RegionHealth, health, place, reroute_target
from orchestrator.domain.ids import RegionName
from orchestrator.domain.jobs.policies import RegionPolicy
from tests.unit.domain.builders import IAD, LAX, ORD

FALLBACK, STRICT = RegionPolicy.FALLBACK, RegionPolicy.STRICT


@pytest.mark.parametrize(
    ("silent_s", "verdict"),
    [
        (0.0, RegionHealth.UP),
        (1.49, RegionHealth.UP),
        (1.5, RegionHealth.SUSPECT),
        (2.99, RegionHealth.SUSPECT),
        (3.0, RegionHealth.DOWN),
        (float("inf"), RegionHealth.DOWN),
    ],
)
def test_a_region_is_judged_by_its_silence(silent_s: float, verdict: RegionHealth) -> None:
    assert health(silent_s) is verdict


def test_a_judge_that_stalled_blames_nobody_for_its_own_stall() -> None:
    assert health(10.0, own_stall_s=9.0) is RegionHealth.UP
    assert health(11.0, own_stall_s=9.0) is RegionHealth.SUSPECT
    assert health(12.0, own_stall_s=9.0) is RegionHealth.DOWN


def placed(policy: RegionPolicy, up: set[RegionName], busy: set[RegionName]) -> RegionName | None:
    return place(IAD, listed=(IAD, ORD), policy=policy, up=up, busy=busy)


@pytest.mark.parametrize("policy", RegionPolicy)
def test_a_leg_runs_where_it_wants_to_while_that_region_is_up(policy: RegionPolicy) -> None:
    assert placed(policy, {IAD, LAX}, {IAD}) is IAD


def test_a_strict_leg_waits_for_its_region() -> None:
    assert placed(STRICT, {LAX, ORD}, set()) is None


def test_a_fallback_leg_prefers_the_jobs_own_regions() -> None:
    assert placed(FALLBACK, {LAX, ORD}, set()) is ORD


def test_a_fallback_leg_avoids_regions_where_the_job_has_a_leg() -> None:
    assert placed(FALLBACK, {LAX, ORD}, {ORD}) is LAX


def test_a_fallback_leg_takes_a_busy_region_rather_than_none() -> None:
    assert placed(FALLBACK, {ORD}, {ORD}) is ORD


def test_with_no_region_up_a_leg_waits() -> None:
    assert placed(FALLBACK, set(), set()) is None


def rerouted(policy: RegionPolicy, up: tuple[RegionName, ...], used: set[RegionName]) -> RegionName | None:
    return reroute_target(listed=(IAD, ORD), policy=policy, up=up, used=used)


def test_a_reroute_goes_to_a_listed_region_first() -> None:
    assert rerouted(FALLBACK, (LAX, ORD), {IAD}) is ORD


def test_a_fallback_reroute_may_leave_the_list() -> None:
    assert rerouted(FALLBACK, (IAD, LAX, ORD), {IAD, ORD}) is LAX


def test_a_strict_reroute_never_leaves_the_list() -> None:
    assert rerouted(STRICT, (IAD, LAX, ORD), {IAD, ORD}) is None


def test_a_reroute_enters_no_region_that_is_down() -> None:
    assert rerouted(FALLBACK, (IAD, LAX), {IAD}) is LAX
    assert rerouted(STRICT, (IAD, LAX), {IAD}) is None


def test_a_reroute_enters_no_region_that_was_used() -> None:
    assert rerouted(FALLBACK, (IAD, LAX, ORD), {IAD, LAX, ORD}) is None


def preferred(
    up: tuple[RegionName, ...],
    *,
    ill: frozenset[RegionName] = frozenset(),
    doubted: frozenset[RegionName] = frozenset(),
) -> RegionName | None:
    return place(IAD, listed=(IAD, ORD), policy=FALLBACK, up=up, busy=(), ill=ill, doubted=doubted)


def test_a_substitute_is_a_healthy_region_before_one_that_is_only_being_tried() -> None:
    assert preferred((ORD, LAX), ill=frozenset({ORD})) is LAX
    assert preferred((ORD,), ill=frozenset({ORD})) is ORD


def test_of_equal_substitutes_the_fastest_is_taken() -> None:
    assert place(IAD, listed=(IAD,), policy=FALLBACK, up=(ORD, LAX), busy=()) is ORD
    assert place(IAD, listed=(IAD,), policy=FALLBACK, up=(LAX, ORD), busy=()) is LAX


def test_a_leg_tries_its_own_region_while_that_is_being_tried_again() -> None:
    assert preferred((LAX, IAD), ill=frozenset({IAD})) is IAD


def test_a_leg_leaves_a_doubted_region_if_there_is_a_better_one() -> None:
    assert preferred((IAD, LAX), doubted=frozenset({IAD})) is LAX
    assert preferred((IAD, LAX), ill=frozenset({LAX}), doubted=frozenset({IAD})) is IAD
    assert preferred((IAD, LAX), doubted=frozenset({IAD, LAX})) is IAD


def test_a_strict_leg_stays_in_a_doubted_region() -> None:
    assert place(IAD, listed=(IAD,), policy=STRICT, up=(LAX, IAD), busy=(), doubted={IAD}) is IAD


def test_of_the_regions_for_a_reroute_the_fastest_is_taken() -> None:
    assert rerouted(FALLBACK, (LAX, IAD), {ORD}) is IAD
    assert reroute_target(listed=(IAD,), policy=FALLBACK, up=(ORD, LAX), used={IAD}) is ORD
