"""Links to the other actors: over a Unix socket on this machine, over Ray elsewhere."""

from orchestrator.domain.ids import RegionName
from orchestrator.wire.codec import Header
from orchestrator.wire.local_link import LocalExchange
from orchestrator.wire.mailbox import Carrier, Mailbox
from orchestrator.wire.messages import Message
from regions.ray_carrier import RayCarrier


class ActorLink:
    """A mailbox to one actor."""

    def __init__(self, carry: Carrier) -> None:
        self._mailbox = Mailbox(carry, Header(0, ""))

    def post(self, message: Message) -> None:
        """Queue a message."""
        self._mailbox.post(message)

    def readdress(self, epoch: int, incarnation: str) -> None:
        """Speak to another incarnation of the actor; what waits for the old one is dropped."""
        self._mailbox.readdress(Header(epoch, incarnation))
        if incarnation:
            self._mailbox.knock()

    async def close(self) -> None:
        """Drop what waits."""
        await self._mailbox.close()


class ActorLinks:
    """Makes links to executors and the webhook actor by name."""

    def __init__(self, actor_names: dict[RegionName, str], exchange: LocalExchange) -> None:
        self._actor_names = actor_names
        self._exchange = exchange

    def link(self, region: RegionName) -> ActorLink:
        """Make the link to one peer."""
        name = self._actor_names[region]
        return ActorLink(self._exchange.carrier(name, RayCarrier(name)))
