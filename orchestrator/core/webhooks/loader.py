"""What a delivery leaves with: its job's result, and the secrets that sign it."""

import logging

from orchestrator.core.webhooks.outbox import Outbox
from orchestrator.core.webhooks.queued import LoadedResult, QueuedDelivery
from orchestrator.core.webhooks.signing_secrets import SigningSecrets
from orchestrator.ports.store import DamagedError, JobStore
from orchestrator.runtime.log_format import about

log = logging.getLogger(__name__)


class DeliveryLoader:
    """Reads both from disk. What can't be read is in the outbox's log, and nothing goes."""

    def __init__(self, store: JobStore, secrets: SigningSecrets, outbox: Outbox) -> None:
        self._store = store
        self._secrets = secrets
        self._outbox = outbox

    async def load(self, delivery: QueuedDelivery) -> tuple[LoadedResult, tuple[str, ...]] | None:
        """Give both; None where this attempt does not go."""
        result = delivery.result or await self.result(delivery)
        secrets = None if result is None else await self._secrets_for(delivery, result)
        return None if result is None or secrets is None else (result, secrets)

    async def result(self, delivery: QueuedDelivery) -> LoadedResult | None:
        """Read what is to be delivered; None where nothing is, or it can't be read: that delivery is over."""
        try:
            stored = await self._store.look(delivery.job_id)
        except DamagedError as error:
            await self._outbox.fail_as_unreadable(delivery.job_id, delivery.index, str(error))
            return None
        if stored is not None and stored.damage is not None and not stored.result_bytes:
            await self._outbox.fail_as_unreadable(delivery.job_id, delivery.index, stored.damage)
        if stored is None or not stored.result_bytes or delivery.index >= len(stored.deliveries):
            return None
        return LoadedResult.of(
            stored.job, stored.result, stored.result_bytes, stored.deliveries, stored.ended_ms or 0
        )

    async def _secrets_for(self, delivery: QueuedDelivery, result: LoadedResult) -> tuple[str, ...] | None:
        try:
            return await self._secrets.of(delivery.customer)
        except DamagedError as error:
            ids = about(customer=delivery.customer, job=delivery.job_id)
            log.warning("the webhook secrets of %s are damaged: %s", delivery.customer, error, extra=ids)
        await self._outbox.retry_unsigned(result.entries[delivery.index])
        return None
