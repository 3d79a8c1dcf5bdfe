"""The Ray actors of a region: thin, for the driver imports them to make some, and hosts nothing."""

from typing import Any

from orchestrator.domain.ids import ShardName


class RegionActor:
    """A region's node as a Ray actor. ``address`` says which one, ``options`` is what the driver wrote down
    of the settings. Its start fails on a machine with other code than they name.
    """

    async def __init__(self, address: str, options: dict[str, Any]) -> None:  # type: ignore[misc]  # Ray awaits it
        from regions.ray_host import RegionHost, check_build  # noqa: PLC0415  # the HTTP client is for who sends

        check_build(options)
        self._host = RegionHost(address, options)

    async def deliver(self, shard: ShardName, batch: bytes) -> None:
        """Take a batch from a shard on another machine."""
        self._host.receive(shard, batch)

    async def where(self) -> dict[str, str]:
        """Say on which machine this is, and of which version."""
        from regions.ray_host import where_here  # noqa: PLC0415  # the same

        return where_here()


class ExecutorActor(RegionActor):
    """The node of a region: Ray titles its process so."""


class WebhookActor(RegionActor):
    """The node that sends the webhooks which name no region."""
