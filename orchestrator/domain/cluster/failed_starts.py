"""How a part that can't start is started again: after pauses that grow, and told as failed after some."""

from msgspec import Struct

PAUSE_FIRST_S = 1.0
PAUSE_MOST_S = 60.0
DOUBLINGS_MOST = 10
FAILED_FROM = 4
"""So many starts in a row: another one is not expected to go better by itself. It is still tried, for a disk
may be emptied and a file mended.
"""
PROVEN_AFTER_S = 60.0
"""A life that ends sooner after it began to serve counts as a start that failed."""


class FailedStarts(Struct, frozen=True):
    """Starts in a row that failed, and why the last of them did."""

    count: int = 0
    reason: str = ""

    def and_one(self, reason: str) -> "FailedStarts":
        """Count another one."""
        return FailedStarts(self.count + 1, reason)

    @property
    def pause_s(self) -> float:
        """How long to wait before the next start (s)."""
        doublings = min(self.count - 1, DOUBLINGS_MOST)
        return min(PAUSE_FIRST_S * 2**doublings, PAUSE_MOST_S) if self.count else 0.0

    @property
    def failed(self) -> bool:
        """Whether somebody has to look."""
        return self.count >= FAILED_FROM

    def __str__(self) -> str:
        """Say so in a line."""
        again = f"tried again in {self.pause_s:g} s"
        return f"its start failed {self.count} times in a row, {again}: {self.reason}"
