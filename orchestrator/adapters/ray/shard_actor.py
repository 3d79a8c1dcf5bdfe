"""The Ray actor of a shard: thin, for the driver imports it to make one, and hosts nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from orchestrator.messages import names
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.adapters.ray.node import ShardHost

LOG_FILE = "service.log"


class NotServing(Exception):
    """The actor does not serve yet, or no longer: another life of the shard may."""


class Door:
    """What nodes call of a shard's actor. It raises NotServing while there is no host."""

    _host: "ShardHost | None" = None

    @property
    def host(self) -> "ShardHost":
        """Give what serves."""
        if self._host is None:
            raise NotServing
        return self._host

    async def deliver(self, sender: str, batch: bytes) -> None:
        """Take a batch from a node on another machine."""
        self.host.receive(sender, batch)

    @ray.method(concurrency_group=names.CONTROL_GROUP)
    async def heartbeat(self, sender: str, beat: bytes) -> bytes:
        """Take a node's heartbeat; the group's own thread hands it to the shard's loop."""
        return await self.host.heartbeat(sender, beat)

    @ray.method(concurrency_group=names.CONTROL_GROUP)
    async def invite(self, sender: str) -> bytes | None:
        """Tell a node of another machine where it connects; None where nobody listens."""
        return await self.host.invite(sender)


class ShardActor(Door):
    """Hosts store, shard and gateway. Ray's own restart reruns ``__init__`` only: all begins there."""

    async def __init__(self, carried: dict[str, str], socket: str) -> None:  # type: ignore[misc]  # Ray awaits it
        from orchestrator.adapters.ray.node import ShardHost  # noqa: PLC0415  # a second and 50 MB of imports

        self._host = ShardHost(Settings.carried(carried), Path(socket))
        await self._host.start()

    @ray.method(concurrency_group=names.CONTROL_GROUP)
    async def ready(self) -> tuple[bool, int]:
        """Say whether work can be taken and done, and which life of the shard says so: its epoch."""
        return self.host.ready()

    @ray.method(concurrency_group=names.CONTROL_GROUP)
    async def placed(self, found: dict[str, Any]) -> None:
        """Take note of where nodes run, or why they do not: placements by the nodes' addresses."""
        self.host.placed(found)

    async def drain(self, timeout_s: float) -> None:
        """Refuse submissions, wait for what is under way, and close."""
        await self.host.drain(timeout_s)
        await self.host.stop()
        await self.host.send_last_spans()
