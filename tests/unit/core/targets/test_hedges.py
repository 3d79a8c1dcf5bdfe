"""Further legs of hedges: when, how many, and for whom."""

import asyncio
from collections import Counter

from orchestrator.core.targets.target_health import TRIED_EVERY
from orchestrator.domain.execution.run import LegState
from orchestrator.domain.health.answer_times import ENOUGH
from orchestrator.domain.health.hedging import TOKENS_MOST
from orchestrator.domain.health.latency import Latency
from orchestrator.domain.ids import target_domain
from orchestrator.domain.jobs.job import HedgePolicy, RetryPolicy
from orchestrator.domain.jobs.policies import ExecutionMode
from orchestrator.domain.pace.pacing import Pace
from tests.support.rig import IAD, LAX, ORD, URL, Reply, Rig, in_virtual_time

HEDGE = ExecutionMode.HEDGE
BOTH = (IAD, LAX)
QUICK_S = 0.02
TARGET = target_domain(URL)
NO_REPEATS = RetryPolicy(max_retries=0, max_reroutes=0)
BUSY = Pace(1_000.0, 1_000)


async def hedged(rig: Rig, customer: str = "cust_acme", **fields: object) -> int:
    """Run a hedge to its end and return how many requests were sent for it."""
    stored = await rig.run(customer=customer, regions=BOTH, execution_mode=HEDGE, **fields)
    return len(rig.seen(stored.job.id))


async def learn(rig: Rig, slow_s: float = 0.2, slow: int = 2) -> None:
    """Let a target answer quickly, but for ``slow`` in forty."""
    for number in range(40):
        took_s = slow_s if number < slow else QUICK_S
        rig.answer = lambda call, took_s=took_s: Reply(after_s=took_s)
        await rig.run(regions=(IAD,), execution_mode=HEDGE)


def slow_first(after_s: float, rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=after_s if call.region == IAD else QUICK_S)


@in_virtual_time(BUSY)
async def test_what_is_late_is_the_jobs_own_quantile(rig: Rig) -> None:
    await learn(rig, slow=8)
    slow_first(0.1, rig)
    assert await hedged(rig, hedge=HedgePolicy(quantile=0.7)) == 2
    assert await hedged(rig, hedge=HedgePolicy(quantile=0.95)) == 1


@in_virtual_time(BUSY)
async def test_a_target_that_answers_in_milliseconds_is_hedged_within_milliseconds(rig: Rig) -> None:
    await learn(rig, slow=0)
    slow_first(20.0, rig)
    begun = rig.loop.time()
    assert await hedged(rig) == 2
    assert rig.loop.time() - begun < 4 * QUICK_S


@in_virtual_time(BUSY)
async def test_a_job_whose_budget_is_nothing_has_one_leg(rig: Rig) -> None:
    slow_first(5.0, rig)
    assert await hedged(rig, hedge=HedgePolicy(budget=0.0)) == 1


@in_virtual_time(BUSY)
async def test_a_target_that_falls_silent_gets_few_further_legs(rig: Rig) -> None:
    await learn(rig)
    rig.answer = lambda call: Reply(after_s=3_600.0)
    jobs = [await rig.submit(regions=BOTH, execution_mode=HEDGE, timeout_ms=60_000) for _ in range(100)]
    await asyncio.sleep(10)
    assert sum(len(rig.seen(job)) for job in jobs) - len(jobs) <= TOKENS_MOST


@in_virtual_time(BUSY)
async def test_a_target_that_refuses_earns_no_further_legs(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=3_600.0)
    for _ in range(int(TOKENS_MOST)):
        await rig.submit(regions=BOTH, execution_mode=HEDGE, timeout_ms=600_000)
    await asyncio.sleep(5)
    rig.answer = lambda call: Reply(status=429)
    await hedged(rig, hedge=HedgePolicy(budget=1.0), retry_policy=NO_REPEATS)
    slow_first(5.0, rig)
    assert await hedged(rig) == 1


@in_virtual_time(BUSY)
async def test_one_customer_does_not_spend_anothers_budget(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=3_600.0)
    for _ in range(20):
        await rig.submit(customer="cust_a", regions=BOTH, execution_mode=HEDGE, timeout_ms=600_000)
    await asyncio.sleep(5)
    slow_first(5.0, rig)
    assert await hedged(rig, "cust_a") == 1
    assert await hedged(rig, "cust_b") == 2


@in_virtual_time(BUSY)
async def test_answers_earn_further_legs_again(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=3_600.0)
    for _ in range(20):
        await rig.submit(regions=BOTH, execution_mode=HEDGE, timeout_ms=600_000)
    await asyncio.sleep(5)
    await learn(rig, slow=0)
    slow_first(5.0, rig)
    assert await hedged(rig) == 2


@in_virtual_time(BUSY)
async def test_late_answers_that_are_given_up_are_learned_as_late(rig: Rig) -> None:
    await learn(rig)
    slow_first(2.0, rig)
    # As many more are quick as keep one in ten late: what is late must not creep towards the quick ones.
    for number in range(100):
        rig.answer = lambda call, slow=number % 10 == 0: Reply(
            after_s=2.0 if slow and call.region == IAD else QUICK_S
        )
        await hedged(rig)
    late_s = rig.shard.targets.routes.target_health.view(TARGET)[IAD].late_after_s
    assert late_s is not None
    assert late_s > 2 * QUICK_S


@in_virtual_time(BUSY)
async def test_a_hedge_whose_other_regions_are_down_waits_for_its_first(rig: Rig) -> None:
    await learn(rig)
    rig.alive -= {LAX, ORD}
    await asyncio.sleep(5)
    slow_first(1.0, rig)
    job_id = await rig.submit(regions=BOTH, execution_mode=HEDGE)
    stored = await rig.ended(job_id)
    assert [leg.state for leg in stored.course.runs[0].legs] == [LegState.WON]


@in_virtual_time(BUSY)
async def test_jobs_that_are_no_hedges_keep_no_quantiles(rig: Rig) -> None:
    for _ in range(ENOUGH):
        await rig.run(regions=(IAD,))
    health = rig.shard.targets.routes.target_health
    assert all(route.times is None for route in health._routes[TARGET].values())


async def begun_in(rig: Rig, jobs: int) -> Counter[str]:
    """Run so many hedges one after the other, and count where they began."""
    begun: Counter[str] = Counter()
    for _ in range(jobs):
        stored = await rig.run(regions=BOTH, execution_mode=HEDGE, hedge=HedgePolicy(budget=1.0))
        begun[rig.seen(stored.job.id)[0]] += 1
    return begun


async def learn_both(rig: Rig, slow_s: float) -> None:
    rig.answer = lambda call: Reply(after_s=slow_s if call.region == IAD else QUICK_S)
    for region in (IAD, LAX):
        for _ in range(ENOUGH):
            await rig.run(regions=(region,))


@in_virtual_time(BUSY)
async def test_a_hedge_begins_in_its_first_region_while_none_is_much_quicker(rig: Rig) -> None:
    await learn_both(rig, slow_s=1.3 * QUICK_S)
    assert await begun_in(rig, 20) == {IAD: 20}


@in_virtual_time(BUSY)
async def test_a_hedge_begins_where_its_target_answers_much_sooner_and_tries_the_slow_region_now_and_then(
    rig: Rig,
) -> None:
    await learn_both(rig, slow_s=10 * QUICK_S)
    assert await begun_in(rig, TRIED_EVERY) == {LAX: TRIED_EVERY - 1, IAD: 1}


@in_virtual_time(BUSY)
async def test_a_trial_in_a_slow_region_is_late_by_the_quicker_ones_answers(rig: Rig) -> None:
    await learn_both(rig, slow_s=10 * QUICK_S)
    await begun_in(rig, TRIED_EVERY - 1)
    begun = rig.loop.time()
    assert await begun_in(rig, 1) == {IAD: 1}
    assert rig.loop.time() - begun < 5 * QUICK_S


@in_virtual_time(BUSY)
async def test_a_slow_region_that_is_quick_again_is_begun_in_again(rig: Rig) -> None:
    await learn_both(rig, slow_s=2 * QUICK_S)
    assert await begun_in(rig, 10) == {LAX: 10}
    rig.answer = lambda call: Reply(after_s=QUICK_S)
    await begun_in(rig, 20 * TRIED_EVERY)
    assert await begun_in(rig, 10) == {IAD: 10}


@in_virtual_time(BUSY)
async def test_a_race_goes_everywhere_however_slow_a_region_is(rig: Rig) -> None:
    await learn_both(rig, slow_s=10 * QUICK_S)
    stored = await rig.run(regions=BOTH)
    assert sorted(rig.seen(stored.job.id)) == sorted(BOTH)


@in_virtual_time(BUSY)
async def test_a_leg_that_is_repeated_stays_in_its_region_however_slow_that_is(rig: Rig) -> None:
    await learn_both(rig, slow_s=1.3 * QUICK_S)
    statuses = iter([503])
    rig.answer = lambda call: Reply(status=next(statuses, 200), after_s=QUICK_S)
    job_id = await rig.submit(regions=BOTH, execution_mode=HEDGE, hedge=HedgePolicy(budget=0.0))
    await asyncio.sleep(2 * QUICK_S)
    rig.shard.targets.routes.target_health._routes[TARGET][IAD].latency = Latency(1.0, 0.1, ENOUGH, 1.0)
    await rig.ended(job_id)
    assert rig.seen(job_id) == [IAD, IAD]
