"""Memory that many share: what may be held at once, and by whom."""

KIB = 1024
MIB = 1024 * KIB
LARGE_BYTES = 64 * KIB
"""From here on a result is not copied for each who needs it: it is left on disk, and read when it goes."""

TLS_COSTS = 68 * KIB
"""What a connection takes besides where it is within TLS: see ``regions/egress/connector.py``."""


class ByteBudget:
    """Bytes in all, of which nobody may hold more than he leaves free.

    So one who fills it stops at half, two at a third each, and whoever comes next finds room: the dynamic
    thresholds of A. K. Choudhury and E. L. Hahne ("Dynamic queue length thresholds for shared-memory packet
    switches", IEEE/ACM Transactions on Networking 6(2), 1998), with a factor of one.

    Args:
        most: Bytes. A piece of more than half of them counts as half, for else it could never go.
    """

    __slots__ = ("_held", "most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self._held: dict[str, int] = {}

    def fits(self, owner: str, size: int) -> bool:
        """Whether an owner may hold ``size`` bytes more."""
        return self.held_by(owner) + self._counted(size) <= self.most - self.used

    def held_by(self, owner: str) -> int:
        """Say how many bytes an owner holds."""
        return self._held.get(owner, 0)

    def take(self, owner: str, size: int) -> None:
        """Count ``size`` bytes, whether they fit or not."""
        size = self._counted(size)
        self.used += size
        self._held[owner] = self.held_by(owner) + size

    def give_back(self, owner: str, size: int) -> None:
        """Count what was taken, in pieces of the same sizes, no longer."""
        size = self._counted(size)
        self.used -= size
        self._held[owner] -= size
        if not self._held[owner]:
            del self._held[owner]

    def _counted(self, size: int) -> int:
        return min(size, self.most // 2)
