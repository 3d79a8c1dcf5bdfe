"""For which life of a shard a batch is: of an earlier one it is dropped, for a later one it comes again."""

import pytest

from orchestrator.core.regions.node import ShardNode
from orchestrator.domain.ids import AttemptId, NodeAddress
from orchestrator.messages.codec import Header, LaterLifeError, encode, encode_batch
from orchestrator.messages.types import AttemptStarted
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
