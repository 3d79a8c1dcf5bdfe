"""How the shard reaches the other actors."""

from typing import Protocol

from orchestrator.domain.ids import NodeAddress
from orchestrator.domain.mail_room import MailCount, MailShare
from orchestrator.messages.types import Message
from orchestrator.ports.lifecycle import AsyncCloseable


class RegionLink(AsyncCloseable, Protocol):
    """Carries messages to one node; receiving them twice is harmless there. ``mail`` counts what waits, or is
    on its way.
    """

    mail: MailShare

    def post(self, message: Message, count: MailCount | None = None) -> None:
        """Queue a message; where ``count`` is given, that counts it."""

    def readdress(self, epoch: int, incarnation: str) -> None:
        """Speak to another incarnation of the node; what waits for the old one is dropped."""

    def stuck_s(self) -> float:
        """Say for how long nothing has arrived there, though something is on its way (s)."""

    async def close(self) -> None:
        """Drop what waits."""


class RegionLinks(Protocol):
    """Makes links."""

    def link(self, to: NodeAddress) -> RegionLink:
        """Make the link to a region's node."""
