"""How the shard reaches the other actors."""

from typing import Protocol

from orchestrator.domain.ids import RegionName
from orchestrator.wire.messages import Message


class RegionLink(Protocol):
    """Carries messages to one region's executor; receiving them twice is harmless there."""

    def post(self, message: Message) -> None:
        """Queue a message."""

    def readdress(self, epoch: int, incarnation: str) -> None:
        """Speak to another incarnation of the executor; what waits for the old one is dropped."""

    async def close(self) -> None:
        """Drop what waits."""


class RegionLinks(Protocol):
    """Makes links."""

    def link(self, region: RegionName) -> RegionLink:
        """Make the link to a region's executor."""
