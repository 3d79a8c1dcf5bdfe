"""What a region's actor hosts: a node over the Unix socket, TLS and Ray."""

import asyncio
import socket
import tempfile
import uuid
from pathlib import Path
from typing import Any

import ray

from orchestrator.domain.ids import ShardName
from orchestrator.ports.clock import SystemClock
from orchestrator.runtime.allocator import give_memory_back
from orchestrator.runtime.interpreter import tune_interpreter
from orchestrator.runtime.log_file import log_here
from orchestrator.runtime.open_files import raise_file_limit
from orchestrator.runtime.process_vitals import process_vitals
from orchestrator.runtime.version import build
from orchestrator.transport.local_link import LocalCaller
from regions.clock_offset import boot_id
from regions.egress.answer_room import AnswerRoom
from regions.egress.client import AiohttpEgress
from regions.far_shard import FarShard
from regions.guard import AddressPolicy, parse_networks
from regions.heart import Heart
from regions.node import RegionNode
from regions.ray_transport import RemoteActor, ShardsOverRay
from regions.session import NodeParts


def own_address() -> str:
    """Give this node's address in its cluster."""
    # Ray's type hints do not know this call's result.
    util: Any = ray.util
    address: str = util.get_node_ip_address()
    return address


def check_build(options: dict[str, Any]) -> None:
    """Look whether this machine has the code that was deployed, where that is said.

    Raises:
        RuntimeError: It has another.

    """
    wanted = options.get("build")
    if wanted not in (None, build()):
        msg = f"{socket.gethostname()} has version {build()}, not {wanted}: install it there"
        raise RuntimeError(msg)


def make_egress(options: dict[str, Any], room: AnswerRoom | None = None) -> AiohttpEgress:
    """Build the HTTP client that the settings ask for; ``room`` is shared with what holds answers."""
    policy = AddressPolicy(
        allow_private=options["allow_private_targets"],
        allowed_networks=parse_networks(options["allow_targets"]),
    )
    return AiohttpEgress(policy, max_response_bytes=options["max_response_bytes"], room=room)


class RegionHost:
    """A region's node, put together. ``address`` says which one; ``options`` are what the driver wrote down.
    It works from its making to the end of its process, which Ray brings about from outside.
    """

    def __init__(self, address: str, options: dict[str, Any]) -> None:
        log_here()
        raise_file_limit()
        incarnation = uuid.uuid4().hex
        near = {
            ShardName(shard): LocalCaller(_near(socket), address)
            for shard, socket in options["shards"].items()
        }
        far = {shard: _far(shard, address, incarnation, caller) for shard, caller in near.items()}
        self._node = RegionNode(_parts(options, incarnation, ShardsOverRay(address, far)))
        self._sessions = {shard: self._node.join(shard) for shard in near}
        self._node.start()
        tune_interpreter()
        give_memory_back()
        self._connected = [
            asyncio.create_task(end.keep_connected(session.receive))
            for shard, session in self._sessions.items()
            for end in (near[shard], far[shard])
        ]
        self._hearts = [Heart(session.beat_for_ever) for session in self._sessions.values()]
        for heart in self._hearts:
            heart.start()

    def receive(self, shard: ShardName, batch: bytes) -> None:
        """Take a batch from a shard on another machine."""
        self._sessions[shard].receive(batch)


def where_here() -> dict[str, str]:
    """Say on which machine this is, and of which version."""
    return {"host": socket.gethostname(), "address": own_address(), "version": build()}


def _far(shard: ShardName, own: str, incarnation: str, near: LocalCaller) -> FarShard:
    remote = RemoteActor(shard, own)
    return FarShard(
        incarnation,
        own_address(),
        remote.invite,
        is_near=lambda: near.connected,
        otherwise=near.carrier(remote.deliver),
    )


def _parts(options: dict[str, Any], incarnation: str, transport: ShardsOverRay) -> NodeParts:
    room = AnswerRoom()
    # Webhooks that name this region leave from here too: a process of their own would cost 60 MB a region.
    egress = make_egress(options, room)
    return NodeParts(
        incarnation=incarnation,
        boot_id=boot_id(),
        clock=SystemClock(),
        transport=transport,
        targets=egress,
        receivers=egress,
        room=room,
        webhook_places=options["webhook_places"],
        vitals=process_vitals,
    )


def _near(socket: str) -> Path:
    """Say where on this machine a shard's socket is, if the shard is here: in a temporary directory."""
    preferred = Path(tempfile.gettempdir(), socket)
    return preferred if preferred.parent.exists() else Path("/tmp", socket)  # noqa: S108  # where serve goes too
