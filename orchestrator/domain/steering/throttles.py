"""The throttles of one domain: its own, and those of its accounts and customers."""

from collections.abc import Iterator

from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.steering.throttle import Throttle

THROTTLES_MOST = 10_000
SWEPT_FROM = 64
CUSTOMER_MARK = "@"
"""No account's id begins so."""
UNTOLD_KEY = ""
"""Of the throttle that those share that were told no pace of their own, where accounts have queues."""


def customer_key(customer: CustomerId) -> str:
    """Name the throttle that binds a customer, whatever its account."""
    return f"{CUSTOMER_MARK}{customer}"


class Throttles:
    """Finds throttles, or makes them: most domains never need any, and an idle one has to be small."""

    __slots__ = ("_swept_at", "by_key", "own")

    def __init__(self) -> None:
        self.own: Throttle | None = None
        """The domain's."""
        self.by_key: dict[str, Throttle] | None = None
        """By account id, or ``customer_key``."""
        self._swept_at = SWEPT_FROM

    def find(self, key: str) -> Throttle | None:
        """Find the throttle of an account or a ``customer_key``."""
        return self.by_key.get(key) if self.by_key else None

    def known(self, customer: CustomerId, account: AccountId | None) -> list[Throttle]:
        """List the throttles that there are for a request: of its domain, its customer and its account."""
        found = [throttle for _, throttle in self.named(customer, account)]
        return found if self.own is None else [self.own, *found]

    def named(self, customer: CustomerId, account: AccountId | None) -> list[tuple[str, Throttle]]:
        """List those that there are of a customer and an account, with their keys."""
        throttles = self.by_key or {}
        return [(key, throttles[key]) for key in (customer_key(customer), account) if key in throttles]

    def of_accounts(self) -> Iterator[tuple[str, Throttle]]:
        """Give those of accounts, and of those that were told no pace of their own, with their keys."""
        throttles = (self.by_key or {}).items()
        return ((key, throttle) for key, throttle in throttles if not key.startswith(CUSTOMER_MARK))

    def all(self) -> list[Throttle]:
        """List every one."""
        named = list((self.by_key or {}).values())
        return named if self.own is None else [self.own, *named]

    def domain(self) -> Throttle:
        """Find the domain's own throttle, or make it."""
        self.own = self.own or Throttle()
        return self.own

    def account(self, account: AccountId, customer: CustomerId, now: float) -> Throttle:
        """Find an account's throttle, or make it, for what ``customer`` is told."""
        throttle = self.of(account, now)
        throttle.heard_by = customer
        return throttle

    def of(self, key: str, now: float) -> Throttle:
        """Find the throttle of an account or a ``customer_key``, or make it."""
        self.by_key = self.by_key if self.by_key is not None else {}
        found = self.by_key.get(key)
        if found is None:
            self._sweep(now)
            found = self.by_key[key] = Throttle()
        return found

    def let_go(self, customer: CustomerId) -> None:
        """A customer was told a better pace than its own throttle keeps to."""
        if (throttle := self.find(customer_key(customer))) is not None:
            throttle.let_go()

    def hand_over(self, customer: CustomerId, now: float) -> None:
        """Let a rate found by trying bind the one customer who was refused, and the domain no longer."""
        if self.own is not None:
            self.of(customer_key(customer), now).take_tried_rate(self.own)

    def at_rest(self, now: float) -> bool:
        """Whether none holds any more."""
        return all(throttle.at_rest(now) for throttle in self.all())

    def forget(self) -> None:
        """Drop every one."""
        self.own = self.by_key = None
        self._swept_at = SWEPT_FROM

    def _sweep(self, now: float) -> None:
        """Drop what no longer binds anybody, when there is twice as much as after the last time."""
        throttles = self.by_key or {}
        if len(throttles) >= self._swept_at:
            kept = [(key, throttle) for key, throttle in throttles.items() if not throttle.at_rest(now)]
            # What very many share is no account's that may be told anew: without it they would begin again.
            shared = [entry for entry in kept if entry[0] == UNTOLD_KEY]
            self.by_key = dict([*shared, *kept[-THROTTLES_MOST:]])
            self._swept_at = max(SWEPT_FROM, 2 * len(self.by_key))
