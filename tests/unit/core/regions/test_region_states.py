"""Modes, policies and what becomes of the regions that a job lists: every combination, in the real core."""

import asyncio
import json
from enum import StrEnum
from itertools import product
from random import Random

import pytest

from orchestrator.domain.exchange import Fault
from orchestrator.domain.health.breaker import FAILURES_IN_A_ROW, Cause
from orchestrator.domain.health.routing import DOWN_AFTER_S, STRICT_DOWN_S, SUSPECT_AFTER_S
from orchestrator.domain.ids import JobId, RegionName, target_domain
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import ExecutionMode, RegionPolicy
from orchestrator.ports.store import StoredJob
from tests.support.rig import FAST, IAD, LAX, ORD, URL, Rig, Story
from tests.support.virtual_loop import VirtualLoop

DOMAIN = target_domain(URL)
REMOVED = (RegionName("ams"), RegionName("fra"))
"""Regions that an earlier life of the service knew."""
SOON_S = 1.0
GIVES_UP_S = DOWN_AFTER_S + STRICT_DOWN_S + 2.0


class Region(StrEnum):
    """What a job's region is like when the job is submitted."""

    UP = "up"
    SHUT = "its breaker is open"
    SUSPECT = "suspect"
    DOWN = "down"
    UNKNOWN = "not known any more"


PAIRS = list(product(Region, Region))
SILENT = (Region.SUSPECT, Region.DOWN, Region.UNKNOWN)


def in_a_rig(story: Story) -> None:
    loop = VirtualLoop(Random(1))
    rig = Rig(loop, FAST)

    async def play() -> None:
        await rig.begin()
        await story(rig)
        await rig.shard.stop()

    loop.run(play())


async def made(rig: Rig, *states: Region) -> list[RegionName]:
    """Bring the first regions into these states; name them."""
    regions = [
        REMOVED[place] if state is Region.UNKNOWN else real
        for place, (state, real) in enumerate(zip(states, (IAD, LAX), strict=True))
    ]
    # Where a region is not known any more, its place has no other that could stand in.
    gone = (Region.DOWN, Region.UNKNOWN)
    await fall_silent(rig, *(r for r, s in zip((IAD, LAX), states, strict=True) if s in gone))
    await asyncio.sleep(DOWN_AFTER_S + 1.0)
    await fall_silent(rig, *(r for r, s in zip(regions, states, strict=True) if s is Region.SUSPECT))
    await asyncio.sleep(SUSPECT_AFTER_S + 0.6)
    for region, state in zip(regions, states, strict=True):
        if state is Region.SHUT:
            shut(rig, region)
    return regions


async def fall_silent(rig: Rig, *regions: RegionName) -> None:
    rig.alive -= set(regions)


def shut(rig: Rig, region: RegionName) -> None:
    broken = Cause(None, Fault.CONNECT)
    for number in range(2 * FAILURES_IN_A_ROW):
        now = rig.clock.now()
        job = JobId(f"job_1_{number:06d}")
        rig.shard.targets.routes.target_health.ended(DOMAIN, region, job, broken, sent_at=now, took_s=None)
    assert rig.shard.targets.routes.shut_from(DOMAIN, [region], [region]) == broken


async def submitted(rig: Rig, mode: ExecutionMode, policy: RegionPolicy, regions: list[RegionName]) -> JobId:
    return await rig.submit(regions=tuple(regions), execution_mode=mode, region_policy=policy)


def responses(stored: StoredJob) -> dict[str, str]:
    """Where each region's leg of a fan-out ran."""
    document = json.loads(stored.result or b"{}")
    return {asked: found["ran_in"] for asked, found in document["responses"].items()}


MODES = pytest.mark.parametrize("mode", list(ExecutionMode), ids=str)
ONE_WINS = pytest.mark.parametrize("mode", [ExecutionMode.RACE, ExecutionMode.HEDGE], ids=str)
STATES = pytest.mark.parametrize(("first", "second"), PAIRS, ids=[f"{a}, {b}" for a, b in PAIRS])


@STATES
@ONE_WINS
def test_a_strict_job_goes_to_the_first_of_its_regions_that_takes_it_and_fails_when_none_is_left(
    mode: ExecutionMode, first: Region, second: Region
) -> None:
    async def story(rig: Rig) -> None:
        regions = await made(rig, first, second)
        job_id, begun = await submitted(rig, mode, RegionPolicy.STRICT, regions), rig.loop.time()
        stored = await rig.ended(job_id)
        took_s, states = rig.loop.time() - begun, [first, second]
        if Region.UP in states:
            assert (stored.state, took_s < SOON_S) == (JobState.SUCCESS, True)
            assert rig.seen(job_id)[0] == regions[states.index(Region.UP)]
        elif Region.SHUT in states:
            assert stored.state is JobState.SUCCESS
            assert set(rig.seen(job_id)) <= {
                r for r, s in zip(regions, states, strict=True) if s is Region.SHUT
            }
        else:
            assert stored.state is JobState.FAILED
            assert json.loads(stored.result or b"")["error"]["code"] == "regions_down"
            assert took_s < GIVES_UP_S
            assert rig.seen(job_id) == []

    in_a_rig(story)


@STATES
def test_every_leg_of_a_strict_fanout_that_can_run_does_in_its_own_region(
    first: Region, second: Region
) -> None:
    async def story(rig: Rig) -> None:
        regions = await made(rig, first, second)
        job_id = await submitted(rig, ExecutionMode.FANOUT, RegionPolicy.STRICT, regions)
        stored = await rig.ended(job_id)
        can_run = {r for r, s in zip(regions, [first, second], strict=True) if s not in SILENT}
        assert stored.state is (JobState.SUCCESS if can_run else JobState.FAILED)
        assert responses(stored) == {region: region for region in can_run}

    in_a_rig(story)


@STATES
@MODES
def test_a_fallback_job_ends_at_once_wherever_its_regions_are(
    mode: ExecutionMode, first: Region, second: Region
) -> None:
    async def story(rig: Rig) -> None:
        regions = await made(rig, first, second)
        job_id, begun = await submitted(rig, mode, RegionPolicy.FALLBACK, regions), rig.loop.time()
        stored = await rig.ended(job_id)
        assert (stored.state, rig.loop.time() - begun < SOON_S) == (JobState.SUCCESS, True)
        well = {r for r, s in zip(regions, [first, second], strict=True) if s is Region.UP} | {ORD}
        assert set(rig.seen(job_id)) <= well
        if mode is ExecutionMode.FANOUT:
            assert set(responses(stored)) == set(regions)
            assert set(responses(stored).values()) <= well

    in_a_rig(story)


COMING_BACK = [
    (first, second, back)
    for (first, second), back in product(PAIRS, (0, 1))
    if {first, second} <= set(SILENT) and (first, second)[back] is not Region.UNKNOWN
]


@pytest.mark.parametrize(("first", "second", "back"), COMING_BACK)
@MODES
@pytest.mark.parametrize("policy", list(RegionPolicy), ids=str)
def test_a_region_that_comes_back_takes_the_job_at_once(
    mode: ExecutionMode, policy: RegionPolicy, first: Region, second: Region, back: int
) -> None:
    async def story(rig: Rig) -> None:
        await fall_silent(rig, ORD)
        regions = await made(rig, first, second)
        job_id = await submitted(rig, mode, policy, regions)
        await asyncio.sleep(5.0)
        assert rig.seen(job_id) == []
        rig.alive.add(regions[back])
        await asyncio.sleep(SOON_S)
        assert rig.seen(job_id)[:1] == [regions[back]]
        stored = await rig.ended(job_id)
        assert stored.state is JobState.SUCCESS

    in_a_rig(story)


@pytest.mark.parametrize("second", [state for state in Region if state is not Region.UP], ids=str)
@ONE_WINS
def test_a_strict_job_whose_region_dies_under_it_goes_on_in_the_other(
    mode: ExecutionMode, second: Region
) -> None:
    async def story(rig: Rig) -> None:
        regions = await made(rig, Region.UP, second)
        rig.connects_in_s[regions[0]] = 60.0
        job_id = await submitted(rig, mode, RegionPolicy.STRICT, regions)
        await asyncio.sleep(0.1)
        if second in (Region.SUSPECT, Region.DOWN):
            rig.alive.add(regions[1])
        await fall_silent(rig, regions[0])
        stored = await rig.ended(job_id)
        wins = second is not Region.UNKNOWN
        assert stored.state is (JobState.SUCCESS if wins else JobState.FAILED)
        assert rig.seen(job_id) == ([regions[1]] if wins else [])

    in_a_rig(story)
