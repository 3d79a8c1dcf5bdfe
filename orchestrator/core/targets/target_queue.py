"""Who waits for a target, and who of them may go next."""

from collections.abc import Iterator

from orchestrator.core.targets.gates import Gates
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.queueing.fairness import FairQueue, Weight
from orchestrator.domain.queueing.lanes import Gate
from orchestrator.domain.queueing.queue_position import PositionIndex, Standing
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.binding import Binding
from orchestrator.domain.steering.throttle import Passage


class TargetQueue:
    """Tickets in fair turns, behind the gates of what binds their customers and accounts, and where their
    jobs stand.

    A ticket that is withdrawn counts no longer as waiting at once, and is dropped when it comes to the front,
    or with others like it. If its leg is back by then, it has that ticket again: a leg has one here at most.
    Gates and positions are made when they are needed: an idle target is to cost little. All times are
    monotonic seconds.
    """

    __slots__ = ("_binding", "_gates", "_gone", "_positions", "_tickets")

    def __init__(self, binding: Binding, weight: Weight) -> None:
        self._binding = binding
        self._tickets = FairQueue(weight, by_account=binding.accounts.have_queues)
        self._positions: PositionIndex | None = None
        self._gates: Gates | None = None
        self._gone: set[Ticket] | None = None
        """Of legs that wait here no longer: each is queued."""

    def __bool__(self) -> bool:
        """Whether any ticket is queued."""
        return bool(self._tickets)

    @property
    def waiting(self) -> int:
        """Jobs that wait for their first permit, or for one to repeat with."""
        return self._positions.count if self._positions is not None else 0

    @property
    def by_account(self) -> bool:
        """Whether each account has a queue of its own."""
        return self._tickets.by_account

    @property
    def at_rest(self) -> bool:
        """Whether nothing waits, queued or not."""
        return not self._tickets and self._positions is None

    def waiting_of(self, customer: CustomerId) -> int:
        """Count a customer's jobs that wait."""
        return self._positions.waiting(customer) if self._positions is not None else 0

    def longest(self, most: int) -> list[tuple[CustomerId, int]]:
        """Give the customers with the most jobs that wait, and how many those are."""
        return self._positions.longest(most) if self._positions is not None else []

    def heads(self) -> Iterator[Ticket]:
        """Give the first ticket of each lane."""
        return self._tickets.heads()

    def stand(self, customer: CustomerId, order_key: int, job_id: JobId) -> Standing | None:
        """Say where a job stands; None where it does not wait."""
        if self._positions is None:
            return None
        return self._positions.stand(customer, order_key, job_id, self._tickets)

    def push(self, ticket: Ticket) -> None:
        """Queue a leg that others may not pass over."""
        if not self._pick_up(ticket):
            self._tickets.push(ticket)
        self.keep_place(ticket)

    def push_spare(self, ticket: Ticket) -> None:
        """Queue a leg that uses what nobody else wants."""
        if not self._pick_up(ticket):
            self._tickets.push_spare(ticket)

    def keep_place(self, ticket: Ticket) -> None:
        """Count a leg as waiting, be it queued or put aside until a region is up."""
        if self._positions is None:
            self._positions = PositionIndex()
        self._positions.add(self._tickets.turn_of(ticket), ticket)

    def withdraw(self, ticket: Ticket, *, spare: bool, queued: bool = True) -> bool:
        """Let a leg wait here no longer, which is ``queued`` or has its place alone; say whether others may
        have come to the front by that.
        """
        stood = self._leave(ticket)
        if not (queued and (stood or spare) and self._tickets):
            return False
        self._gone = self._gone or set()
        self._gone.add(ticket)
        dropped = self._tickets.thin_out(ticket, self._pick_up, spare=spare)
        if dropped:
            # It may have been what others behind its gate waited for.
            self.look_again(ticket)
        return dropped

    def next(self, now: float) -> tuple[Ticket | None, float | None]:
        """Find who is next, and when that may go; None where something has to come back first."""
        judge = self._binding.judge
        apart = judge.apart if judge.troubles is not None else None
        ticket = self._tickets.peek(lambda ticket: self._closed_gate(ticket, now), self._pick_up, apart)
        if apart is not None and self._tickets.looks_on:
            return None, now
        if ticket is None and self._gates is not None and self._gates.let_out_suspects():
            ticket = self._tickets.peek(
                lambda ticket: self._closed_gate(ticket, now, alone=True), self._pick_up
            )
        if ticket is None:
            return None, self._gates.opens_at if self._gates is not None else None
        throttle = self._binding.throttles.own
        return ticket, now if throttle is None else throttle.next_at(now, ticket.cost)

    def take(self, ticket: Ticket, now: float) -> list[Passage]:
        """Remove the ticket that is next; give what it spends of the throttles on its way."""
        self._tickets.take()
        self._leave(ticket)
        passages = self._gates.spend(ticket, now) if self._gates is not None else []
        if (own := self._binding.throttles.own) is not None:
            passages.append(own.spend(now, ticket.cost))
        return passages

    def open_due(self, now: float) -> None:
        """Let those try again whose gates open by now."""
        if self._gates is not None:
            self._gates.open_due(now)

    def look_again(self, ticket: Ticket) -> None:
        """Something changed for a ticket's account: whoever waits behind its gates tries again."""
        if self._gates is not None:
            self._gates.look_again(ticket)

    def open_all(self) -> None:
        """Let everything try again: what held it back is forgotten."""
        if self._gates is not None:
            self._gates.open_all()

    def forget_withdrawn(self) -> None:
        """Remember no withdrawn ticket any more, where nothing is queued."""
        if not self._tickets:
            self._gone = None

    def follow(self) -> None:
        """Have gates where anything is bound, and a queue for each account where the target says so."""
        by_account = self._binding.accounts.have_queues
        if self._gates is None and self._binding.any:
            self._gates = Gates(self._binding)
        if self._tickets.by_account != by_account:
            self._tickets.regroup(by_account=by_account)
            self._positions = None if self._positions is None else self._positions.regrouped(self._tickets)
            if self._gates is not None:
                self._gates.forget()

    def _leave(self, ticket: Ticket) -> bool:
        if self._positions is None:
            return False
        stood = self._positions.remove(self._tickets.turn_of(ticket), ticket)
        # A target without work holds no positions, as it holds no queue.
        self._positions = self._positions if self._positions.count else None
        return stood

    def _pick_up(self, ticket: Ticket) -> bool:
        """Whether a leg had left its ticket behind: it is back now, or the ticket is dropped."""
        if self._gone is None or ticket not in self._gone:
            return False
        # If it has a place, its leg waits to be queued again: with that it would have come back.
        self._gone.discard(ticket)
        return True

    def _closed_gate(self, ticket: Ticket, now: float, *, alone: bool = False) -> Gate | None:
        return self._gates.closed(ticket, now, alone=alone) if self._gates is not None else None
