"""The largest results of all: what counts as half the budget is there once, for it costs more besides."""

from orchestrator.core.webhooks.delivery_room import DELIVERY_BYTES, DeliveryRoom
from orchestrator.core.webhooks.queued import LoadedResult, QueuedDelivery
from orchestrator.domain.byte_budget import MIB, TLS_COSTS
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.job import Webhook

LARGEST = DELIVERY_BYTES


def delivery(job: str, customer: str, size: int, index: int = 0) -> QueuedDelivery:
    return QueuedDelivery(JobId(job), CustomerId(customer), index, 0, None, size)


def test_of_results_of_more_than_half_the_budget_one_goes_at_a_time() -> None:
    room = DeliveryRoom()
    one, another = delivery("a", "cust_acme", LARGEST), delivery("b", "cust_beta", LARGEST)
    room.take(one)
    assert not room.fits(another)
    room.give_back(one)
    assert room.fits(another)


def test_the_next_goes_once_no_receiver_has_the_one_before_any_more() -> None:
    room, another = DeliveryRoom(), delivery("b", "cust_beta", LARGEST)
    receivers = [delivery("a", "cust_acme", LARGEST, index) for index in range(2)]
    for each in receivers:
        room.take(each)
    room.give_back(receivers[0])
    assert not room.fits(another)
    room.give_back(receivers[1])
    assert room.fits(another)
    assert room.used == 0


def test_beside_the_largest_result_others_go_on() -> None:
    room = DeliveryRoom()
    room.take(delivery("a", "cust_acme", LARGEST))
    assert room.fits(delivery("b", "cust_beta", 5 * MIB))
    assert room.used <= DELIVERY_BYTES


def test_a_delivery_within_tls_counts_what_that_takes() -> None:
    used = []
    for url in ("http://receiver.test/", "https://receiver.test/"):
        room, result = DeliveryRoom(), LoadedResult([Webhook(url=url)], b"ok", 2, [], 0, None)
        room.take(QueuedDelivery(JobId("a"), CustomerId("cust_acme"), 0, 0, result))
        used.append(room.used)
    assert used[1] - used[0] == TLS_COSTS
