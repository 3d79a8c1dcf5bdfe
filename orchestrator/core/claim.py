"""A leg's claim to a permit of its target, wherever it waits for it."""

from msgspec import Struct

from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.domain.fairness import Ticket


class Claim(Struct, frozen=True):
    """A leg that wants a permit. ``spare``: it uses only what no first leg of its target wants.

    ``may_leave``: its step has a fallback.
    """

    domain: DomainLimiter
    ticket: Ticket
    spare: bool = False
    may_leave: bool = False

    def keep_place(self) -> None:
        """Let its job count as waiting, though its ticket is not in the queue yet."""
        if not self.spare:
            self.domain.keep_place(self.ticket)

    def enqueue(self) -> None:
        """Queue for the permit."""
        if self.spare:
            self.domain.enqueue_spare(self.ticket)
        else:
            self.domain.enqueue(self.ticket)

    def withdraw(self) -> None:
        """Nobody waits for it any more, wherever its ticket lies."""
        self.domain.withdraw(self.ticket, spare=self.spare)
