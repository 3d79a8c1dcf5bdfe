"""What waits for an endpoint: a real shard and real senders, under a virtual clock."""

import pytest

from orchestrator.core.regions.peers import WEBHOOKS
from orchestrator.core.webhooks.endpoint import FAILURES_TO_OPEN, PROBE_EVERY_S
from orchestrator.domain.webhooks.fanout import DeliveryOptions, DeliveryState, JobDelivery, Schedule
from tests.unit.core.webhooks.post_office import (
    ANSWERS_AFTER_S,
    PostOffice,
    down_until,
    hangs,
    hook,
    refuses,
    up,
)
from tests.unit.domain.builders import LAX

HALF_HOUR_S = 1_800.0
HOUR_S = 3_600.0


def test_webhooks_that_wait_for_a_region_hold_up_no_others_to_their_receiver(office: PostOffice) -> None:
    office.receivers["a.test"] = up
    office.down |= {LAX}

    async def play() -> int:
        await office.until(10)
        for _ in range(32):
            await office.tell(hook("a.test", LAX))
        await office.tell(hook("a.test"))
        await office.until(11)
        assert [arrival.region for arrival in office.arrivals] == [WEBHOOKS]
        await office.until(600)
        waiting = office.shard.webhooks.dispatcher.waiting
        office.down.clear()
        await office.until(602)
        return waiting

    assert office.run(play) == 32
    assert [arrival.region for arrival in office.arrivals[1:]] == [LAX] * 32
    assert office.shard.webhooks.dispatcher.waiting == 0


def test_a_hanging_receiver_has_its_own_places_and_holds_up_nobody(office: PostOffice) -> None:
    office.receivers |= {"hangs.test": hangs, "works.test": up}

    async def play() -> None:
        await office.until(1)
        for number in range(500):
            await office.tell(hook("hangs.test"), hook("works.test", path=f"/{number}"))
        await office.until(14)

    office.run(play)
    assert office.busiest["hangs.test"] == 32
    assert len(office.at("hangs.test")) == 32
    working = office.at("works.test")
    assert len(working) == 500
    # 32 places, each taken for as long as an answer needs.
    assert working[-1].at <= 1 + (500 / 32 + 1) * ANSWERS_AFTER_S


def test_the_places_of_an_endpoint_can_be_set() -> None:
    office = PostOffice(options=DeliveryOptions(max_concurrent=3))
    office.receivers["a.test"] = up

    async def play() -> None:
        for _ in range(20):
            await office.tell(hook("a.test"))
        await office.until(5)

    office.run(play)
    assert office.busiest["a.test"] == 3
    assert len(office.arrivals) == 20


def test_a_breaker_lets_one_delivery_probe_and_the_queue_follows_when_it_is_accepted(
    office: PostOffice,
) -> None:
    office.receivers["a.test"] = down_until(20)

    async def play() -> None:
        for _ in range(100):
            await office.tell(hook("a.test"))
        await office.until(HOUR_S)

    office.run(play)
    failed = [arrival for arrival in office.arrivals if not arrival.accepted]
    # Those that were let out before it opened, then one every five seconds.
    assert len(failed) <= 32 + FAILURES_TO_OPEN - 1 + 20 / PROBE_EVERY_S
    delivered = [arrival.at for arrival in office.arrivals if arrival.accepted]
    assert len(delivered) == 100
    assert sum(at <= 20 + PROBE_EVERY_S + 1 for at in delivered) >= 100 - len(failed)


def test_a_refusal_is_no_failure_of_the_receiver(office: PostOffice) -> None:
    office.receivers["a.test"] = lambda _: 400

    async def play() -> None:
        for _ in range(10 * FAILURES_TO_OPEN):
            await office.tell(hook("a.test"))
        await office.until(1)

    office.run(play)
    assert len(office.arrivals) == 10 * FAILURES_TO_OPEN


@pytest.mark.long
def test_what_waits_behind_an_open_breaker_is_over_when_its_schedule_is(quiet_office: PostOffice) -> None:
    quiet_office.receivers["a.test"] = refuses

    async def play() -> list[tuple[DeliveryState, int]]:
        jobs = [await quiet_office.tell(hook("a.test")) for _ in range(200)]
        await quiet_office.until(26 * HOUR_S)
        entries = [(await quiet_office.stored(job)).deliveries[0] for job in jobs]
        return [(entry.state, entry.attempts) for entry in entries]

    assert set(quiet_office.run(play)) == {(DeliveryState.FAILED, 9)}
    assert len(quiet_office.shard.webhooks.dispatcher) == quiet_office.shard.webhooks.dispatcher.waiting == 0


def test_after_half_an_hour_down_and_a_restart_every_webhook_arrives_when_the_schedule_next_allows(
    office: PostOffice,
) -> None:
    office.receivers["a.test"] = down_until(HALF_HOUR_S)

    async def play() -> list[JobDelivery]:
        jobs = []
        for minute in range(30):
            jobs += [await office.tell(hook("a.test")) for _ in range(10)]
            await office.until((minute + 1) * 60 - 30)
            if minute in (7, 20):
                await office.restart()
            await office.until((minute + 1) * 60)
        await office.until(HALF_HOUR_S + 2 * HOUR_S)
        return [(await office.stored(job)).delivery for job in jobs]

    assert office.run(play) == [JobDelivery.DELIVERED] * 300
    accepted = {arrival.webhook_id: arrival.at for arrival in office.arrivals if arrival.accepted}
    assert len(accepted) == sum(arrival.accepted for arrival in office.arrivals), "delivered twice"
    first_try: dict[str, float] = {}
    for arrival in office.arrivals:
        first_try.setdefault(arrival.webhook_id, arrival.at)
    assert max(first_try.values()) <= HALF_HOUR_S + PROBE_EVERY_S + 1
    for webhook_id, at in accepted.items():
        due = [first_try[webhook_id] + offset_s for offset_s in Schedule().offsets_s]
        assert at <= min(moment for moment in due if moment >= HALF_HOUR_S) + PROBE_EVERY_S + 1


def test_bodies_of_a_long_queue_are_read_again_from_disk(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.core.webhooks.endpoint_queues.WAITING_BYTES", 20_000)
    office.receivers["a.test"] = up

    async def play() -> int:
        for _ in range(100):
            await office.tell(hook("a.test"), body=b"x" * 100)
        await office.until(0.001)
        kept = office.shard.webhooks.dispatcher._queues._waiting_bytes
        await office.until(5)
        return kept

    assert 0 < office.run(play) <= 20_000
    assert len(office.arrivals) == 100
    assert office.shard.webhooks.dispatcher._queues._waiting_bytes == 0


def test_where_a_result_goes_counts_in_a_queue_too(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.core.webhooks.endpoint_queues.WAITING_BYTES", 500_000)
    office.receivers["a.test"] = hangs

    async def play() -> int:
        for _ in range(100):
            await office.tell(hook("a.test", path="/" + "x" * 50_000))
        await office.until(0.001)
        return sum(
            delivery.result is not None
            for endpoint in office.shard.webhooks.dispatcher._queues._endpoints.values()
            for delivery in endpoint.queue
        )

    assert 0 < office.run(play) <= 10
