"""Links to the other actors, over Ray. They are named, not held: a restarted one is found again."""

from orchestrator.domain.ids import RegionName
from orchestrator.wire.codec import Header
from orchestrator.wire.mailbox import Mailbox
from orchestrator.wire.messages import Message
from regions.ray_carrier import RayCarrier


class RayLink:
    """A mailbox to one actor."""

    def __init__(self, actor_name: str) -> None:
        self._mailbox = Mailbox(RayCarrier(actor_name), Header(0, ""))

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


class RayLinks:
    """Makes links to executors and the webhook actor by name."""

    def __init__(self, actor_names: dict[RegionName, str]) -> None:
        self._actor_names = actor_names

    def link(self, region: RegionName) -> RayLink:
        """Make the link to one peer."""
        return RayLink(self._actor_names[region])
