"""A leg's claim to a permit of its target, wherever it waits for it."""

from collections.abc import Callable

from msgspec import Struct

from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.domain.fairness import Ticket
from orchestrator.domain.ids import TargetDomain


class Claim(Struct, frozen=True):
    """A leg that wants a permit of ``domain``. ``spare``: it uses only what no first leg of its target wants.

    ``may_leave``: its step has a fallback.
    """

    domain: TargetDomain
    ticket: Ticket
    spare: bool = False
    may_leave: bool = False


class Queues:
    """Where claims wait for their permits: each in its target's queue.

    Args:
        limiter: Finds a domain's limiter, or makes it.
    """

    def __init__(self, limiter: Callable[[TargetDomain], DomainLimiter]) -> None:
        self._limiter = limiter

    def keep_place(self, claim: Claim) -> None:
        """Let a claim's job count as waiting, though its ticket is not in the queue yet."""
        if not claim.spare:
            self._limiter(claim.domain).keep_place(claim.ticket)

    def enqueue(self, claim: Claim) -> None:
        """Queue for a permit."""
        limiter = self._limiter(claim.domain)
        if claim.spare:
            limiter.enqueue_spare(claim.ticket)
        else:
            limiter.enqueue(claim.ticket)

    def withdraw(self, claim: Claim) -> None:
        """Nobody waits for it any more, wherever its ticket lies."""
        self._limiter(claim.domain).withdraw(claim.ticket, spare=claim.spare)
