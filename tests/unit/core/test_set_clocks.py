"""A clock that is set by a second, an hour or a day holds nothing up, and hastens nothing that is timed by
how long it takes. What begins at a moment of the clock begins when the clock says so.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from orchestrator.domain.ids import target_domain
from orchestrator.domain.jobs.job import Fallback, JobSpec, RetryPolicy, Trigger, TriggerKind
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.waiting import still_to_wait_ms
from orchestrator.domain.webhooks.fanout import DeliveryOptions, DeliveryState, Schedule
from orchestrator.ports.store import DeadFilter
from tests.support.long import some_of
from tests.support.rig import FAST, IAD, URL, Reply, Rig
from tests.support.virtual_loop import VirtualLoop
from tests.unit.core.webhooks.post_office import PostOffice, hook
from tests.unit.domain.builders import ACME

HOUR_S, DAY_S = 3_600.0, 86_400.0
STEPS_S = [sign * step for step in (1.0, HOUR_S, DAY_S) for sign in (1, -1)]
IN_CI = (HOUR_S, -HOUR_S)
STEP = pytest.mark.parametrize("step_s", some_of(STEPS_S, *IN_CI), ids=lambda step: f"{step:+g} s")
LATE_MOST_S = 0.25
SOON_S = 3.0
"""More than the first backoff."""
NO_JITTER = DeliveryOptions(schedule=Schedule(jitter=0.0))


def in_a_rig(story: Callable[[Rig], Awaitable[None]], pace: Pace = FAST) -> None:
    loop = VirtualLoop(Random(1))
    rig = Rig(loop, pace)

    async def play() -> None:
        await rig.begin()
        await story(rig)
        await rig.shard.stop()

    loop.run(play())


def refuses_first(status: int, headers: dict[str, str] | None = None) -> Callable[[object], Reply]:
    replies = iter([Reply(status=status, headers=headers or {})])
    return lambda _call: next(replies, Reply())


@STEP
@pytest.mark.parametrize("set_right_again", [False, True], ids=["stays", "is set right again"])
def test_a_retry_waits_its_backoff_whatever_the_clock_is_set_to(
    step_s: float, *, set_right_again: bool
) -> None:
    async def story(rig: Rig) -> None:
        rig.answer = refuses_first(503)
        job_id = await rig.submit(retry_policy=RetryPolicy())
        await asyncio.sleep(0.1)
        rig.clock.step(step_s)
        if set_right_again:
            await asyncio.sleep(0.1)
            rig.clock.step(-step_s)
        stored = await rig.ended(job_id, within_s=SOON_S)
        assert stored.state is JobState.SUCCESS
        assert rig.calls[1].at - rig.calls[0].at > 0.5

    in_a_rig(story)


@STEP
def test_a_retry_after_a_restart_waits_no_longer_than_it_had_to_before(step_s: float) -> None:
    async def story(rig: Rig) -> None:
        rig.answer = refuses_first(503)
        job_id = await rig.submit(retry_policy=RetryPolicy())
        await asyncio.sleep(0.1)
        rig.clock.step(step_s)
        await rig.restart()
        assert (await rig.ended(job_id, within_s=SOON_S + 2.0)).state is JobState.SUCCESS

    in_a_rig(story)


@STEP
@pytest.mark.parametrize("restarts", [False, True], ids=["in one life", "over a restart"])
def test_a_fallback_that_waits_for_lateness_begins_in_time(step_s: float, *, restarts: bool) -> None:
    other = JobSpec(url="https://other.example.com/", regions=(IAD,), metadata={})
    late = Fallback(Trigger(kind=TriggerKind.ON_TIMEOUT, timeout_ms=5_000), other)

    async def story(rig: Rig) -> None:
        rig.answer = lambda call: Reply(after_s=60.0 if call.url == URL else 0.01)
        job_id = await rig.submit(fallback=late, timeout_ms=120_000)
        await asyncio.sleep(0.1)
        rig.clock.step(step_s)
        if restarts:
            await rig.restart()
        assert (await rig.ended(job_id, within_s=10.0)).state is JobState.SUCCESS
        took_s = rig.loop.time()
        assert took_s < 8.0
        assert restarts or took_s > 5.0

    in_a_rig(story)


@STEP
@pytest.mark.parametrize("limit", ["on_failure_timeout_ms", "deadline_ms"])
def test_a_short_time_limit_acts_in_time(step_s: float, limit: str) -> None:
    async def story(rig: Rig) -> None:
        rig.answer = lambda call: Reply(after_s=100.0)
        job_id = await rig.submit(timeout_ms=200_000, **{limit: 5_000})
        await asyncio.sleep(1.0)
        rig.clock.step(step_s)
        stored = await rig.ended(job_id, within_s=5.0)
        assert stored.state is JobState.FAILED
        assert 5.0 <= rig.loop.time() <= 5.0 + LATE_MOST_S

    in_a_rig(story)


@pytest.mark.parametrize("limit", ["on_failure_timeout_ms", "deadline_ms"])
@pytest.mark.parametrize("limit_ms", some_of([1_234, 59_999, 7_200_000], 1_234, 59_999))
def test_time_limits_act_a_quarter_of_a_second_late_at_most(limit: str, limit_ms: int) -> None:
    async def story(rig: Rig) -> None:
        job_id = await rig.submit(**{limit: limit_ms})
        await rig.ended(job_id, within_s=limit_ms / 1000 + 1.0)
        assert limit_ms / 1000 <= rig.loop.time() <= limit_ms / 1000 + LATE_MOST_S

    async def held_up(rig: Rig) -> None:
        await rig.submit()
        await story(rig)

    in_a_rig(held_up, Pace(0.0001, 1))


@pytest.mark.parametrize("step_s", some_of([step for step in STEPS_S if step >= -HOUR_S], *IN_CI))
def test_a_scheduled_job_begins_when_the_clock_says_so(step_s: float) -> None:
    async def story(rig: Rig) -> None:
        at_ms = rig.clock.unix_ms() + int(HOUR_S) * 1000
        job_id = await rig.submit(retry_at=at_ms)
        await asyncio.sleep(1.0)
        rig.clock.step(step_s)
        await rig.ended(job_id, within_s=max(0.0, HOUR_S - step_s) + SOON_S)
        assert rig.clock.unix_ms() >= at_ms

    in_a_rig(story)


@STEP
def test_a_scheduled_job_begins_in_time_once_a_wrong_clock_is_set_right(step_s: float) -> None:
    async def story(rig: Rig) -> None:
        at_ms = rig.clock.unix_ms() + int(HOUR_S) * 1000
        job_id = await rig.submit(retry_at=at_ms + max(0, int(-step_s) * 1000))
        rig.clock.step(step_s if step_s < 0 else -step_s)
        await asyncio.sleep(10.0)
        rig.clock.step(-step_s if step_s < 0 else step_s)
        await asyncio.sleep(SOON_S)
        assert rig.seen(job_id) == []
        if step_s > -DAY_S:
            await rig.ended(job_id, within_s=HOUR_S + max(0.0, -step_s))
            assert abs(rig.clock.unix_ms() - at_ms - max(0, int(-step_s) * 1000)) < 2_000

    in_a_rig(story)


@STEP
@pytest.mark.parametrize("restarts", [False, True], ids=["in one life", "over a restart"])
def test_a_delivery_is_tried_again_at_its_offsets(step_s: float, *, restarts: bool) -> None:
    office = PostOffice(options=NO_JITTER)
    office.receivers["a.test"] = lambda _: 500

    async def play() -> DeliveryState:
        job = await office.tell(hook("a.test"))
        await office.until(1)
        office.clock.step(step_s)
        if restarts:
            await office.restart()
        await office.until(60)
        return (await office.stored(job)).deliveries[0].state

    state = office.run(play)
    seen = [round(arrival.at) for arrival in office.arrivals]
    wanted = [offset for offset in Schedule().offsets_s if offset < 60]
    if not restarts:
        assert seen == wanted
        assert state is DeliveryState.PENDING
    else:
        assert seen[:1] == wanted[:1]
        assert seen[1] <= wanted[1] + 1


@STEP
def test_deliveries_that_are_made_again_keep_their_pace(step_s: float) -> None:
    office = PostOffice(options=NO_JITTER, beating=False)
    office.receivers["a.test"] = lambda now: 410 if now < 10 else 200

    async def play() -> None:
        for _ in range(3):
            await office.tell(hook("a.test"))
        await office.until(10)
        await office.inside(office.shard.webhooks.redelivery.dead(DeadFilter(customer=ACME), 2))
        office.clock.step(step_s)
        await office.inside(office.shard.webhooks.redelivery.dead(DeadFilter(customer=ACME), 2))
        await office.until(15)

    office.run(play)
    assert len([arrival for arrival in office.arrivals if arrival.accepted]) == 3


@STEP
def test_a_pause_lasts_no_longer_over_a_restart(step_s: float) -> None:
    async def story(rig: Rig) -> None:
        rig.answer = refuses_first(503, {"retry-after": "30"})
        job_id = await rig.submit()
        await asyncio.sleep(0.1)
        rig.clock.step(step_s)
        await rig.restart()
        assert (await rig.ended(job_id, within_s=35.0)).state is JobState.SUCCESS
        assert rig.shard.targets.limiter(target_domain(URL)) is not None

    in_a_rig(story)


@STEP
def test_what_ended_just_now_is_kept(step_s: float) -> None:
    async def story(rig: Rig) -> None:
        stored = await rig.run()
        rig.clock.step(step_s)
        await rig.store.jobs.purge(rig.clock.unix_ms())
        kept = await rig.store.jobs.load(stored.job.id)
        assert kept is not None
        assert kept.result

    in_a_rig(story)


@pytest.mark.parametrize(
    ("until", "begun", "now", "left"),
    [
        (10_000, 4_000, 5_000, 5_000),
        (10_000, 4_000, 4_000, 6_000),
        (10_000, 4_000, 12_000, 0),
        (10_000, 4_000, 1_000, 6_000),
        (10_000, 4_000, -86_400_000, 6_000),
        (10_000, 86_400_000, 5_000, 0),
    ],
)
def test_what_is_left_of_a_wait_is_never_more_than_it_was(
    until: int, begun: int, now: int, left: int
) -> None:
    assert still_to_wait_ms(until, begun, now) == left
