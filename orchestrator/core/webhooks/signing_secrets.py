"""The secrets that webhooks are signed with, as far as they were needed."""

from contextlib import suppress

from orchestrator.domain.ids import CustomerId
from orchestrator.ports.customers import CustomerStore
from orchestrator.ports.store import StoreFailure


class SigningSecrets:
    """Remembers what is read, until it changes."""

    def __init__(self, store: CustomerStore) -> None:
        self._store = store
        self._known: dict[CustomerId, tuple[str, ...]] = {}
        self._changes = 0

    def known(self, customer: CustomerId) -> tuple[str, ...] | None:
        """Give a customer's secrets, the newest first, without a look at the disk; None: that needs one."""
        return self._known.get(customer)

    async def learn(self, customer: CustomerId) -> None:
        """Know a customer's from here on; a disk that gives nothing now is asked again when they are used."""
        with suppress(StoreFailure):
            await self.of(customer)

    def forget(self, customer: CustomerId) -> None:
        """They changed: read them anew."""
        self._known.pop(customer, None)
        self._changes += 1

    async def of(self, customer: CustomerId) -> tuple[str, ...]:
        """Give a customer's secrets, the newest first."""
        known = self._known.get(customer)
        if known is None:
            changes = self._changes
            stored = await self._store.secrets(customer)
            known = stored.signing if stored else ()
            if changes == self._changes:
                self._known[customer] = known
        return known
