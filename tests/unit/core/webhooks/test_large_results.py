"""Results too large to be kept in memory: a real shard and real senders, under a virtual clock."""

import asyncio

from orchestrator.core.webhooks.delivery_room import DELIVERY_BYTES
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.ids import CustomerId, RegionName
from orchestrator.domain.webhooks.fanout import JobDelivery
from orchestrator.messages.types import DeliverySigned, JobResult, Message
from tests.unit.core.webhooks.post_office import (
    PostOffice,
    down_until,
    hangs,
    hook,
    up,
)

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
            used.append(office.shard.webhooks.dispatcher._queues._room.used)
        await office.until(office.loop.time() + 0.5)
        return used

    used = office.run(play)
    assert max(used) <= DELIVERY_BYTES
    assert len(office.at("works.test")) == 20
    # The first jobs reach all of their receivers: these share one copy, and it is counted once.
    assert min(len(office.at(host)) for host in hanging) == 2


def test_large_results_wait_for_room_and_all_arrive(office: PostOffice) -> None:
    office.receivers["slow.test"] = up

    async def play() -> int:
        for _ in range(60):
            await office.tell(hook("slow.test"), body=LARGE)
        await office.until(30)
        return office.shard.webhooks.dispatcher._queues._room.used

    assert office.run(play) == 0
    assert len({arrival.webhook_id for arrival in office.at("slow.test")}) == 60


def test_after_a_restart_large_results_are_counted_as_large(office: PostOffice) -> None:
    office.receivers["hangs.test"] = hangs

    async def play() -> int:
        for _ in range(30):
            await office.tell(hook("hangs.test"), body=LARGE)
        await office.restart()
        await office.until(office.loop.time() + 1)
        return office.shard.webhooks.dispatcher._queues._room.used

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
