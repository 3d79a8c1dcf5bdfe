"""What holds a target's requests back now: every signal in force, where it comes from and when it ends."""

from enum import StrEnum

from msgspec import Struct

from orchestrator.domain.headers.budgets import BudgetUnit
from orchestrator.domain.ids import AccountId, CustomerId

RETRY_AFTER = "retry-after"
REFUSALS = "429 or 503"
"""A source that is no header: refusals that said nothing about pace."""
OPERATOR = "operator"
"""Another: what was set with ``PUT /api/v1/domains/{domain}/pace``, or ``ezthrottle domains set``."""


class ActiveLimitKind(StrEnum):
    """What a signal does."""

    PACE = "pace"
    PAUSE = "pause"
    SLOWED = "slowed"
    """A rate found by trying (AIMD), in requests per second."""
    BUDGET = "budget"
    TROUBLE = "trouble"
    """A path class refuses all its requests: they alone are kept to so little, until one is answered."""
    BREAKER = "breaker"
    """Nothing goes but a probe now and then, until the target answers again."""


class Scope(StrEnum):
    """Whom a signal binds."""

    DOMAIN = "domain"
    CUSTOMER = "customer"
    ACCOUNT = "account"
    PATH = "path"


class ActiveLimit(Struct, frozen=True, kw_only=True):
    """One signal. ``source`` is a header in lower case, REFUSALS, OPERATOR, a path class, or what opened a
    breaker; ``until`` is monotonic s, None where it has no end of its own; ``rps`` is the rate that it
    allows, 0 where nothing may start, None where it holds no rate down just now; ``remaining`` is in
    ``unit``.
    """

    kind: ActiveLimitKind
    source: str
    until: float | None = None
    rps: float | None = None
    max_concurrent: int | None = None
    unit: BudgetUnit | None = None
    remaining: float | None = None
    binds: Scope = Scope.DOMAIN
    customer: CustomerId | None = None
    account: AccountId | None = None
