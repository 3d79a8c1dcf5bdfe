"""How results reach their receivers: a real shard and real senders, under a virtual clock."""

import asyncio

import pytest

from orchestrator.core import maintenance
from orchestrator.core.delivery_room import DELIVERY_BYTES
from orchestrator.core.endpoints import FAILURES_TO_OPEN, PROBE_EVERY_S
from orchestrator.core.peers import WEBHOOKS
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.exchange import Fault
from orchestrator.domain.fanout import DeliveryOptions, DeliveryState, JobDelivery, Schedule
from orchestrator.domain.ids import CustomerId, DeliveryId, RegionName
from orchestrator.domain.signing import signature_headers
from orchestrator.messages.types import DeliverySigned, JobResult, Message
from orchestrator.ports.customers import WebhookSecrets
from tests.unit.core.post_office import (
    ANSWERS_AFTER_S,
    PostOffice,
    down_until,
    hangs,
    hook,
    refuses,
    up,
)
from tests.unit.domain.builders import ACME, IAD, LAX, NOW_MS, ORD

HALF_HOUR_S = 1_800.0
HOUR_S = 3_600.0
NO_JITTER = DeliveryOptions(schedule=Schedule(jitter=0.0))


@pytest.fixture
def office() -> PostOffice:
    return PostOffice(options=NO_JITTER)


@pytest.fixture
def quiet_office(monkeypatch: pytest.MonkeyPatch) -> PostOffice:
    """Without heartbeats and looks for overdue jobs, which are most of the work of a day in virtual time."""
    monkeypatch.setattr(maintenance, "OVERDUE_EVERY_S", HOUR_S)
    return PostOffice(options=NO_JITTER, beating=False)


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
        waiting = office.shard.courier.waiting
        office.down.clear()
        await office.until(602)
        return waiting

    assert office.run(play) == 32
    assert [arrival.region for arrival in office.arrivals[1:]] == [LAX] * 32
    assert office.shard.courier.waiting == 0


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


def test_a_breaker_lets_one_delivery_probe_and_the_line_follows_when_it_is_accepted(
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


def test_what_waits_behind_an_open_breaker_is_over_when_its_schedule_is(quiet_office: PostOffice) -> None:
    quiet_office.receivers["a.test"] = refuses

    async def play() -> list[tuple[DeliveryState, int]]:
        jobs = [await quiet_office.tell(hook("a.test")) for _ in range(200)]
        await quiet_office.until(26 * HOUR_S)
        entries = [(await quiet_office.stored(job)).deliveries[0] for job in jobs]
        return [(entry.state, entry.attempts) for entry in entries]

    assert set(quiet_office.run(play)) == {(DeliveryState.FAILED, 9)}
    assert len(quiet_office.shard.courier) == quiet_office.shard.courier.waiting == 0


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


def test_bodies_of_a_long_line_are_read_again_from_disk(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.core.courier.WAITING_BYTES", 20_000)
    office.receivers["a.test"] = up

    async def play() -> int:
        for _ in range(100):
            await office.tell(hook("a.test"), body=b"x" * 100)
        await office.until(0.001)
        kept = office.shard.courier._waiting_bytes
        await office.until(5)
        return kept

    assert 0 < office.run(play) <= 20_000
    assert len(office.arrivals) == 100
    assert office.shard.courier._waiting_bytes == 0


def test_where_a_result_goes_counts_in_a_line_too(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.core.courier.WAITING_BYTES", 500_000)
    office.receivers["a.test"] = hangs

    async def play() -> int:
        for _ in range(100):
            await office.tell(hook("a.test", path="/" + "x" * 50_000))
        await office.until(0.001)
        return sum(
            turn.parcel is not None for e in office.shard.courier._endpoints.values() for turn in e.line
        )

    assert 0 < office.run(play) <= 10


def test_a_secret_that_changed_while_it_was_read_is_read_again(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = office.store.customers.secrets

    async def overtaken(customer: CustomerId) -> WebhookSecrets | None:
        found = await read(customer)
        await office.store.customers.put_secrets(customer, WebhookSecrets(primary="the_new_secret_1"))
        office.shard.courier.secrets.forget(customer)
        return found

    async def play() -> tuple[str, ...]:
        await office.store.customers.put_secrets(ACME, WebhookSecrets(primary="the_old_secret_1"))
        with monkeypatch.context() as patched:
            patched.setattr(office.store.customers, "secrets", overtaken)
            await office.shard.courier.secrets.of(ACME)
        return await office.shard.courier.secrets.of(ACME)

    assert office.run(play) == ("the_new_secret_1",)


LARGE = b"x" * 5 * 1024 * 1024


def test_one_customers_large_results_to_receivers_that_hang_hold_up_nobody_else(office: PostOffice) -> None:
    hanging = [f"hangs-{number}.test" for number in range(20)]
    office.receivers |= dict.fromkeys(hanging, hangs) | {"works.test": up}

    async def play() -> list[int]:
        used = []
        for _ in range(12):
            await office.tell(*map(hook, hanging), body=LARGE)
        for _ in range(10):
            await office.until(office.loop.time() + 0.5)
            await office.tell(hook("works.test"), customer=CustomerId("cust_beta"))
            await office.tell(hook("works.test"), customer=CustomerId("cust_gamma"), body=LARGE)
            used.append(office.shard.courier._room.used)
        await office.until(office.loop.time() + 0.5)
        return used

    used = office.run(play)
    assert max(used) <= DELIVERY_BYTES
    assert len(office.at("works.test")) == 20
    # The first jobs reach all of their receivers: these share one copy, and it is counted once.
    assert {len(office.at(host)) for host in hanging} == {4}


def test_large_results_wait_for_room_and_all_arrive(office: PostOffice) -> None:
    office.receivers["slow.test"] = up

    async def play() -> int:
        for _ in range(60):
            await office.tell(hook("slow.test"), body=LARGE)
        await office.until(30)
        return office.shard.courier._room.used

    assert office.run(play) == 0
    assert len({arrival.webhook_id for arrival in office.at("slow.test")}) == 60


def test_after_a_restart_large_results_are_counted_as_large(office: PostOffice) -> None:
    office.receivers["hangs.test"] = hangs

    async def play() -> int:
        for _ in range(30):
            await office.tell(hook("hangs.test"), body=LARGE)
        await office.restart()
        await office.until(office.loop.time() + 1)
        return office.shard.courier._room.used

    assert DELIVERY_BYTES / 4 < office.run(play) <= DELIVERY_BYTES


def test_a_result_is_brought_once_for_all_deliveries_of_its_job(office: PostOffice) -> None:
    hosts = [f"{number}.test" for number in range(20)]
    office.receivers |= dict.fromkeys(hosts, up)

    async def play() -> JobDelivery:
        job = await office.tell(*map(hook, hosts), body=b"y" * (LARGE_BYTES + 1))
        await office.until(2)
        return (await office.stored(job)).delivery

    assert office.run(play) is JobDelivery.DELIVERED
    assert office.results_carried == 1


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


def test_a_delivery_that_comes_when_the_result_is_there_asks_for_its_signature_alone(
    office: PostOffice,
) -> None:
    async def work() -> list[Message]:
        office.receivers |= {"a.test": hangs, "b.test": down_until(5.0)}
        await office.tell(hook("a.test"), hook("b.test"), body=b"x" * 2 * LARGE_BYTES)
        await office.until(10.0)
        return office.carried

    carried = office.run(work)

    assert [a.accepted for a in office.at("b.test")] == [False, True]
    assert sum(isinstance(message, JobResult) for message in carried) == 1
    assert sum(isinstance(message, DeliverySigned) for message in carried) == 3


class _Listening(PostOffice):
    """Notes when a signature leaves, and when the shard's loop comes to the next thing that waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[str] = []

    def carry(self, region: RegionName, message: Message) -> None:
        super().carry(region, message)
        if isinstance(message, DeliverySigned):
            self.turns.append("signed")
            asyncio.get_running_loop().call_soon(self.turns.append, "others")


def test_others_have_the_loop_between_the_signatures_of_a_large_result() -> None:
    office, hosts = _Listening(), [f"{number}.test" for number in range(20)]
    office.receivers |= dict.fromkeys(hosts, up)

    async def play() -> None:
        await office.tell(*map(hook, hosts), body=b"y" * (LARGE_BYTES + 1))
        await office.until(2)

    office.run(play)

    assert office.turns == ["signed", "others"] * len(hosts)
