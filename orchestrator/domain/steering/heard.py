"""One answer of a target, as far as it is about pace."""

from collections.abc import Mapping
from http import HTTPStatus

from msgspec import Struct

from orchestrator.domain.ids import AccountId, CustomerId, JobId
from orchestrator.domain.requests.path_class import UNKNOWN_PATH, PathClass

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
    def let_through(self) -> bool:
        """Whether the target took the request."""
        return self.status not in REFUSALS

    @property
    def binds_account(self) -> bool:
        """Whether what it refuses or budgets is the account's matter."""
        return self.account is not None and self.status != HTTPStatus.SERVICE_UNAVAILABLE
