"""When keys were last used: noted for people, to the hour, and in nobody's way."""

from orchestrator.domain.access.api_keys import hour_of
from orchestrator.ports.customers import CustomerStore


class KeyUses:
    """Notes each key's use once an hour; the write rides a commit that others wait for."""

    def __init__(self, store: CustomerStore) -> None:
        self._store = store
        self._hour_ms = 0
        self._noted: set[str] = set()
        """The ids of the keys that were used in this hour."""

    def note(self, key_id: str, now_ms: int) -> None:
        """Note that a key is used now (Unix ms)."""
        hour_ms = hour_of(now_ms)
        if hour_ms != self._hour_ms:
            self._hour_ms, self._noted = hour_ms, set()
        if key_id not in self._noted:
            self._noted.add(key_id)
            self._store.note_use(key_id, hour_ms)
