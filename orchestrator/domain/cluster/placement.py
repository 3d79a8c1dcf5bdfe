"""Where a region's node runs, or why it does not, as whoever places it knows."""

from enum import StrEnum

from msgspec import Struct


class PlacementState(StrEnum):
    """How far a node is placed."""

    PENDING = "pending"
    """No machine offers to run it."""
    STARTING = "starting"
    RUNS = "runs"
    FAILED = "failed"
    """Its start failed; it is made anew after a pause."""
    LEAVING = "leaving"
    """It runs and ends what it has; it is given nothing more, for another one takes its place."""


class Placement(Struct, frozen=True, kw_only=True):
    """Of one node, since a moment (Unix ms). ``host``, ``address`` and ``version`` are the last that were
    known, empty before; ``reason`` says in words why it does not run, where it does not.
    """

    state: PlacementState
    since_ms: int
    reason: str = ""
    host: str = ""
    address: str = ""
    version: str = ""
