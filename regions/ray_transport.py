"""Batches and heartbeats as calls of Ray's actors."""

import contextlib
from collections.abc import Mapping
from typing import Any

import ray

from orchestrator.domain.ids import ShardName
from orchestrator.messages import names
from orchestrator.messages.hello import Invitation, read
from orchestrator.ports.transport import Carrier
from regions.far_shard import FarShard


class RemoteActor:
    """An actor by its name. It is named, not held: after a call that failed it is looked up again, and found
    if it was started anew. Of one that was deployed, whose name ends with a digest, there may be two lives
    for a moment: where a call of the one fails, the next goes to the other.

    Args:
        name: Whom to call, without the digest.
        caller: Who calls: the actor is told with each call, and not by what the call carries.
    """

    def __init__(self, name: str, caller: str) -> None:
        self._name = name
        self._caller = caller
        self._handle: Any = None
        self._looked_up = 0

    async def deliver(self, batch: bytes) -> None:
        """Carry one batch; raises whatever Ray does where that failed or may have failed."""
        await self._call("deliver", batch)

    async def heartbeat(self, beat: bytes) -> bytes:
        """Bring a heartbeat, and give the reply; raises whatever Ray does."""
        reply: bytes = await self._call("heartbeat", beat)
        return reply

    async def invite(self) -> Invitation | None:
        """Ask where to connect, within TLS; None where nobody listens. Raises whatever Ray does."""
        invitation: bytes | None = await self._call("invite")
        return None if invitation is None else read(invitation, Invitation)

    async def _call(self, method: str, *payload: bytes) -> Any:
        if self._handle is None:
            self._handle = self._look_up()
        try:
            return await getattr(self._handle, method).remote(self._caller, *payload)
        except Exception:
            self._handle = None
            raise

    def _look_up(self) -> Any:
        with contextlib.suppress(ValueError):
            return ray.get_actor(self._name, namespace=names.NAMESPACE)
        # Ray's type hints do not know this call's result.
        util: Any = ray.util
        lives = sorted(name for name in util.list_named_actors() if name.startswith(f"{self._name}."))
        self._looked_up += 1
        found = lives[self._looked_up % len(lives)] if lives else self._name
        return ray.get_actor(found, namespace=names.NAMESPACE)


class ShardsOverRay:
    """A region node's way to shards: batches over the Unix socket of one on this machine, or over TLS to one
    elsewhere; by calls of Ray's where neither is connected, and heartbeats always.

    Args:
        own: Who this node is.
        far: Its connection to each shard.
    """

    def __init__(self, own: str, far: Mapping[ShardName, FarShard]) -> None:
        self._far = far
        # The heart has a loop of its own: it shares no handle with the node's.
        self._heartbeats = {shard: RemoteActor(shard, own) for shard in far}

    def carrier(self, to: ShardName) -> Carrier:
        """Make what carries batches to a shard."""
        return self._far[to].way

    async def heartbeat(self, shard: ShardName, beat: bytes) -> bytes:
        """Bring a heartbeat to a shard, and give its reply."""
        self._far[shard].asks()
        reply = await self._heartbeats[shard].heartbeat(beat)
        self._far[shard].is_heard()
        return reply
