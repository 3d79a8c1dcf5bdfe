"""How results reach their receivers: a real shard and real senders, under a virtual clock."""

import pytest

from orchestrator.core.regions.peers import WEBHOOKS
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.exchange import Fault
from orchestrator.domain.ids import CustomerId, DeliveryId
from orchestrator.domain.webhooks.fanout import DeliveryState, JobDelivery, Schedule
from orchestrator.domain.webhooks.signing import signature_headers
from orchestrator.messages.types import Message
from orchestrator.ports.customers import WebhookSecrets
from tests.unit.core.webhooks.post_office import (
    ANSWERS_AFTER_S,
    PostOffice,
    down_until,
    hangs,
    hook,
    up,
)
from tests.unit.domain.builders import ACME, IAD, LAX, NOW_MS, ORD

HOUR_S = 3_600.0


def test_all_receivers_are_told_at_once(office: PostOffice) -> None:
    hosts = ("a.test", "b.test", "c.test")
    office.receivers |= dict.fromkeys(hosts, up)

    async def play() -> JobDelivery:
        await office.until(1)
        job = await office.tell(*map(hook, hosts))
        await office.until(2)
        return (await office.stored(job)).delivery

    assert office.run(play) is JobDelivery.DELIVERED
    assert [(arrival.host, arrival.at) for arrival in office.arrivals] == [(host, 1.0) for host in hosts]


def test_attempts_are_made_at_the_offsets_and_stand_in_the_timeline(quiet_office: PostOffice) -> None:
    quiet_office.receivers["a.test"] = lambda _: 500

    async def play() -> tuple[DeliveryState, list[tuple[int | None, str]]]:
        await quiet_office.until(1)
        job = await quiet_office.tell(hook("a.test"))
        await quiet_office.until(1 + 25 * HOUR_S)
        entry = (await quiet_office.stored(job)).deliveries[0]
        return entry.state, [(line.status, line.region) for line in entry.log]

    state, log = quiet_office.run(play)
    assert [round(arrival.at - 1) for arrival in quiet_office.arrivals] == list(Schedule().offsets_s)
    assert (state, log) == (DeliveryState.FAILED, [(500, "")] * 9)


def test_how_long_receivers_waited_is_counted_from_the_jobs_end_and_once(office: PostOffice) -> None:
    office.receivers["a.test"] = down_until(8.0)

    async def play() -> float:
        await office.until(1)
        job = await office.tell(hook("a.test"))
        await office.until(40)
        await office.inside(office.shard.webhooks.redelivery.job(job.id))
        await office.until(50)
        return office.shard.counters.delivery_delay.total

    assert 30.0 <= office.run(play) < 34.0
    assert office.shard.counters.delivery_delay.count == 1
    assert len(office.at("a.test")) == 4


@pytest.mark.parametrize(
    "said",
    [
        {"retry-after": "90"},
        {"retry-after": "90\n90"},
        {"retry-after": "7\n90"},
        {"retry-after": "90, 7"},
        {"retry-after": "1m30s"},
        {"retry-after": "89.5"},
        {"retry-after-ms": "90000"},
        # A receiver whose clock is decades off.
        {"retry-after": "Sat, 01 Jan 2000 00:01:30 GMT", "date": "Sat, 01 Jan 2000 00:00:00 GMT"},
    ],
)
def test_retry_after_is_honoured(office: PostOffice, said: dict[str, str]) -> None:
    office.receivers["a.test"] = lambda now: (503, said) if now < 50 else 200

    async def play() -> None:
        await office.tell(hook("a.test"))
        await office.until(200)

    office.run(play)
    assert [round(arrival.at) for arrival in office.arrivals] == [0, 90]


@pytest.mark.parametrize("answer", [410, Fault.NOT_ALLOWED])
def test_a_receiver_that_is_gone_or_forbidden_is_left_alone(office: PostOffice, answer: int | Fault) -> None:
    office.receivers["a.test"] = lambda _: answer

    async def play() -> JobDelivery:
        job = await office.tell(hook("a.test", IAD, LAX))
        await office.until(HOUR_S)
        return (await office.stored(job)).delivery

    assert office.run(play) is JobDelivery.FAILED
    assert len(office.arrivals) == 1


def test_a_webhook_leaves_from_the_first_of_its_regions(office: PostOffice) -> None:
    office.receivers |= {"a.test": up, "b.test": up}

    async def play() -> list[str]:
        await office.until(1)
        job = await office.tell(hook("a.test", LAX, IAD), hook("b.test"))
        await office.until(2)
        return [entry.log[0].region for entry in (await office.stored(job)).deliveries]

    assert office.run(play) == [LAX, ""]
    assert [arrival.region for arrival in office.arrivals] == [LAX, WEBHOOKS]


def test_a_region_that_reaches_nobody_is_followed_by_the_next_in_the_same_attempt(office: PostOffice) -> None:
    office.receivers["a.test"] = lambda _: Fault.CONNECT if len(office.arrivals) < 2 else 200

    async def play() -> tuple[list[str], int]:
        await office.until(1)
        job = await office.tell(hook("a.test", LAX, IAD, ORD))
        await office.until(2)
        entry = (await office.stored(job)).deliveries[0]
        return [line.region for line in entry.log], entry.attempts

    assert office.run(play) == ([LAX, IAD, ORD], 1)


def test_an_answer_ends_an_attempt_whatever_regions_are_left(office: PostOffice) -> None:
    office.receivers["a.test"] = lambda _: 500

    async def play() -> None:
        await office.until(1)
        await office.tell(hook("a.test", LAX, IAD))
        await office.until(4)

    office.run(play)
    assert [arrival.region for arrival in office.arrivals] == [LAX]


def test_a_region_that_is_down_is_passed_over(office: PostOffice) -> None:
    office.receivers["a.test"] = up
    office.down.add(LAX)

    async def play() -> None:
        await office.until(10)
        await office.tell(hook("a.test", LAX, IAD))
        await office.until(11)

    office.run(play)
    assert [arrival.region for arrival in office.arrivals] == [IAD]


def test_what_a_region_had_when_it_went_down_leaves_from_the_next(office: PostOffice) -> None:
    office.receivers["a.test"] = up

    async def play() -> None:
        await office.until(10)
        office.down.add(LAX)
        await office.tell(hook("a.test", LAX, IAD))
        await office.until(20)

    office.run(play)
    assert [arrival.region for arrival in office.arrivals] == [IAD]


def test_a_webhook_waits_while_none_of_its_regions_is_up(office: PostOffice) -> None:
    office.receivers["a.test"] = up
    office.down |= {LAX}

    async def play() -> int:
        await office.until(10)
        job = await office.tell(hook("a.test", LAX))
        await office.until(40)
        assert office.arrivals == []
        office.down.clear()
        await office.until(42)
        return len((await office.stored(job)).deliveries[0].log)

    assert office.run(play) == 1
    assert [arrival.region for arrival in office.arrivals] == [LAX]


def test_a_webhook_that_waits_for_its_regions_leaves_from_the_first_that_is_heard(
    office: PostOffice,
) -> None:
    office.receivers["a.test"] = up
    office.down |= {LAX, IAD}

    async def play() -> None:
        await office.until(10)
        await office.tell(hook("a.test", LAX, IAD))
        await office.until(20)
        office.down.discard(IAD)
        await office.until(30)

    office.run(play)
    assert [arrival.region for arrival in office.arrivals] == [IAD]


def test_nothing_is_lost_when_the_shard_dies_between_an_answer_and_its_record(office: PostOffice) -> None:
    office.receivers["a.test"] = up

    async def play() -> JobDelivery:
        await office.until(1)
        job = await office.tell(hook("a.test"))
        await office.until(1 + ANSWERS_AFTER_S / 2)
        await office.restart()
        await office.until(5)
        return (await office.stored(job)).delivery

    assert office.run(play) is JobDelivery.DELIVERED


def test_a_stop_does_not_wait_for_a_receiver_that_hangs(office: PostOffice) -> None:
    office.receivers |= {"hangs.test": hangs, "works.test": up}

    async def play() -> tuple[float, JobDelivery]:
        await office.until(1)
        await office.tell(hook("hangs.test"))
        working = await office.tell(hook("works.test"))
        took_s = await office.drain(10.0)
        return took_s, (await office.stored(working)).delivery

    took_s, delivery = office.run(play)
    assert took_s <= 3
    assert delivery is JobDelivery.DELIVERED


def test_a_secret_that_changed_while_it_was_read_is_read_again(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = office.store.customers.secrets

    async def overtaken(customer: CustomerId) -> WebhookSecrets | None:
        found = await read(customer)
        await office.store.customers.put_secrets(customer, WebhookSecrets(primary="the_new_secret_1"))
        office.shard.webhooks.secrets.forget(customer)
        return found

    async def play() -> tuple[str, ...]:
        await office.store.customers.put_secrets(ACME, WebhookSecrets(primary="the_old_secret_1"))
        with monkeypatch.context() as patched:
            patched.setattr(office.store.customers, "secrets", overtaken)
            await office.shard.webhooks.secrets.of(ACME)
        return await office.shard.webhooks.secrets.of(ACME)

    assert office.run(play) == ("the_new_secret_1",)


@pytest.mark.parametrize("size", [100, 2 * LARGE_BYTES], ids=["small", "large"])
def test_what_a_sender_gets_is_signed_with_the_time_at_which_it_is_sent_and_bears_no_secret(
    office: PostOffice, size: int
) -> None:
    secret, body = "a_secret_of_a_customer", b"x" * size

    async def work() -> list[Message]:
        await office.store.customers.put_secrets(ACME, WebhookSecrets(primary=secret))
        office.receivers["a.test"] = down_until(60.0)
        await office.tell(hook("a.test"), body=body)
        await office.until(200.0)
        return office.carried

    carried = office.run(work)

    assert secret not in repr(carried)
    assert office.at("a.test")[-1].accepted
    for arrival, headers in zip(office.at("a.test"), office.signed, strict=True):
        at_s = int((NOW_MS + arrival.at * 1000) // 1000)
        told = dict(signature_headers(body, [secret], DeliveryId(arrival.webhook_id), at_s))
        assert {name: headers[name] for name in told} == told
