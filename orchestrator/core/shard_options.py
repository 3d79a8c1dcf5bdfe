"""What an operator may set of a shard."""

from collections.abc import Sequence

from msgspec import Struct, field

from orchestrator.domain.health.routing import STRICT_DOWN_S
from orchestrator.domain.ids import NodeAddress, RegionName, ShardName
from orchestrator.domain.pace.known_domains import KnownDomains
from orchestrator.domain.pace.pacing import Pace, PaceCaps
from orchestrator.domain.webhooks.fanout import DeliveryOptions
from orchestrator.messages.names import SHARD, expected_nodes


class ShardOptions(Struct, frozen=True, kw_only=True):
    """The regions that are expected, and how this shard treats targets and receivers.

    ``pace`` holds where nothing is known of a target, ``caps`` bound what targets may ask for, ``known`` is
    what the operator says of certain targets. A leg that may run nowhere else is given up once its region has
    been down for ``strict_down_s`` seconds.
    """

    regions: tuple[RegionName, ...]
    nodes: tuple[NodeAddress, ...] = ()
    """The nodes that there are to be, where they are not called as those of ``messages.names``."""
    name: ShardName = SHARD
    pace: Pace = field(default_factory=Pace)
    caps: PaceCaps = field(default_factory=PaceCaps)
    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)
    strict_down_s: float = STRICT_DOWN_S
    known: KnownDomains = field(default_factory=KnownDomains)

    @property
    def expected(self) -> Sequence[NodeAddress]:
        """List the nodes that there are to be."""
        return self.nodes or expected_nodes(self.regions)
