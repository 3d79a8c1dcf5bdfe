"""A place in a target's queue."""

from dataclasses import dataclass, field

from orchestrator.domain.ids import AccountId, CustomerId, JobId
from orchestrator.domain.requests.path_class import UNKNOWN_PATH, PathClass


@dataclass(frozen=True, slots=True, order=True)
class Ticket:
    """A leg's place in the queue: an index entry, never the payload. ``cost`` is in tokens."""

    order_key: int
    job_id: JobId
    leg: int = 0
    customer: CustomerId = field(default=CustomerId(""), compare=False)
    step: int = 0
    account: AccountId | None = field(default=None, compare=False)
    cost: float = field(default=1.0, compare=False)
    path: PathClass = field(default=UNKNOWN_PATH, compare=False)
