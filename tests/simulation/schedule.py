"""The webhook schedule of a run: 24 hours of heartbeats would cost more than they show."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from orchestrator.domain import fanout

OFFSETS_S = (0, 1, 4, 10, 30, 60)


@contextmanager
def short_schedule() -> Iterator[None]:
    """Shorten the offsets between a delivery's attempts."""
    with patch.object(fanout, "OFFSETS_S", OFFSETS_S):
        yield
