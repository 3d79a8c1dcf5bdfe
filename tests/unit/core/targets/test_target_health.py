"""Breakers, retry budgets and the choice of regions, in the real core."""

import asyncio

from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.domain.exchange import Fault
from orchestrator.domain.health.breaker import FAILURES_IN_A_ROW, PROBE_MOST_S, BreakerState, Cause
from orchestrator.domain.health.outlier_detection import TARGETS_TO_DOUBT
from orchestrator.domain.health.retry_budget import TOKENS_MOST
from orchestrator.domain.health.routing import RegionHealth
from orchestrator.domain.ids import JobId, RegionName, target_domain
from orchestrator.domain.jobs.job import Fallback, JobSpec, RetryPolicy, Trigger, TriggerKind
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import RegionPolicy
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.ticket import Ticket
from tests.support.rig import IAD, LAX, ORD, URL, Answer, Call, Reply, Rig, in_virtual_time

DOMAIN = target_domain(URL)
ALL = (IAD, LAX, ORD)
STRICT = RegionPolicy.STRICT
OTHER = JobSpec(url="https://other.example.com/", regions=(IAD,), metadata={})


def breakers(rig: Rig) -> dict[RegionName, BreakerState]:
    shown = rig.shard.targets.routes.target_health.view(DOMAIN)
    return {region: route.breaker for region, route in shown.items()}


def fails_in(*regions: RegionName, status: int = 500, fault: Fault | None = None) -> Answer:
    def answer(call: Call) -> Reply:
        broken = call.region in regions and target_domain(call.url) == DOMAIN
        return Reply(status=status, fault=fault) if broken else Reply()

    return answer


async def flood(rig: Rig, jobs: int, *, every_s: float = 0.01, **fields: object) -> list[JobId]:
    ids = []
    for _ in range(jobs):
        ids.append(await rig.submit(**fields))
        await asyncio.sleep(every_s)
    return ids


async def break_down(rig: Rig, *regions: RegionName, status: int = 500) -> list[JobId]:
    """Let the target fail, as seen from these regions, until the breakers there are open."""
    rig.answer = fails_in(*regions, status=status)
    return await flood(rig, 6 * FAILURES_IN_A_ROW, regions=regions[:1])


async def all_end(rig: Rig, ids: list[JobId], state: JobState = JobState.SUCCESS) -> None:
    for job_id in ids:
        assert (await rig.ended(job_id)).state is state


@in_virtual_time()
async def test_a_target_that_fails_in_one_region_is_called_from_another(rig: Rig) -> None:
    ids = await break_down(rig, IAD)
    assert breakers(rig)[IAD] is BreakerState.OPEN
    await all_end(rig, ids)
    job_id = await rig.submit()
    await rig.ended(job_id)
    assert IAD not in rig.seen(job_id)


@in_virtual_time()
async def test_an_outage_is_waited_out_and_spends_nothing(rig: Rig) -> None:
    ids = await break_down(rig, *ALL)
    await asyncio.sleep(600)
    assert set(breakers(rig).values()) <= {BreakerState.OPEN, BreakerState.HALF_OPEN}
    rig.answer = fails_in()
    await all_end(rig, ids)
    assert set(breakers(rig).values()) == {BreakerState.CLOSED}


@in_virtual_time()
async def test_while_every_way_is_shut_only_probes_go(rig: Rig) -> None:
    await break_down(rig, *ALL)
    begun, before = rig.loop.time(), len(rig.calls)
    await flood(rig, 1_000, every_s=0.1)
    probes = len(rig.calls) - before
    assert 0 < probes <= 3 * (rig.loop.time() - begun) / PROBE_MOST_S + 10


@in_virtual_time()
async def test_waiting_jobs_are_index_entries_and_no_supervisors(rig: Rig) -> None:
    await break_down(rig, *ALL)
    before = len(rig.shard.jobs.table)
    await flood(rig, 500)
    assert len(rig.shard.jobs.table) <= before + 10


async def connect_while_it_opens(rig: Rig, **fields: object) -> list[JobId]:
    """Let attempts be ready at their executor in IAD when the breaker there opens."""
    rig.connects_in_s = {IAD: 3.0}
    rig.answer = fails_in(IAD)
    ids = await flood(rig, 30, every_s=0.0, url=f"{URL}slow", **fields)
    await asyncio.sleep(0.5)
    rig.connects_in_s.clear()
    await flood(rig, 20, every_s=0.1, region_policy=STRICT, retry_policy=RetryPolicy(max_retries=0))
    assert breakers(rig)[IAD] is not BreakerState.CLOSED
    return ids


@in_virtual_time(Pace(100.0, 100))
async def test_attempts_that_are_ready_at_their_executor_pass_no_open_breaker(rig: Rig) -> None:
    ids = await connect_while_it_opens(rig, region_policy=STRICT)
    await asyncio.sleep(2)
    assert sum(rig.seen(job_id) != [] for job_id in ids) <= 3
    rig.answer = fails_in()
    await all_end(rig, ids)
    assert {region for job_id in ids for region in rig.seen(job_id)} == {IAD}


@in_virtual_time(Pace(100.0, 100))
async def test_attempts_that_are_ready_when_the_breaker_opens_go_on_from_another_region(rig: Rig) -> None:
    ids = await connect_while_it_opens(rig)
    await all_end(rig, ids)
    assert rig.loop.time() < 10
    assert sum(IAD in rig.seen(job_id) for job_id in ids) <= 3


@in_virtual_time()
async def test_strict_jobs_wait_behind_their_regions_breaker_as_index_entries(rig: Rig) -> None:
    await break_down(rig, IAD)
    before = len(rig.shard.jobs.table)
    ids = await flood(rig, 200, region_policy=STRICT)
    assert len(rig.shard.jobs.table) <= before + 10
    assert len(rig.shard.targets.routes.parking) >= 190
    rig.answer = fails_in()
    await all_end(rig, ids)
    assert {region for job_id in ids for region in rig.seen(job_id)} == {IAD}


@in_virtual_time()
async def test_a_job_that_can_never_succeed_does_not_keep_the_breaker_open(rig: Rig) -> None:
    await break_down(rig, *ALL)
    rig.answer = lambda call: Reply(status=500 if call.url.endswith("broken") else 200)
    await flood(rig, 2, url=f"{URL}broken")
    good = await rig.submit()
    assert (await rig.ended(good, within_s=30)).state is JobState.SUCCESS


@in_virtual_time(Pace(10.0, 10))
async def test_one_customers_broken_page_does_not_hold_the_others_at_the_pace_of_probes(rig: Rig) -> None:
    rig.answer = lambda call: Reply(status=500 if call.url.endswith("broken") else 200)
    await flood(rig, 400, every_s=0.0, customer="cust_broken", url=f"{URL}broken")
    await asyncio.sleep(20)
    assert set(breakers(rig).values()) == {BreakerState.OPEN}
    begun = rig.loop.time()
    await all_end(rig, await flood(rig, 200, every_s=0.0, customer="cust_well"))
    # Half of the pace is its share; until the breakers have closed again there are only probes.
    assert rig.loop.time() - begun <= 200 / 5 + 2 * PROBE_MOST_S


@in_virtual_time()
async def test_a_lone_job_fails_when_its_own_budget_is_spent(rig: Rig) -> None:
    rig.answer = fails_in(*ALL)
    stored = await rig.run()
    assert stored.state is JobState.FAILED
    assert rig.seen(stored.job.id) == [IAD, LAX, ORD, ORD, ORD, ORD]


@in_virtual_time()
async def test_a_reroute_goes_to_the_fastest_region_for_that_target(rig: Rig) -> None:
    speeds = {IAD: 0.1, LAX: 0.08, ORD: 0.02}
    rig.answer = lambda call: Reply(after_s=speeds[call.region])
    for region in ALL * 5:
        await rig.run(regions=(region,))
    rig.answer = fails_in(IAD)
    stored = await rig.run()
    assert rig.seen(stored.job.id) == [IAD, ORD]


@in_virtual_time()
async def test_a_reroute_enters_no_region_whose_breaker_is_open(rig: Rig) -> None:
    await break_down(rig, LAX)
    rig.answer = fails_in(IAD, LAX)
    stored = await rig.run()
    assert stored.state is JobState.SUCCESS
    assert rig.seen(stored.job.id) == [IAD, ORD]


@in_virtual_time()
async def test_a_fallback_that_waits_for_the_breakers_code_begins_at_once(rig: Rig) -> None:
    await break_down(rig, *ALL, status=503)
    trigger = Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset({503}))
    begun = rig.loop.time()
    stored = await rig.run(fallback=Fallback(trigger, OTHER))
    assert stored.state is JobState.SUCCESS
    assert rig.loop.time() - begun < 0.5
    assert [call.url for call in rig.calls if call.job_id == stored.job.id] == [OTHER.url]


@in_virtual_time(Pace(20.0, 5))
async def test_jobs_that_wait_when_the_breakers_open_go_on_to_their_fallbacks(rig: Rig) -> None:
    trigger = Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset({503}))
    rig.answer = fails_in(*ALL, status=503)
    await flood(rig, 60, every_s=0.0)
    await asyncio.sleep(0.001)
    ids = await flood(rig, 60, every_s=0.0, fallback=Fallback(trigger, OTHER))
    await all_end(rig, ids)
    assert not [call for call in rig.calls if call.job_id in ids and call.url != OTHER.url]


@in_virtual_time()
async def test_a_fallback_for_another_code_waits_with_its_step(rig: Rig) -> None:
    await break_down(rig, *ALL, status=503)
    trigger = Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset({404}))
    job_id = await rig.submit(fallback=Fallback(trigger, OTHER))
    await asyncio.sleep(60)
    assert (await rig.show(job_id)).state in (JobState.QUEUED, JobState.RUNNING)
    rig.answer = fails_in()
    assert (await rig.ended(job_id)).state is JobState.SUCCESS


@in_virtual_time(Pace(20.0, 20))
async def test_a_queued_step_is_asked_again_when_something_else_shuts_its_way(rig: Rig) -> None:
    trigger = Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset({503}))
    await break_down(rig, *ALL, status=500)
    ids = await flood(rig, 50, every_s=0.0, fallback=Fallback(trigger, OTHER))
    await asyncio.sleep(10)
    assert OTHER.url not in [call.url for call in rig.calls]
    rig.answer = fails_in(*ALL, status=503)
    await all_end(rig, ids)
    assert {call.url for call in rig.calls if call.job_id in ids[10:]} == {OTHER.url}


@in_virtual_time(Pace(20.0, 20))
async def test_a_step_that_waited_behind_its_own_breaker_may_leave_as_well(rig: Rig) -> None:
    trigger = Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset({503}))
    await break_down(rig, IAD, status=500)
    fields = {"region_policy": STRICT, "fallback": Fallback(trigger, OTHER)}
    ids = await flood(rig, 20, every_s=0.0, **fields)
    await asyncio.sleep(5)
    assert len(rig.shard.targets.routes.parking) > 10
    rig.answer = fails_in(IAD, status=503)
    await all_end(rig, ids)
    left = [job_id for job_id in ids if [c.url for c in rig.calls if c.job_id == job_id] == [OTHER.url]]
    assert len(left) >= 15, "all but those that probed"


@in_virtual_time()
async def test_a_code_that_the_jobs_own_policy_lists_is_waited_out_before_the_fallback(rig: Rig) -> None:
    await break_down(rig, *ALL, status=503)
    trigger = Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset({503}))
    job_id = await rig.submit(fallback=Fallback(trigger, OTHER), retry_policy=RetryPolicy())
    await asyncio.sleep(60)
    assert not (await rig.show(job_id)).state.ended
    rig.answer = fails_in()
    await rig.ended(job_id)
    assert OTHER.url not in [call.url for call in rig.calls if call.job_id == job_id]


@in_virtual_time()
async def test_a_target_that_half_fails_gets_few_repeats_beside_its_first_attempts(rig: Rig) -> None:
    met: set[JobId] = set()

    def every_first_attempt_but_one_in_four_fails(call: Call) -> Reply:
        again = call.job_id in met
        met.add(call.job_id)
        return Reply(status=200 if again or len(met) % 4 == 0 else 500)

    rig.answer = every_first_attempt_but_one_in_four_fails
    ids = await flood(rig, 2_000)
    repeats = len(rig.calls) - len({call.job_id for call in rig.calls})
    assert repeats <= 0.1 * len(ids) + TOKENS_MOST + rig.loop.time()
    await all_end(rig, ids)


@in_virtual_time(Pace(20.0, 20))
async def test_another_customers_repeat_does_not_wait_behind_a_flood_of_repeats(rig: Rig) -> None:
    met: set[JobId] = set()

    def answer(call: Call) -> Reply:
        again = call.job_id in met
        met.add(call.job_id)
        return Reply(status=500 if call.url.endswith("broken") or not (again or call.url == URL) else 200)

    rig.answer = answer
    policy = RetryPolicy(max_retries=20, retry_codes=frozenset({500}))
    for _ in range(300):
        await rig.submit(customer="cust_broken", url=f"{URL}broken", retry_policy=policy)
        await rig.submit(customer="cust_well")
    await asyncio.sleep(15)
    assert len(rig.shard.targets.routes.retry_budgets) > 50
    begun = rig.loop.time()
    stored = await rig.run(customer="cust_once", url=f"{URL}once", retry_policy=policy)
    assert stored.state is JobState.SUCCESS
    # A backoff of about a second, a token or two at two seconds each, and its turns.
    assert rig.loop.time() - begun <= 6


@in_virtual_time()
async def test_the_breakers_of_one_target_are_not_those_of_another(rig: Rig) -> None:
    await break_down(rig, *ALL)
    assert (await rig.run(url=OTHER.url)).state is JobState.SUCCESS


@in_virtual_time()
async def test_a_region_that_comes_back_is_used_though_the_others_breakers_are_open(rig: Rig) -> None:
    rig.alive.discard(ORD)
    await asyncio.sleep(5)
    await break_down(rig, IAD, LAX)
    waiting = [*await flood(rig, 20, every_s=1.0), *await flood(rig, 20, every_s=0.1)]
    rig.alive.add(ORD)
    await asyncio.sleep(0.6)
    assert all(rig.seen(job_id)[-1:] == [ORD] for job_id in waiting[-20:])


@in_virtual_time()
async def test_a_route_shows_its_breaker_and_what_opened_it(rig: Rig) -> None:
    await break_down(rig, IAD, status=502)
    shown = rig.shard.targets.routes.target_health.view(DOMAIN)
    assert rig.shard.targets.routes.open_breakers() == {IAD: 1, LAX: 0, ORD: 0}
    assert (shown[IAD].breaker, shown[IAD].cause) == (BreakerState.OPEN, Cause(status=502))
    assert shown[LAX].cause is None
    assert shown[LAX].answers > 0
    assert (shown[LAX].latency_s or 0) > 0


def cut_off(region: RegionName) -> Answer:
    return lambda call: Reply(fault=Fault.CONNECT if call.region == region else None)


@in_virtual_time()
async def test_a_region_that_reaches_nothing_that_others_reach_is_suspect_and_gets_no_new_work(
    rig: Rig,
) -> None:
    rig.answer = cut_off(IAD)
    for number in range(TARGETS_TO_DOUBT + 1):
        await rig.run(url=f"https://{number}.example.com/")
    assert LocalShard(rig.shard).regions()[0].health is RegionHealth.SUSPECT
    stored = await rig.run(url="https://new.example.com/")
    assert IAD not in rig.seen(stored.job.id)


@in_virtual_time()
async def test_a_suspect_region_is_tried_now_and_then_and_is_up_when_it_gets_an_answer(rig: Rig) -> None:
    rig.answer = cut_off(IAD)
    for number in range(TARGETS_TO_DOUBT + 1):
        await rig.run(url=f"https://{number}.example.com/")
    rig.answer = fails_in()
    await flood(rig, 10, every_s=1.0, url="https://new.example.com/")
    assert LocalShard(rig.shard).regions()[0].health is RegionHealth.UP
    stored = await rig.run(url="https://new.example.com/")
    assert rig.seen(stored.job.id) == [IAD]


@in_virtual_time()
async def test_targets_that_answer_nobody_make_no_region_suspect(rig: Rig) -> None:
    rig.answer = lambda call: Reply(fault=Fault.CONNECT)
    for number in range(2 * TARGETS_TO_DOUBT):
        assert (await rig.run(url=f"https://{number}.example.com/")).state is JobState.FAILED
    assert {region.health for region in LocalShard(rig.shard).regions()} == {RegionHealth.UP}


@in_virtual_time()
async def test_a_strict_job_runs_in_a_suspect_region_all_the_same(rig: Rig) -> None:
    rig.answer = cut_off(IAD)
    for number in range(TARGETS_TO_DOUBT + 1):
        await rig.run(url=f"https://{number}.example.com/")
    rig.answer = fails_in()
    for _ in range(3):
        stored = await rig.run(url="https://new.example.com/", region_policy=STRICT)
        assert rig.seen(stored.job.id) == [IAD]


@in_virtual_time()
async def test_a_job_that_may_leave_while_its_turn_comes_does_one_of_both(rig: Rig) -> None:
    rig.shard.targets.limiter(DOMAIN).hold()
    trigger = Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset({503}))
    job_id = await rig.submit(fallback=Fallback(trigger, OTHER))
    job = (await rig.show(job_id)).job
    rig.shard.targets.steps.leave(Ticket(job.order_key, job_id, customer=job.customer), Cause(503))
    rig.shard.targets.limiter(DOMAIN).release()
    await rig.ended(job_id)
    await asyncio.sleep(5)
    assert len(rig.seen(job_id)) == 1


@in_virtual_time()
async def test_a_job_whose_turn_comes_while_it_is_read_for_its_fallback_keeps_its_turn(rig: Rig) -> None:
    rig.shard.targets.limiter(DOMAIN).hold()
    trigger = Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset({404}))
    job_id = await rig.submit(fallback=Fallback(trigger, OTHER))
    job = (await rig.show(job_id)).job
    rig.shard.jobs.table._fresh.take(job_id)
    rig.store.jobs.load_takes_s = 0.01
    rig.shard.targets.steps.leave(Ticket(job.order_key, job_id, customer=job.customer), Cause(503))
    await asyncio.sleep(0)
    rig.shard.targets.limiter(DOMAIN).release()
    stored = await rig.ended(job_id)
    assert stored.state is JobState.SUCCESS
    assert rig.seen(job_id) == [IAD]
