"""Whence deliveries leave: from the webhook actor, or from a region that their webhook names."""

from orchestrator.core.regions.peers import WEBHOOKS, PeerBook
from orchestrator.domain.ids import RegionName
from orchestrator.domain.webhooks.fanout import NO_REGION, next_region


class Departures:
    """Chooses who sends.

    Args:
        peers: The senders.
    """

    def __init__(self, peers: PeerBook) -> None:
        self._peers = peers

    def first(self, regions: tuple[RegionName, ...]) -> RegionName | None:
        """Choose for an attempt of a webhook that names ``regions``; None while none of them is up, or
        there is no room for what waits to be sent there.
        """
        if not any(self._peers.knows(region) for region in regions):
            return WEBHOOKS if self._peers.takes_mail(WEBHOOKS) else None
        return self.following(regions, ())

    def following(self, regions: tuple[RegionName, ...], tried: tuple[RegionName, ...]) -> RegionName | None:
        """Choose for the same attempt, where those ``tried`` had no answer; None where none is left."""
        able = [region for region in self._peers.regions_up() if self._peers.takes_mail(region)]
        return next_region(regions, tried, able)

    @staticmethod
    def possible(regions: tuple[RegionName, ...]) -> tuple[RegionName, ...]:
        """List from where a webhook that names ``regions`` may leave at all."""
        return (*regions, WEBHOOKS)

    @staticmethod
    def shown(sender: RegionName) -> RegionName:
        """Name the region that customers are shown: the webhook actor is in none."""
        return NO_REGION if sender == WEBHOOKS else sender
