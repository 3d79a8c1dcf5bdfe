"""A shard as nodes reach it, whatever carries their messages."""

from collections.abc import Callable
from functools import partial

from orchestrator.core.shard import Shard
from orchestrator.domain.ids import NodeAddress, ShardName
from orchestrator.domain.mail_room import MailCount, MailRoom, MailShare
from orchestrator.messages.codec import (
    BatchReader,
    Header,
    LaterLifeError,
    WireError,
    decode_one,
    encode,
)
from orchestrator.messages.reports import inspect
from orchestrator.messages.types import Heartbeat, Message
from orchestrator.ports.lifecycle import AsyncCloseable
from orchestrator.ports.transport import NodeTransport
from orchestrator.transport.mailbox import Mailbox


class ShardNode:
    """Lets in what nodes send to a shard; what was meant for an earlier life of it is dropped.

    Args:
        shard: Whose door this is.
        boot_id: This boot of its machine: nodes that share it share its monotonic clock.
    """

    def __init__(self, shard: Shard, boot_id: str) -> None:
        self.shard = shard
        self._boot_id = boot_id

    def taker(self, sender: NodeAddress) -> Callable[[bytes], None]:
        """Make what takes the batches of one node."""
        return partial(self.receive, sender)

    def receive(
        self,
        sender: NodeAddress,
        batch: bytes,
        inspect: Callable[[Message], None] | None = None,
    ) -> None:
        """Take a batch from a node; which one, the transport says. ``inspect`` raises where all of it is not
        to be taken.

        Raises:
            WireError: It is no batch, or was not to be taken.
            LaterLifeError: It is for a later life of this shard, which was cut off and does not know yet.

        """
        shard = self.shard
        peer = shard.peers.find(sender)
        # Of who has never beaten nothing is kept.
        reader = BatchReader() if peer is None else peer.reader
        header, messages = reader.read(batch)
        if header.epoch > shard.epoch:
            msg = f"a batch for life {header.epoch} of this shard came to life {shard.epoch}"
            raise LaterLifeError(msg)
        if header.epoch == shard.epoch:
            if inspect is not None:
                for message in messages:
                    inspect(message)
            shard.counters.batch_messages.observe(len(messages))
            for message in messages:
                shard.receive(sender, message)

    def heartbeat(self, sender: NodeAddress, beat: bytes, *, only_named: bool = False) -> bytes:
        """Take a node's heartbeat, and give the reply. ``only_named``: it takes only jobs that name its
        region.

        Raises:
            WireError: It is no heartbeat.

        """
        message = decode_one(beat)
        if not isinstance(message, Heartbeat):
            msg = f"{type(message).__name__} is no heartbeat"
            raise WireError(msg)
        return encode(self.shard.heartbeat(sender, message, self._boot_id, only_named=only_named))

    def receive_from_shard(self, sender: ShardName, batch: bytes) -> None:
        """Take a batch from another shard.

        Raises:
            WireError: It is no batch, or was not to be taken.

        """
        self.shard.neighbours.receive(sender, batch)

    def heartbeat_of_shard(self, sender: ShardName, beat: bytes) -> bytes:
        """Take another shard's heartbeat, and give the reply.

        Raises:
            WireError: It is none.

        """
        return self.shard.neighbours.beat(sender, beat)


class Visitor:
    """A node on a machine of somebody else's: each message of it is looked at before it counts, and it is
    held to the life that it named when it came, and to the jobs that it said it takes.
    """

    def __init__(
        self, node: ShardNode, address: NodeAddress, incarnation: str, *, only_named: bool = False
    ) -> None:
        self._node = node
        self._address = address
        self._incarnation = incarnation
        self._only_named = only_named

    def take(self, batch: bytes) -> None:
        """Take a batch.

        Raises:
            WireError: It is none, or holds what no region may say.

        """
        self._node.receive(self._address, batch, inspect)

    def answer(self, beat: bytes) -> bytes:
        """Take a heartbeat, and give the reply.

        Raises:
            WireError: It is none, or another's.

        """
        message = decode_one(beat)
        inspect(message)
        if not isinstance(message, Heartbeat) or message.incarnation != self._incarnation:
            raise WireError("a heartbeat of another life than the one that came")
        return self._node.heartbeat(self._address, beat, only_named=self._only_named)


class MailboxLink(AsyncCloseable):
    """A mailbox to one node."""

    def __init__(self, mailbox: Mailbox, mail: MailShare) -> None:
        self._mailbox = mailbox
        self.mail = mail

    def post(self, message: Message, count: MailCount | None = None) -> None:
        """Queue a message; where ``count`` is given, that counts it."""
        self._mailbox.post(message, count=count)

    def readdress(self, epoch: int, incarnation: str) -> None:
        """Speak to another incarnation of the node; what waits for the old one is dropped."""
        self._mailbox.readdress(Header(epoch, incarnation))
        if incarnation:
            self._mailbox.knock()

    def stuck_s(self) -> float:
        """Say for how long nothing has arrived there, though something is on its way (s)."""
        return self._mailbox.stuck_s()

    async def close(self) -> None:
        """Drop what waits."""
        await self._mailbox.close()


class MailboxLinks:
    """Makes links over a transport, which share some room for what waits in them."""

    def __init__(self, transport: NodeTransport) -> None:
        self._transport = transport
        self._room = MailRoom()

    def link(self, to: NodeAddress) -> MailboxLink:
        """Make the link to a region's node."""
        mail = MailShare(self._room)
        return MailboxLink(Mailbox(self._transport.carrier(to), Header(0, ""), mail), mail)
