"""What was let out to a target and has not come back."""

import dataclasses

from orchestrator.domain.pace.pacing import Limiter
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import PathClass
from orchestrator.domain.steering.binding import Binding
from orchestrator.domain.steering.throttle import Passage, Throttle

PLACE_WEIGHT = 0.1
"""Of the latest request in the mean time that a place in flight is held."""


class PermitsOut:
    """Each permit with its ticket and what it spends of the throttles on its way.

    A permit is here from its grant until it comes back, by ``unused`` or by ``closed``; whatever throttle
    binds its request counts it once, a throttle that was made later too. All times are monotonic seconds.
    """

    __slots__ = ("_binding", "_limiter", "_out", "place_s", "starts")

    def __init__(self, limiter: Limiter, binding: Binding) -> None:
        self._limiter = limiter
        self._binding = binding
        self._out = _NONE_OUT
        self.place_s = 0.0
        """The mean time that a place in flight is held."""
        self.starts = 0
        """Requests that began since this was made."""

    def __len__(self) -> int:
        """Count them."""
        return len(self._out)

    def ticket(self, permit: int) -> Ticket | None:
        """Find the ticket of a permit; None where that came back."""
        return self._out[permit][0] if permit in self._out else None

    def grant(self, permit: int, ticket: Ticket, passages: list[Passage], now: float) -> None:
        """Note that a ticket goes with a permit, and what it spends."""
        self._out = self._out or {}
        self._out[permit] = ticket, passages, now

    def classify(self, permit: int, path: PathClass) -> Ticket:
        """Note what a permit's request asks for; give its ticket, which says so from now on."""
        ticket, passages, granted_at = self._out[permit]
        ticket = dataclasses.replace(ticket, path=path)
        self._out[permit] = ticket, passages, granted_at
        return ticket

    def started(self, permit: int, at: float) -> Ticket | None:
        """A permit's request began; give its ticket, None where the permit came back."""
        self._limiter.started(permit, at)
        self.starts += 1
        ticket, passages, _ = self._out.get(permit, _NOTHING_OUT)
        for passage in passages:
            passage.started(at)
        return ticket

    def unused(self, permit: int, now: float) -> Ticket | None:
        """Take a permit back whose request did not go; give its ticket, if it was out."""
        self._limiter.unused(permit)
        ticket, passages, _ = self._pop(permit)
        for passage in passages:
            passage.unused(now)
        return ticket

    def closed(self, permit: int, now: float) -> Ticket | None:
        """Take the place in flight back of a request that is over; give its ticket, if its permit was out."""
        self._limiter.closed(permit, now)
        ticket, passages, granted_at = self._pop(permit)
        if ticket is not None:
            weight = PLACE_WEIGHT if self.place_s else 1.0
            self.place_s += weight * (now - granted_at - self.place_s)
        for passage in passages:
            passage.closed(now)
        return ticket

    def _pop(self, permit: int) -> tuple[Ticket | None, list[Passage], float]:
        found = self._out.pop(permit, _NOTHING_OUT)
        # An idle target is to cost little, and an emptied dict keeps its table.
        self._out = self._out or _NONE_OUT
        return found

    def count_in(self, throttle: Throttle) -> None:
        """Let a throttle that is new count what is under way: it takes places, and may be counted in no
        budget yet.
        """
        if throttle.counts_all:
            return
        throttle.counts_all = True
        for permit, (ticket, _, _) in self._out.items():
            if throttle in self._binding.throttles.known(ticket.customer, ticket.account):
                self._adopt(throttle, permit)

    def count_in_accounts(self, now: float) -> None:
        """Let throttles of accounts that have a pace of their own from now on count what is under way."""
        if self._binding.accounts.each is None:
            return
        for permit, (ticket, _, _) in self._out.items():
            for _, throttle in self._binding.accounts.bound(ticket.customer, ticket.account, now):
                self._adopt(throttle, permit)

    def count_all_in(self, throttle: Throttle) -> None:
        """Let a throttle count all that is under way, whosever it is."""
        for permit in self._out:
            self._adopt(throttle, permit)

    def _adopt(self, throttle: Throttle, permit: int) -> None:
        ticket, passages, granted_at = self._out[permit]
        yet_to_start = self._limiter.has_yet_to_start(permit)
        if all(passage.throttle is not throttle for passage in passages):
            passages.append(throttle.adopt(ticket.cost, yet_to_start=yet_to_start))
        elif yet_to_start:
            passages = [p.paced() if p.throttle is throttle else p for p in passages]
            self._out[permit] = ticket, passages, granted_at


_NONE_OUT: dict[int, tuple[Ticket, list[Passage], float]] = {}
"""Of all idle targets: nothing is ever put into it."""
_NOTHING_OUT: tuple[Ticket | None, list[Passage], float] = (None, [], 0.0)
