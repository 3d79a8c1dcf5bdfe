"""Path classes in trouble: they refuse for ever, and get so little of a target's pace that nobody notices."""

import math
from collections.abc import Iterator

from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.pace.active_limits import ActiveLimit, ActiveLimitKind, Scope
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.requests.path_class import PathClass
from orchestrator.domain.steering.throttle import Throttle

SHARE = 0.018
"""Of the pace, for all classes in trouble together: 2 %, and room for two that go back to back."""
SUSPECTS_SHARE = 0.2
"""Of the pace, for whoever may be to blame: others are to show whether the target lets anybody through."""
TRIED_EVERY_MOST_S = 60.0
"""Of however slow a target: or nobody would find out that a path is well again."""
TROUBLES_MOST = 64


class Troubles:
    """The path classes in trouble at one target, for everybody or for one account, and what they share."""

    __slots__ = ("_classes", "_suspects", "_trickle", "pace", "times_ended")

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        """The one in force at the target."""
        self.times_ended = 0
        """Grows whenever what waits for its share may go without."""
        self._classes: dict[tuple[AccountId | None, PathClass], CustomerId] = {}
        """With whose request was the last to be refused."""
        self._trickle = Throttle()
        self._suspects = Throttle()

    def hold(self, account: AccountId | None, path: PathClass) -> bool:
        """Whether requests of an account to a path class wait for their share."""
        classes = self._classes
        return (None, path) in classes or (account is not None and (account, path) in classes)

    def of(self, account: AccountId | None, path: PathClass) -> bool:
        """Whether a class is in trouble for an account, or where that is None for everybody."""
        return (account, path) in self._classes

    def active_limits(self) -> Iterator[ActiveLimit]:
        """Show the classes in trouble, and what they all share."""
        rps = self._share_of(SHARE, self.pace.rps)
        for (account, path), customer in self._classes.items():
            yield ActiveLimit(
                kind=ActiveLimitKind.TROUBLE,
                source=path,
                rps=rps,
                binds=Scope.PATH,
                customer=customer,
                account=account,
            )

    def begin(self, account: AccountId | None, path: PathClass, customer: CustomerId) -> None:
        """A class is in trouble, as a request of ``customer`` told: for everybody, or for one account."""
        self._classes[account, path] = customer
        if len(self._classes) > TROUBLES_MOST:
            del self._classes[next(iter(self._classes))]
            self.times_ended += 1

    def heard_answer(self, account: AccountId | None, path: PathClass) -> None:
        """A request was let through."""
        for scope in {None, account}:
            if (scope, path) in self._classes:
                del self._classes[scope, path]
                self.times_ended += 1

    def trickle(self, rps: float, now: float) -> Throttle:
        """Give the throttle of them all, where ``rps`` requests a second go to the target by now."""
        return self._part_of(self._trickle, SHARE, rps, now)

    def suspects(self, rps: float, now: float) -> Throttle:
        """Give the throttle of whoever may be to blame, of which nothing is known for certain."""
        return self._part_of(self._suspects, SUSPECTS_SHARE, rps, now)

    @staticmethod
    def _share_of(share: float, rps: float) -> float:
        return max(share * rps, 1 / TRIED_EVERY_MOST_S)

    def _part_of(self, throttle: Throttle, share: float, rps: float, now: float) -> Throttle:
        slow = self._share_of(share, min(rps, self.pace.rps))
        # It does not lapse: whoever waits for its place is told when that comes back, and by no timer.
        throttle.tell(Pace(slow, max(1, int(share * self.pace.max_concurrent))), now, until=math.inf)
        return throttle
