"""The queues of a shard's targets."""

from collections.abc import Callable

from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.domain.ids import TargetDomain
from orchestrator.ports.targets import Claim


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

    def withdraw(self, claim: Claim, *, queued: bool) -> None:
        """Nobody waits for a claim any more, be its ticket ``queued`` or kept away."""
        self._limiter(claim.domain).withdraw(claim.ticket, spare=claim.spare, queued=queued)
