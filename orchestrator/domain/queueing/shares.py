"""What a turn at a target gets."""

from msgspec import Struct

from orchestrator.domain.ids import AccountId, CustomerId

Key = tuple[CustomerId, AccountId | None]
"""Whose turn it is."""


class Share(Struct, frozen=True):
    """What a turn gets: ``now`` permits when it comes next, ``later`` in each turn after that. It speaks for
    ``times`` turns like it; ``before``: it comes before the turn that was asked about.
    """

    turn: Key
    now: int
    later: int
    before: bool = False
    times: int = 1

    def permits(self, turns: int) -> int:
        """Count what it may have had after so many turns."""
        return self.now + (turns - 1) * self.later if turns else 0
