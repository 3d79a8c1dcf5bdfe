"""Where nodes of other machines come in."""

import ssl

from msgspec import Struct


class Gateway(Struct, frozen=True):
    """Where a gateway listens; ``tls`` is None where it is on this machine, for playing."""

    host: str
    port: int
    tls: ssl.SSLContext | None

    def __str__(self) -> str:
        """Write it as it stands in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
