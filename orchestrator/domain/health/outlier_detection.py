"""A region that beats, but can't reach what others reach: doubted by the outcomes of its attempts."""

import math

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.ids import TargetDomain

TARGETS_TO_DOUBT = 5
PROBE_EVERY_S = 5.0


class Doubt(Struct, frozen=True):
    """``unreached`` are the targets that gave this region no answer and another region one, since the
    last answer that this region got from anybody. ``probe_at`` is when it is tried next (monotonic s).
    """

    unreached: frozenset[TargetDomain] = frozenset()
    probe_at: float = -math.inf

    @property
    def doubted(self) -> bool:
        """Whether its own way out is broken rather than its targets."""
        return len(self.unreached) >= TARGETS_TO_DOUBT


def blame(doubt: Doubt, domain: TargetDomain) -> Doubt:
    """A target that gave this region no answer has answered another."""
    return replace(doubt, unreached=doubt.unreached | {domain})


def to_avoid(doubt: Doubt, now: float) -> bool:
    """Whether work goes elsewhere if it can."""
    return doubt.doubted and now < doubt.probe_at


def note_sent(doubt: Doubt, now: float) -> Doubt:
    """An attempt went out all the same: the next may after a while."""
    return replace(doubt, probe_at=now + PROBE_EVERY_S) if doubt.doubted else doubt
