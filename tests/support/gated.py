"""What binds accounts, customers and paths of a target, told by hand, in front of the queue that ships."""

from dataclasses import dataclass, field
from math import inf
from types import SimpleNamespace
from typing import Any, cast

from orchestrator.core.targets.target_queue import TargetQueue
from orchestrator.domain.ids import AccountId, CustomerId, JobId
from orchestrator.domain.queueing.fairness import one_each
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import PathClass
from orchestrator.domain.steering.throttles import UNTOLD_KEY, customer_key


@dataclass
class Told:
    """A throttle that has so many places and lets one out a second. It is paused until then."""

    places: int
    paused_until: float = 0.0
    out: int = 0
    next_start: float = 0.0

    def next_at(self, now: float, cost: float) -> float:
        del cost
        return inf if self.out >= self.places else max(now, self.next_start, self.paused_until)

    def spend(self, now: float, cost: float) -> "Told":
        del cost
        self.out, self.next_start = self.out + 1, now + 1.0
        return self


@dataclass
class Bound:
    """As a domain's ``Binding`` says it: what a ticket has to go through, of its path, of all, of its
    customer and of its account.
    """

    told: dict[str, Told] = field(default_factory=dict)

    any = True
    judge = SimpleNamespace(troubles=SimpleNamespace(times_ended=0), apart=lambda ticket: ticket.path or None)
    accounts = SimpleNamespace(have_queues=False)
    throttles = SimpleNamespace(own=None)

    def on_the_way_of(self, ticket: Ticket, now: float) -> list[tuple[str, Told]]:
        del now
        keys = (ticket.path, UNTOLD_KEY, customer_key(ticket.customer), str(ticket.account))
        return [(key, self.told[key]) for key in keys if key in self.told]


def a_ticket(number: int, customer: str, account: str = "x", path: str = "", *, first: bool = True) -> Ticket:
    """Make a ticket of a job of its own, for its first leg or a further one."""
    return Ticket(
        number,
        JobId(f"job_1_{number:04d}"),
        int(not first),
        CustomerId(customer),
        account=AccountId(account),
        path=PathClass(path),
    )


def gated_queue(bound: Bound) -> TargetQueue:
    """Make an empty queue behind gates."""
    queue = TargetQueue(cast("Any", bound), one_each)
    queue.follow()
    return queue
