"""Webhooks again: a real shard and real senders, under a virtual clock."""

from itertools import pairwise

import pytest

from orchestrator.core.webhooks.redelivery import Redelivered
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.webhooks.fanout import DeliveryOptions, DeliveryState, JobDelivery, Schedule
from orchestrator.ports.store import DeadFilter
from tests.unit.core.webhooks.post_office import PostOffice, hook, refuses, up
from tests.unit.domain.builders import ACME

ALL = DeadFilter(customer=ACME)
OPTIONS = DeliveryOptions(schedule=Schedule(offsets_s=(0, 5, 30), jitter=0.0), redelivery_rps=10.0)


@pytest.fixture
def office() -> PostOffice:
    return PostOffice(options=OPTIONS)


async def dead_jobs(office: PostOffice, count: int) -> list[Job]:
    """Let jobs' webhooks fail for good, and their receiver come up."""
    office.receivers["a.test"] = refuses
    jobs = [await office.tell(hook("a.test")) for _ in range(count)]
    await office.until(100)
    for job in jobs:
        assert (await office.stored(job)).delivery is JobDelivery.FAILED
    office.receivers["a.test"] = up
    office.arrivals.clear()
    return jobs


def test_failed_deliveries_are_made_again_at_a_bounded_pace(office: PostOffice) -> None:
    async def play() -> tuple[Redelivered, list[JobDelivery]]:
        jobs = await dead_jobs(office, 40)
        again = await office.inside(office.shard.webhooks.redelivery.dead(ALL, 1_000))
        await office.until(120)
        return again, [(await office.stored(job)).delivery for job in jobs]

    again, states = office.run(play)
    assert (again.count, again.more, states) == (40, False, [JobDelivery.DELIVERED] * 40)
    assert len({arrival.webhook_id for arrival in office.arrivals}) == len(office.arrivals) == 40
    gaps = [later.at - early.at for early, later in pairwise(office.arrivals)]
    assert min(gaps) == pytest.approx(0.1, abs=0.002)


def test_two_redeliveries_at_once_share_the_pace_and_send_nothing_twice(office: PostOffice) -> None:
    async def play() -> int:
        await dead_jobs(office, 30)
        redelivery = office.shard.webhooks.redelivery
        first = await office.inside(redelivery.dead(ALL, 10))
        second = await office.inside(redelivery.dead(ALL, 1_000))
        await office.until(200)
        assert (first.count, first.more, second.more) == (10, True, False)
        return second.count

    assert office.run(play) == 20
    assert len({arrival.webhook_id for arrival in office.arrivals}) == len(office.arrivals) == 30
    assert office.arrivals[-1].at - office.arrivals[0].at == pytest.approx(2.9, abs=0.01)


def test_a_redelivery_goes_on_over_a_restart(office: PostOffice) -> None:
    async def play() -> list[JobDelivery]:
        jobs = await dead_jobs(office, 30)
        await office.inside(office.shard.webhooks.redelivery.dead(ALL, 1_000))
        await office.until(101)
        await office.restart()
        await office.until(120)
        return [(await office.stored(job)).delivery for job in jobs]

    assert office.run(play) == [JobDelivery.DELIVERED] * 30


def test_a_delivery_that_is_made_again_has_its_whole_schedule_and_keeps_its_log(office: PostOffice) -> None:
    async def play() -> tuple[DeliveryState, int]:
        (job,) = await dead_jobs(office, 1)
        office.receivers["a.test"] = lambda _: 500
        await office.inside(office.shard.webhooks.redelivery.dead(ALL, 1))
        await office.until(200)
        entry = (await office.stored(job)).deliveries[0]
        return entry.state, len(entry.log)

    assert office.run(play) == (DeliveryState.FAILED, 6)
    assert [round(arrival.at - office.arrivals[0].at) for arrival in office.arrivals] == [0, 5, 30]


def test_all_webhooks_of_a_job_are_sent_again_with_the_ids_they_had(office: PostOffice) -> None:
    office.receivers |= {"a.test": up, "b.test": lambda _: 410}

    async def play() -> JobDelivery:
        job = await office.tell(hook("a.test"), hook("b.test"))
        await office.until(1)
        office.receivers["b.test"] = up
        assert await office.inside(office.shard.webhooks.redelivery.job(job.id)) == 2
        await office.until(2)
        return (await office.stored(job)).delivery

    assert office.run(play) is JobDelivery.DELIVERED
    for host in ("a.test", "b.test"):
        first, second = office.at(host)
        assert first.webhook_id == second.webhook_id


def test_a_delivery_that_waits_for_its_next_attempt_goes_at_once_and_only_once(office: PostOffice) -> None:
    office.receivers["a.test"] = lambda now: 200 if now > 10 else 500

    async def play() -> None:
        job = await office.tell(hook("a.test"))
        await office.until(11)
        await office.inside(office.shard.webhooks.redelivery.job(job.id))
        await office.until(100)

    office.run(play)
    assert [round(arrival.at) for arrival in office.arrivals] == [0, 5, 11]


def test_a_delivery_under_way_is_not_sent_beside_itself(office: PostOffice) -> None:
    office.receivers["a.test"] = up

    async def play() -> None:
        job = await office.tell(hook("a.test"))
        await office.until(0.005)
        await office.inside(office.shard.webhooks.redelivery.job(job.id))
        await office.until(100)

    office.run(play)
    assert len(office.arrivals) == 1
