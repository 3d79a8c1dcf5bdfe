"""Who goes next at one target: accounts in turn by weight, and within an account the lowest order key.

First legs go before everything; a race's further legs use what nobody else wants. What a throttle holds
back is parked with it and holds up nobody else.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from orchestrator.domain.ids import CustomerId
from orchestrator.domain.queueing.lanes import SLACK, Flow, Gate, Gone, Key, Lane, LaneKey
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import SUSPECTS, UNKNOWN_PATH, PathClass

Weight = Callable[[CustomerId], int]
"""Permits that a customer's account may take in one turn, at least 1."""
SET_APART_AT_ONCE = 256
"""Tickets that are put into lanes apart in one go: others wait for it."""
FRESH_IN_A_ROW = 8
LOOKED_AT_MOST = 64
"""Turns that a place is reckoned from: it is asked for with every submission."""


class Share(Struct, frozen=True):
    """What a turn gets: ``now`` permits when it comes next, ``later`` in each turn after that. It speaks for
    ``times`` turns like it; ``before``: it comes before the turn that was asked about.
    """

    turn: Key
    now: int
    later: int
    before: bool = False
    times: int = 1

    def permits(self, turns: int) -> int:
        """Count what it may have had after so many turns."""
        return self.now + (turns - 1) * self.later if turns else 0


Closed = Callable[[Ticket], Gate | None]
"""Says which gate is closed to a ticket now, if one is."""
Apart = Callable[[Ticket], PathClass | None]
"""Says whether a ticket waits apart from the others of its account: with those of its path class, by name."""


def one_each(_: CustomerId) -> int:
    """Weigh all customers alike."""
    return 1


class _Rotation:
    """Deficit round robin (Shreedhar and Varghese, 1995) over turns, a permit costing one.

    Whoever comes anew goes before those that have had a turn (the new flows of RFC 8290), but not more
    than FRESH_IN_A_ROW of them, so that no stream of newcomers starves the others.
    """

    __slots__ = (
        "_by_account",
        "_fresh",
        "_lanes",
        "_newcomers",
        "_newcomers_before_old",
        "_old",
        "_turns",
        "_weight",
        "count",
        "set_apart",
        "spare",
    )

    def __init__(self, weight: Weight, *, by_account: bool, spare: bool) -> None:
        self.spare = spare
        self._weight = weight
        self._by_account = by_account
        self._lanes: dict[LaneKey, Lane] = {}
        self._turns: dict[Key, Flow] = {}
        self._fresh: deque[Flow] = deque()
        self._old: deque[Flow] = deque()
        self._newcomers = 0
        """How many have gone."""
        self._newcomers_before_old = 0
        """How many had when one went that was none."""
        self.count = 0
        self.set_apart = 0
        """Tickets that were, the last time that the head was looked for."""

    def push(self, ticket: Ticket) -> None:
        """Queue a ticket."""
        self.count += 1
        self._put((ticket.customer, ticket.account, UNKNOWN_PATH), ticket)

    def _put(self, key: LaneKey, ticket: Ticket) -> None:
        lane = self._lanes.get(key) or self._make_lane(key)
        heapq.heappush(lane.heap, ticket)
        if not lane.parked and lane.heap[0] is ticket:
            lane.turn.offer(lane)
            self.enter(lane.turn)

    def enter(self, turn: Flow) -> None:
        """Let a turn take part, if it does not yet."""
        if not turn.entered:
            turn.entered = True
            self._fresh.append(turn)

    def head(self, closed: Closed, gone: Gone, apart: Apart | None) -> Lane | None:
        """Find the lane whose first ticket is next; None where nothing may go, or where so many were set
        apart that it has to be asked again. What is gone is dropped on the way, and costs no turn.
        """
        self.set_apart = 0
        while self.set_apart < SET_APART_AT_ONCE and (side := self._side()):
            turn = side[0]
            lane = turn.head()
            if lane is None and turn.deficit and not turn.lanes:
                # It has had some of its turn: who comes back at once is no newcomer.
                self._end_turn(side)
            elif lane is None:
                self._leave(side)
            elif gone(lane.heap[0]):
                self._pop(lane)
            elif apart is not None and (name := apart(lane.heap[0])) not in (None, lane.key[2]):
                self._set_apart(lane, name)
            elif (gate := closed(lane.heap[0])) is not None:
                lane.park(gate)
            else:
                return lane
        return None

    def _set_apart(self, lane: Lane, name: PathClass) -> None:
        ticket = lane.heap[0]
        self.set_apart += 1
        # Before it leaves its lane, so that its turn has one at any time.
        self._put((*lane.key[:2], name), ticket)
        heapq.heappop(lane.heap)
        self._put_forward(lane)

    def take(self, lane: Lane) -> Ticket:
        """Take the first ticket of the lane that ``head`` has just found."""
        turn = lane.turn
        lane.held_since = None
        # A gate that opened after it was found may have let in newcomers, which are on the other side.
        side = self._old if self._old and self._old[0] is turn else self._fresh
        ticket = self._pop(lane)
        if turn.deficit < 1:
            turn.deficit += self.weight(turn.key)
        turn.deficit -= 1
        if turn.deficit < 1 or turn.head() is None:
            self._end_turn(side)
        lane.leave_gate()
        return ticket

    def _end_turn(self, side: deque[Flow]) -> None:
        turn = side.popleft()
        turn.deficit = 0
        if side is self._fresh:
            self._newcomers += 1
        else:
            self._newcomers_before_old = self._newcomers
        turn.newcomers_before = self._newcomers
        self._old.append(turn)

    @property
    def _in_a_row(self) -> int:
        """Newcomers that passed over the first of those that have had a turn, since one of these went."""
        if not self._old:
            return 0
        return self._newcomers - max(self._newcomers_before_old, self._old[0].newcomers_before)

    def thin_out(self, ticket: Ticket, gone: Gone) -> bool:
        """Nobody waits for one more ticket: drop all such of its lane when they are half of it, or first. So
        each costs O(log n), and they are never many. Say whether any was dropped.
        """
        before = self.count
        for path in dict.fromkeys((UNKNOWN_PATH, SUSPECTS, ticket.path)):
            lane = self._lanes.get((ticket.customer, ticket.account, path))
            if lane is not None:
                self._thin_out(lane, gone)
        return self.count < before

    def _thin_out(self, lane: Lane, gone: Gone) -> None:
        lane.gone += 1
        if 2 * lane.gone >= len(lane.heap):
            self.count -= lane.drop(gone)
            self._put_forward(lane)
        while lane.heap and gone(lane.heap[0]):
            self._pop(lane)
        if not lane.turn.lanes:
            self._forget(lane.turn)

    def _forget(self, turn: Flow) -> None:
        """Nothing waits for a turn any more. Of those that take part such go once they are most: while nobody
        asks for the head, they would stay.
        """
        if not turn.entered:
            del self._turns[turn.key]
        if len(self._turns) <= 2 * len(self._lanes) + SLACK:
            return
        for each in [each for each in (*self._fresh, *self._old) if not each.lanes and not each.deficit]:
            each.entered = False
            del self._turns[each.key]
        self._fresh, self._old = (
            deque(each for each in side if each.entered) for side in (self._fresh, self._old)
        )

    def share(self, key: Key, *, before: bool = False, times: int = 1) -> Share:
        """Say what a turn gets, whether it takes part now or not."""
        turn, weight = self._turns.get(key), self.weight(key)
        now = turn.deficit if turn is not None and turn.deficit >= 1 else weight
        return Share(key, now, weight, before, times)

    def others(self, own: Key) -> Iterator[Share]:
        """Give the turns that take part, besides one that may as well."""
        order = self._order()
        me = self._turns.get(own)
        own_index = order.index(me) if me is not None and me.entered else len(order)
        step = max(1, len(order) // LOOKED_AT_MOST)
        for index in range(0, len(order), step):
            if index != own_index:
                yield self.share(order[index].key, before=index < own_index, times=step)

    def knows(self, key: Key) -> bool:
        """Whether tickets of a turn lie here."""
        return key in self._turns

    def _order(self) -> list[Flow]:
        """List the turns as they come next. Of many, newcomers come first, as most of them do."""
        fresh, old, in_a_row = deque(self._fresh), deque(self._old), self._in_a_row
        order: list[Flow] = []
        while fresh and old and len(order) < LOOKED_AT_MOST:
            from_old = in_a_row >= FRESH_IN_A_ROW
            in_a_row = 0 if from_old else in_a_row + 1
            order.append((old if from_old else fresh).popleft())
        return [*order, *fresh, *old]

    def weight(self, turn: Key) -> int:
        """Give the permits of one turn."""
        return max(1, self._weight(turn[0]))

    def heads(self) -> Iterator[Ticket]:
        """Give the first ticket of each lane."""
        return (lane.heap[0] for lane in self._lanes.values())

    def regrouped(self, *, by_account: bool) -> "_Rotation":
        """Give each account its own turn, or each customer one, in the order in which they would have come.
        Whoever has had a turn is no newcomer for that: where a target changes its mind at each answer, the
        same few would go first for ever.
        """
        new = _Rotation(self._weight, by_account=by_account, spare=self.spare)
        new._newcomers = self._in_a_row
        lanes: dict[Flow, list[Lane]] = {}
        for lane in self._lanes.values():
            lanes.setdefault(lane.turn, []).append(lane)
        for turn in self._fresh:
            new._take_over(lanes.pop(turn, []))
        newcomers = len(new._fresh)
        for turn in self._old:
            new._take_over(lanes.pop(turn, []))
        while len(new._fresh) > newcomers:
            new._old.appendleft(new._fresh.pop())
        # What is left is parked at gates that let go of it.
        for parked in lanes.values():
            new._take_over(parked)
        return new

    def _take_over(self, lanes: Iterable[Lane]) -> None:
        for lane in lanes:
            for ticket in lane.heap:
                self.push(ticket)

    def _pop(self, lane: Lane) -> Ticket:
        ticket = heapq.heappop(lane.heap)
        self.count -= 1
        self._put_forward(lane)
        return ticket

    def _put_forward(self, lane: Lane) -> None:
        if not lane.heap:
            del self._lanes[lane.key]
            lane.turn.lanes -= 1
            lane.leave_gate()
        elif not lane.parked:
            lane.turn.offer(lane)

    def _side(self) -> deque[Flow]:
        return self._old if not self._fresh or self._in_a_row >= FRESH_IN_A_ROW else self._fresh

    def _leave(self, side: deque[Flow]) -> None:
        turn = side.popleft()
        turn.entered = False
        if not turn.lanes:
            del self._turns[turn.key]

    def _make_lane(self, key: LaneKey) -> Lane:
        turn_key = (key[0], key[1] if self._by_account else None)
        turn = self._turns.get(turn_key)
        if turn is None:
            turn = self._turns[turn_key] = Flow(self, turn_key)
        turn.lanes += 1
        lane = self._lanes[key] = Lane(key, turn)
        return lane


class FairQueue:
    """Tickets of one target. Push and take are O(log n). ``by_account``: each account has its own turn."""

    __slots__ = ("_first", "_next", "_spare", "_weight", "by_account")

    def __init__(self, weight: Weight = one_each, *, by_account: bool = False) -> None:
        self._weight = weight
        self.by_account = by_account
        # A target without work holds no queue: there may be very many of them.
        self._first: _Rotation | None = None
        self._spare: _Rotation | None = None
        self._next: tuple[_Rotation, Lane] | None = None

    def __len__(self) -> int:
        """Count the first legs that wait."""
        return self._first.count if self._first else 0

    def __bool__(self) -> bool:
        """Whether anything waits, spare legs included."""
        return bool((self._first and self._first.count) or (self._spare and self._spare.count))

    def heads(self) -> Iterator[Ticket]:
        """Give the first ticket of each customer's with each account, in no order, held back or not."""
        return iter(()) if self._first is None else self._first.heads()

    def push(self, ticket: Ticket) -> None:
        """Queue a leg that may not be passed over."""
        if self._first is None:
            self._first = self._rotation(spare=False)
        self._first.push(ticket)

    def push_spare(self, ticket: Ticket) -> None:
        """Queue a further leg of a race: it goes only when no first leg may."""
        if self._spare is None:
            self._spare = self._rotation(spare=True)
        self._spare.push(ticket)

    def peek(
        self,
        closed: Closed = lambda _: None,
        gone: Gone = lambda _: False,
        apart: Apart | None = None,
    ) -> Ticket | None:
        """Show the next ticket; None where none may go now. What a closed gate holds back is parked there,
        and what is gone is dropped: it takes nobody's turn, not even its own account's.
        """
        shown = self._head(self._first, closed, gone, apart)
        if shown is None and self._spare is not None and not self.looks_on:
            further = self._head(self._spare, closed, gone, apart)
            # Looking at further legs may have opened a gate for a first one: that goes before them.
            shown = self._head(self._first, closed, gone, apart) or further
        self._next = shown
        return None if shown is None else shown[1].heap[0]

    @property
    def looks_on(self) -> bool:
        """Whether ``peek`` ended before it had looked at everything: it is to be asked again."""
        return any(
            rotation is not None and rotation.set_apart >= SET_APART_AT_ONCE
            for rotation in (self._first, self._spare)
        )

    def take(self) -> Ticket:
        """Take the ticket that ``peek`` has just shown.

        Raises:
            LookupError: It showed none.

        """
        if self._next is None:
            msg = "nothing was shown to be taken"
            raise LookupError(msg)
        (rotation, lane), self._next = self._next, None
        ticket = rotation.take(lane)
        if not rotation.count:
            self._drop(rotation)
        return ticket

    def thin_out(self, ticket: Ticket, gone: Gone, *, spare: bool) -> bool:
        """Nobody waits for a leg any more; say whether any such was dropped. Where others go before it, or
        nothing may, it would never come to the front, where it is: ``gone`` is asked of others like it too.
        """
        rotation = self._spare if spare else self._first
        if rotation is None:
            return False
        self._next = None
        dropped = rotation.thin_out(ticket, gone)
        if not rotation.count:
            self._drop(rotation)
        return dropped

    def share_of(self, turn: Key) -> Share:
        """Say what a turn of first legs gets."""
        return (self._first or self._rotation(spare=False)).share(turn)

    def others(self, own: Key) -> Iterator[Share]:
        """Give the turns that take part, besides ``own``: of very many only some, which speak for the rest.

        Where newcomers and old turns alternate for more than a round the order is approximate: a ninth.
        """
        return self._first.others(own) if self._first else iter(())

    def knows(self, turn: Key) -> bool:
        """Whether first legs of a turn lie here, held back or not."""
        return self._first is not None and self._first.knows(turn)

    def turn_of(self, ticket: Ticket) -> Key:
        """Name the turn that a ticket waits for."""
        return (ticket.customer, ticket.account if self.by_account else None)

    def regroup(self, *, by_account: bool) -> None:
        """Give each account its own turn, or each customer one. Gates have to let go of parked lanes."""
        self.by_account, self._next = by_account, None
        self._first, self._spare = (
            rotation.regrouped(by_account=by_account) if rotation is not None and rotation.count else None
            for rotation in (self._first, self._spare)
        )

    def _rotation(self, *, spare: bool) -> _Rotation:
        return _Rotation(self._weight, by_account=self.by_account, spare=spare)

    def _head(
        self, rotation: _Rotation | None, closed: Closed, gone: Gone, apart: Apart | None
    ) -> tuple[_Rotation, Lane] | None:
        lane = rotation.head(closed, gone, apart) if rotation is not None else None
        if rotation is not None and not rotation.count:
            self._drop(rotation)
        return None if rotation is None or lane is None else (rotation, lane)

    def _drop(self, rotation: _Rotation) -> None:
        if rotation is self._first:
            self._first = None
        else:
            self._spare = None
