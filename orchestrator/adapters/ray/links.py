"""Links to the other actors, over Ray. They are named, not held: a restarted one is found again."""

from typing import Any

import ray

from orchestrator.domain.ids import RegionName
from orchestrator.wire import names
from orchestrator.wire.codec import Header
from orchestrator.wire.mailbox import Mailbox
from orchestrator.wire.messages import Message


class RayLink:
    """A mailbox to one actor."""

    def __init__(self, actor_name: str) -> None:
        self._actor_name = actor_name
        self._handle: Any = None
        self._mailbox = Mailbox(self._carry, Header(0, ""))

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

    async def _carry(self, batch: bytes) -> None:
        if self._handle is None:
            self._handle = ray.get_actor(self._actor_name, namespace=names.NAMESPACE)
        try:
            await self._handle.deliver.remote(batch)
        except Exception:
            self._handle = None
            raise


class RayLinks:
    """Makes links to executors and the webhook actor by name."""

    def __init__(self, actor_names: dict[RegionName, str]) -> None:
        self._actor_names = actor_names

    def link(self, region: RegionName) -> RayLink:
        """Make the link to one peer."""
        return RayLink(self._actor_names[region])
