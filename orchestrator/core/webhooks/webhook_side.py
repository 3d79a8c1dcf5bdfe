"""All that a shard has of webhooks: the outbox, what sends from it, and what reopens it."""

from orchestrator.core.regions.peers import PeerBook
from orchestrator.core.shard_context import ShardContext
from orchestrator.core.webhooks.dispatcher import WebhookDispatcher
from orchestrator.core.webhooks.outbox import Outbox
from orchestrator.core.webhooks.redelivery import Redelivery
from orchestrator.core.webhooks.signing_secrets import SigningSecrets
from orchestrator.domain.webhooks.fanout import DeliveryOptions
from orchestrator.ports.store import OutboxEntry


class WebhookSide:
    """Joins the parts of the webhooks' side.

    Args:
        context: What the shard's parts share.
        peers: The senders.
        options: Schedule and bounds.
    """

    def __init__(self, context: ShardContext, peers: PeerBook, options: DeliveryOptions) -> None:
        store = context.store
        self.outbox = Outbox(context, options.schedule, due=self._due)
        self.secrets = SigningSecrets(store.customers)
        self.dispatcher = WebhookDispatcher(
            context, self.outbox, self.secrets, peers, max_concurrent=options.max_concurrent
        )
        self.redelivery = Redelivery(store.jobs, store.history, self.outbox, per_s=options.redelivery_rps)

    def _due(self, entry: OutboxEntry) -> None:
        self.dispatcher.due(entry)
