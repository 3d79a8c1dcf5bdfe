from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.domain.fairness import FairQueue, Ticket
from orchestrator.domain.ids import CustomerId, JobId

ACCOUNTS = st.sampled_from(["a", "b", "c"]).map(CustomerId)
KEYS = st.integers(0, 20)


class Waiting(RuleBasedStateMachine):
    """The queue against plain lists: accounts in turn, keys within an account, spares at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue()
        self.waiting: dict[CustomerId, list[Ticket]] = {}
        self.spare: list[Ticket] = []
        self.pushed = 0

    @rule(account=ACCOUNTS, key=KEYS)
    def push(self, account: CustomerId, key: int) -> None:
        ticket = self._ticket(account, key, 0)
        self.queue.push(ticket)
        self.waiting.setdefault(account, []).append(ticket)

    @rule(account=ACCOUNTS, key=KEYS)
    def push_spare(self, account: CustomerId, key: int) -> None:
        ticket = self._ticket(account, key, 1)
        self.queue.push_spare(ticket)
        self.spare.append(ticket)

    @precondition(lambda self: bool(self.queue))
    @rule()
    def pop(self) -> None:
        popped = self.queue.pop()
        if not self.waiting:
            assert popped == min(self.spare)
            self.spare.remove(popped)
            return
        account = next(iter(self.waiting))
        mine = self.waiting.pop(account)
        assert (popped.account, popped) == (account, min(mine))
        mine.remove(popped)
        if mine:
            self.waiting[account] = mine

    @invariant()
    def first_legs_are_counted(self) -> None:
        assert len(self.queue) == sum(map(len, self.waiting.values()))
        assert bool(self.queue) == bool(self.waiting or self.spare)

    def _ticket(self, account: CustomerId, key: int, leg: int) -> Ticket:
        self.pushed += 1
        return Ticket(key, JobId(f"job_1_{self.pushed:04d}"), leg, account)


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
