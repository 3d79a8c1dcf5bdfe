"""For which life of a shard a batch is: of an earlier one it is dropped, for a later one it comes again."""

import asyncio

import pytest

from orchestrator.core.regions.node import ShardNode
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.health.routing import DOWN_AFTER_S
from orchestrator.domain.ids import AttemptId, NodeAddress
from orchestrator.messages.codec import Header, LaterLifeError, encode, encode_batch, fragments
from orchestrator.messages.types import AttemptDone, AttemptStarted, Heartbeat
from tests.support.rig import IAD, Rig, in_virtual_time

NODE = NodeAddress(IAD, "one")


def batch_for(epoch: int) -> bytes:
    return encode_batch(Header(epoch, "a life"), [encode(AttemptStarted(AttemptId("a"), 1.0))])


@in_virtual_time()
async def test_a_batch_for_a_later_life_is_refused_so_that_it_comes_again(rig: Rig) -> None:
    node = ShardNode(rig.shard, "boot")
    with pytest.raises(
        LaterLifeError, match=f"for life {rig.shard.epoch + 1} .* came to life {rig.shard.epoch}"
    ):
        node.receive(NODE, batch_for(rig.shard.epoch + 1))


@in_virtual_time()
async def test_a_batch_for_an_earlier_life_is_dropped(rig: Rig) -> None:
    node = ShardNode(rig.shard, "boot")
    node.receive(NODE, batch_for(rig.shard.epoch - 1))


def half_an_answer(rig: Rig, incarnation: str) -> bytes:
    """Make a batch of the first part of a large answer."""
    answer = HttpResponse(status=200, headers={}, body=b"a" * 200_000)
    first, *_ = fragments(encode(AttemptDone(AttemptId("a"), 1.0, answer)), 1)
    return encode_batch(Header(rig.shard.epoch, incarnation), [first])


def beat(rig: Rig, incarnation: str) -> None:
    rig.shard.heartbeat(NODE, Heartbeat(incarnation, rig.shard.epoch), "boot")


@in_virtual_time()
async def test_what_a_node_has_sent_by_half_is_dropped_once_it_is_down(rig: Rig) -> None:
    node = ShardNode(rig.shard, "boot")
    beat(rig, "a life")
    node.receive(NODE, half_an_answer(rig, "a life"))
    assert rig.shard.peers._fragments.used > 0
    await asyncio.sleep(DOWN_AFTER_S + 1.0)
    assert rig.shard.peers._fragments.used == 0


@in_virtual_time()
async def test_what_a_node_has_sent_by_half_is_dropped_once_it_has_another_life(rig: Rig) -> None:
    node = ShardNode(rig.shard, "boot")
    beat(rig, "a life")
    node.receive(NODE, half_an_answer(rig, "a life"))
    beat(rig, "another life")
    assert rig.shard.peers._fragments.used == 0
    node.receive(NODE, half_an_answer(rig, "another life"))
    beat(rig, "another life")
    assert rig.shard.peers._fragments.used > 0
