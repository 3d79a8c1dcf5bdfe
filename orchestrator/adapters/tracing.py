"""Which tracing an operator has asked for. What is not asked for is not imported."""

from typing import Protocol

from orchestrator.ports.lifecycle import Closeable
from orchestrator.ports.tracing import NoTracing, Tracing


class OpenTracing(Tracing, Closeable, Protocol):
    """Tracing that may have spans still to send."""

    def close(self) -> None:
        """Send what waits; blocks until it has."""


class _None(NoTracing):
    """No tracing; nothing waits."""

    def close(self) -> None:
        """Nothing waits."""


def open_tracing(wanted: str) -> OpenTracing:
    """Open what ``--tracing`` names; "" is none."""
    if not wanted:
        return _None()
    from orchestrator.adapters.otlp import OtlpTracing  # noqa: PLC0415  # an extra: it may not be installed

    return OtlpTracing()
