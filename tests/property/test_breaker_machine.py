"""A breaker under any order of requests, ends and time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.domain.exchange import Fault
from orchestrator.domain.health.breaker import (
    FAILURES_IN_A_ROW,
    FAILURES_TO_REOPEN,
    PROBE_MOST_S,
    Breaker,
    BreakerState,
    Cause,
    admits,
    let_go,
    note_end,
)
from orchestrator.domain.ids import JobId
from tests.support.long import drawn

CAUSES = st.sampled_from([Cause(200), Cause(404), Cause(500), Cause(503), Cause(None, Fault.TIMEOUT)])


class BreakerLife(RuleBasedStateMachine):
    """Requests go where it lets them, and end in any order."""

    @initialize()
    def closed(self) -> None:
        self.breaker = Breaker()
        self.now = 0.0
        self.under_way: list[float] = []

    @rule(passes_s=st.floats(0.001, 2 * PROBE_MOST_S))
    def time_passes(self, passes_s: float) -> None:
        self.now += passes_s

    @precondition(lambda self: admits(self.breaker, self.now))
    @rule()
    def a_request_goes(self) -> None:
        self.breaker = let_go(self.breaker, self.now)
        self.under_way.append(self.now)

    @precondition(lambda self: bool(self.under_way))
    @rule(data=st.data(), cause=CAUSES, job=st.integers(0, 2 * FAILURES_IN_A_ROW))
    def a_request_ends(self, data: st.DataObject, cause: Cause, job: int) -> None:
        sent_at = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        before = self.breaker
        self.breaker = note_end(before, cause, JobId(f"job_1_{job}"), sent_at=sent_at, now=self.now)
        if before.state is not BreakerState.OPEN and self.breaker.state is BreakerState.OPEN:
            tried = FAILURES_TO_REOPEN if before.passes else 1
            most = FAILURES_IN_A_ROW if before.state is BreakerState.CLOSED else tried
            assert len(before.failing) == most - 1

    @precondition(lambda self: not self.under_way and self.breaker.state is not BreakerState.CLOSED)
    @rule()
    def a_target_that_is_back_is_found(self) -> None:
        begun = self.now
        while self.breaker.state is not BreakerState.CLOSED:
            if not admits(self.breaker, self.now):
                self.now = self.breaker.probe_at
            self.breaker = let_go(self.breaker, self.now)
            self.breaker = note_end(
                self.breaker, Cause(200), JobId("job_1_1"), sent_at=self.now, now=self.now
            )
        assert self.now <= begun + PROBE_MOST_S

    @invariant()
    def nobody_waits_for_ever(self) -> None:
        if self.breaker.state is not BreakerState.CLOSED:
            assert self.breaker.probe_at <= self.now + PROBE_MOST_S
            assert self.breaker.cause is not None


TestBreakerLife = BreakerLife.TestCase
TestBreakerLife.settings = settings(max_examples=drawn(150), stateful_step_count=40, deadline=None)
