"""One answer of a target, as far as it is about pace, and what all of them have taught."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from msgspec import Struct

from orchestrator.domain.ids import AccountId, CustomerId, JobId
from orchestrator.domain.pacing import Pace
from orchestrator.domain.path_class import UNKNOWN_PATH, PathClass

UNKNOWN_JOB = JobId("")
REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class Heard(Struct, frozen=True):
    """One answer, and whose request it answers. ``started_at`` and ``answered_at`` are monotonic seconds;
    ``probe``: the request tried whether the target is back, one at a time. An empty ``job`` is not known.
    ``cost`` is the request's tokens; None where it is not among those in flight.
    """

    status: int
    headers: Mapping[str, str]
    customer: CustomerId
    account: AccountId | None
    started_at: float
    answered_at: float
    probe: bool = False
    job: JobId = UNKNOWN_JOB
    path: PathClass = UNKNOWN_PATH
    cost: float | None = None

    @property
    def refused(self) -> bool:
        """Whether the target may bear no more. A 503 to a probe only says that it is not back yet."""
        return self.status in REFUSALS and not (self.probe and self.status == HTTPStatus.SERVICE_UNAVAILABLE)

    @property
    def binds_account(self) -> bool:
        """Whether what it refuses or budgets is the account's matter."""
        return self.account is not None and self.status != HTTPStatus.SERVICE_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class AccountTold:
    """The pace that an account was told, by which header; ``lapses_ms`` is Unix ms, None: it does not."""

    account: str
    rps: float
    max_concurrent: int
    lapses_ms: int | None
    source: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a target has taught, as it is kept on disk. Times are Unix ms. What it did not say is None: that
    is the operator's to change.
    """

    pace: Pace | None = None
    lapses_ms: int | None = None
    account_queues: bool | None = None
    paused_until_ms: int | None = None
    tried_rps: float | None = None
    accounts_paused: tuple[tuple[str, int], ...] = ()
    accounts_told: tuple["AccountTold", ...] = ()
    """Where accounts have queues: what some of those were told that were answered last."""
    source: str = field(default="", compare=False)
    saved_ms: int | None = field(default=None, compare=False)
