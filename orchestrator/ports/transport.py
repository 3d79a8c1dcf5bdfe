"""How nodes reach each other: what is beneath mailboxes and heartbeats."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from orchestrator.domain.ids import NodeAddress, ShardName

Carrier = Callable[[bytes], Awaitable[object]]
"""Takes a batch to the peer; raises, at once or when awaited, where that failed or may have failed. One that
has written the batch by the time that it returns spares it a turn of the loop.
"""

_Far_contra = TypeVar("_Far_contra", NodeAddress, ShardName, contravariant=True)


class BatchTransport(Protocol[_Far_contra]):
    """Carries batches from one end to any of the others.

    It promises little: a batch arrives once, twice or never, in any order, and where carrying it raises it
    may have arrived. What it does promise is who sent it: the far end takes each batch together with the
    sender, which the transport knows by itself (whose connection it is, say), not by what the batch claims.
    """

    def carrier(self, to: _Far_contra) -> Carrier:
        """Make what carries batches to one far end; it need not be there yet."""


class ShardTransport(BatchTransport[ShardName], Protocol):
    """What a region's node needs: the way to the shards that it works for."""

    async def heartbeat(self, shard: ShardName, beat: bytes) -> bytes:
        """Bring a heartbeat and give its reply. Runs in the loop of the heart, not in the node's.

        Raises:
            Exception: There is no reply; whatever the transport met.

        """


NodeTransport = BatchTransport[NodeAddress]
"""What a shard needs: the way to the nodes that work for it."""
