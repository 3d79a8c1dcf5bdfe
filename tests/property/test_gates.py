"""Gates of accounts, customers and shares in front of one queue, in every order of what may happen."""

from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from orchestrator.domain.ids import CustomerId
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.binding import SUSPECTS_KEY, TROUBLE_KEY
from orchestrator.domain.steering.throttles import UNTOLD_KEY, customer_key
from tests.support.gated import Bound, Told, a_ticket, gated_queue
from tests.support.long import drawn

CUSTOMERS, ACCOUNTS, PATHS = "ab", "xy", ("", TROUBLE_KEY, SUSPECTS_KEY)
KEYS = st.sampled_from([*PATHS[1:], UNTOLD_KEY, *map(customer_key, map(CustomerId, CUSTOMERS)), *ACCOUNTS])


class Gated(RuleBasedStateMachine):
    """Whatever may go is found, and no lane is passed over for ever at a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.bound = Bound()
        self.queue = gated_queue(self.bound)
        self.waiting: dict[Ticket, bool] = {}
        """Whether each is a first leg."""
        self.out: list[Ticket] = []
        self.numbers = 0
        self.quiet = False

    @initialize(told=st.dictionaries(KEYS, st.integers(1, 3), min_size=3))
    def tell(self, told: dict[str, int]) -> None:
        self.bound.told = {key: Told(places) for key, places in told.items()}

    @rule(key=KEYS, for_s=st.floats(0.5, 3.0))
    def pause(self, key: str, for_s: float) -> None:
        if key in self.bound.told:
            told = self.bound.told[key]
            told.paused_until = max(told.paused_until, self.now + for_s)

    @rule(
        customer=st.sampled_from(CUSTOMERS),
        account=st.sampled_from(ACCOUNTS),
        path=st.sampled_from(PATHS),
        first=st.booleans(),
        many=st.integers(1, 3),
    )
    def push(self, customer: str, account: str, path: str, first: bool, many: int) -> None:
        for _ in range(many):
            self.numbers += 1
            ticket = a_ticket(self.numbers, customer, account, path, first=first)
            self.waiting[ticket] = first
            (self.queue.push if first else self.queue.push_spare)(ticket)
        self.quiet = False

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        if self.waiting:
            ticket = data.draw(st.sampled_from(sorted(self.waiting)))
            self.queue.withdraw(ticket, spare=not self.waiting.pop(ticket))
            self.quiet = False

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        if self.out:
            self._gives_back(self.out.pop(data.draw(st.integers(0, len(self.out) - 1))))

    def _gives_back(self, ticket: Ticket) -> None:
        for _, told in self.bound.on_the_way_of(ticket, self.now):
            told.out = max(0, told.out - 1)
        self.queue.look_again(ticket)
        self.quiet = False

    @rule(for_s=st.floats(0.1, 2.0))
    def time_passes(self, for_s: float) -> None:
        self.now += for_s
        self.quiet = False

    @rule()
    def what_is_due_comes(self) -> None:
        _, due = self.queue.next(self.now)
        self.now = max(self.now, due or 0.0)
        self.quiet = False

    @rule(most=st.integers(1, 8))
    def let_out(self, most: int) -> None:
        """As a domain's limiter does, which has no permit left after some."""
        for _ in range(most):
            self.queue.open_due(self.now)
            ticket, _ = self.queue.next(self.now)
            if ticket is None:
                self.quiet = True
                return
            assert self.waiting.pop(ticket, None) is not None, "it was withdrawn"
            assert self._opens_at(ticket) <= self.now
            self.queue.take(ticket, self.now)
            self.out.append(ticket)

    @rule()
    def everything_goes_in_the_end(self) -> None:
        """Only timers and answers move it on, as a limiter that is asked for nothing else."""
        for _ in range(40 + 4 * len(self.waiting)):
            self.let_out(1_000)
            _, due = self.queue.next(self.now)
            if self.out:
                self._gives_back(self.out.pop())
            elif due is not None:
                self.now = max(self.now, due)
        assert not self.waiting

    @invariant()
    def nobody_waits_behind_an_open_gate(self) -> None:
        """Where nothing was found, nothing may go, and what is held back by time alone has a timer."""
        if not self.quiet:
            return
        opens_at = [self._opens_at(ticket) for ticket in self.waiting]
        assert all(at > self.now for at in opens_at)
        if (first := min(opens_at, default=inf)) < inf:
            _, due = self.queue.next(self.now)
            assert due is not None
            assert due <= first or self.out

    def _opens_at(self, ticket: Ticket) -> float:
        # Suspects may go on where nobody else may.
        ways = [told for key, told in self.bound.on_the_way_of(ticket, self.now) if key != SUSPECTS_KEY]
        return max((told.next_at(self.now, 1.0) for told in ways), default=self.now)


TestGated = Gated.TestCase
TestGated.settings = settings(max_examples=drawn(300), stateful_step_count=40, deadline=None)
