"""How the shard's clock and this machine's relate, learned from heartbeats.

As in NTP: a reply's time belongs to the middle of its round trip, and the fastest of the latest
round trips is the one to believe.
"""

from collections import deque
from pathlib import Path

from orchestrator.messages.types import HeartbeatReply

SAMPLES = 16


def boot_id() -> str:
    """Name this boot of this machine: processes that share it share the monotonic clock."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class ClockOffset:
    """Estimates the shard's monotonic clock minus this one's, in seconds."""

    def __init__(self, own_boot_id: str) -> None:
        self._own_boot_id = own_boot_id
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)

    def learn(self, reply: HeartbeatReply, sent: float, received: float) -> float:
        """Take a reply to a heartbeat sent and answered at those times here; give the estimate."""
        if reply.boot_id == self._own_boot_id:
            return 0.0
        self._samples.append((received - sent, reply.now - (sent + received) / 2))
        return min(self._samples)[1]
