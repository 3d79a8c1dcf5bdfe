"""The budgets that one throttle keeps to."""

from collections.abc import Iterator

from orchestrator.domain.headers.budgets import Budget
from orchestrator.domain.pace.active_limits import ActiveLimit
from orchestrator.domain.steering.quota import Quota

QUOTAS_MOST = 16
"""A target may name ever new ones."""


class Quotas:
    """Quotas by name and partition, all of which a request spends from. Times are monotonic seconds."""

    __slots__ = ("_quotas",)

    def __init__(self) -> None:
        self._quotas: dict[tuple[str, bytes | None], Quota] = {}
        """The one that was followed last is the last."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._quotas)

    def next_at(self, due: float, cost: float) -> float:
        """When a request that may go at ``due`` may go for all of them; infinite where never."""
        return max([due, *(quota.next_at(due, cost) for quota in self._quotas.values())])

    def paid_at(self, now: float, cost: float, count: int) -> float:
        """Estimate when they have paid for ``count`` requests of this cost."""
        return max([now, *(quota.paid_at(now, cost, count) for quota in self._quotas.values())])

    def spend(self, now: float, cost: float) -> None:
        """Let a request out."""
        for quota in self._quotas.values():
            quota.spend(now, cost)

    def refund(self, cost: float) -> None:
        """Take back what a request did not use."""
        for quota in self._quotas.values():
            quota.refund(cost)

    def follow(
        self, budget: Budget, remaining: float, *, in_flight: float, now: float, since: float, told_at: float
    ) -> None:
        """Keep to a budget from now on.

        Args:
            budget: As an answer told it.
            remaining: What is left of it.
            in_flight: What others in flight may take of that.
            now: The present.
            since: When the last request was let out.
            told_at: When the answer came.

        """
        quota = Quota(budget, remaining=remaining, in_flight=in_flight, now=now, since=since, told_at=told_at)
        key = (budget.name, budget.partition)
        before = self._quotas.pop(key, None)
        # Regions report in their own time: a later answer has told what is left now, and until when.
        overtaken = before is not None and before.told_at > told_at
        self._quotas[key] = before if before is not None and overtaken else quota
        if len(self._quotas) > QUOTAS_MOST:
            del self._quotas[next(iter(self._quotas))]

    def drop_expired(self, now: float) -> None:
        """Forget those whose reset has passed."""
        self._quotas = {name: quota for name, quota in self._quotas.items() if not quota.expired(now)}

    def active_limits(self, now: float) -> Iterator[ActiveLimit]:
        """Show what each has left."""
        return (quota.active_limit(now) for quota in self._quotas.values() if not quota.expired(now))
