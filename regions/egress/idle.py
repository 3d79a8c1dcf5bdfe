"""Connections that lie in the client's pool: of all in bytes, for each that is made and kept takes memory."""

from typing import Protocol

from orchestrator.domain.byte_budget import KIB, MIB, TLS_COSTS

IDLE_BYTES = 12 * MIB
"""Of connections that nobody uses: some 600, or 140 within TLS."""
CONNECTION_COSTS = 20 * KIB
"""Of a connection: its transport, its protocol and its reader (17.5 KiB measured on uvloop)."""


class Idle(Protocol):
    """A connection that may be hung up."""

    def hang_up(self) -> None:
        """End it at once."""


class IdleConnections:
    """Those of one client. Where there is no room for another the one that has lain longest is hung up."""

    def __init__(self) -> None:
        self._sizes: dict[Idle, int] = {}
        self.used = 0

    def rest(self, connection: Idle, *, secure: bool) -> None:
        """Nobody uses it now."""
        self.wake(connection)
        size = self._sizes[connection] = CONNECTION_COSTS + (TLS_COSTS if secure else 0)
        self.used += size
        while self.used > IDLE_BYTES:
            oldest = next(iter(self._sizes))
            self.wake(oldest)
            oldest.hang_up()

    def wake(self, connection: Idle) -> None:
        """Somebody uses it, or it has ended."""
        self.used -= self._sizes.pop(connection, 0)
