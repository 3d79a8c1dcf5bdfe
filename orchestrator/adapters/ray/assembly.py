"""What a shard's process is assembled of: the shard, and the gateway in front of it, as settings have it."""

import random

from orchestrator.adapters.domains_file import load_known_domains
from orchestrator.adapters.http.authentication import ApiKeyAuthenticator
from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.large_answers import SharedResults
from orchestrator.adapters.target_guard import ResolvingGuard
from orchestrator.core.gateway.gateway import Gateway
from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.core.regions.node import MailboxLinks
from orchestrator.core.shard import Shard
from orchestrator.core.shard_options import ShardOptions
from orchestrator.domain.ids import NodeAddress, RegionName
from orchestrator.domain.pace.pacing import Pace
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.store import Store
from orchestrator.ports.tracing import Tracing
from orchestrator.ports.transport import NodeTransport
from orchestrator.settings import Settings


def make_shard(
    settings: Settings,
    store: Store,
    transport: NodeTransport,
    tracing: Tracing,
    expected: tuple[NodeAddress, ...],
) -> Shard:
    """Make the shard, over nodes that ``transport`` reaches; ``expected`` are those that there are to be,
    where they are not called as those of ``messages.names``.
    """
    regions = tuple(RegionName(name) for name in settings.regions)
    return Shard(
        store=store,
        links=MailboxLinks(transport),
        clock=SystemClock(),
        random=random.Random(),  # noqa: S311  # ids and jitter, not secrets
        options=ShardOptions(
            regions=regions,
            nodes=expected,
            pace=Pace(settings.default_rps, settings.default_max_concurrent),
            delivery=settings.delivery,
            strict_down_s=settings.strict_down_s,
            known=load_known_domains(settings.domains_file),
        ),
        tracing=tracing,
    )


def make_backend(settings: Settings, shard: Shard, store: Store) -> Backend:
    """Make what the handlers of the HTTP API need, the gateway to the shard first."""
    bounds, clock = settings.bounds, SystemClock()
    gateway = Gateway(
        LocalShard(shard),
        store,
        clock,
        guard=ResolvingGuard(settings.allow_private_targets, settings.allow_targets, clock),
        random=random.Random(),  # noqa: S311  # ids, not secrets
        bounds=bounds,
        regions=shard.peers.names,
        many_jobs_rps=settings.many_jobs_rps,
    )
    return Backend(
        gateway=gateway,
        keys=ApiKeyAuthenticator(gateway.customers, clock),
        bounds=bounds,
        results=SharedResults(gateway.jobs),
    )
