from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from orchestrator.domain.errors import IllegalTransition
from orchestrator.domain.jobs.lifecycle import JobEvent, JobState, advance, first_state
from tests.support.long import drawn


class JobLife(RuleBasedStateMachine):
    """A job to which anything may happen at any time, and what must hold whatever does."""

    @initialize(retry_at=st.none() | st.integers(0, 2_000))
    def accepted(self, retry_at: int | None) -> None:
        self.state = first_state(1_000, retry_at)
        self.taken: list[JobEvent] = []

    @rule(event=st.sampled_from(JobEvent))
    def happens(self, event: JobEvent) -> None:
        try:
            state = advance(self.state, event)
        except IllegalTransition:
            return
        assert not self.state.ended
        assert state is not self.state
        self.state = state
        self.taken.append(event)

    @invariant()
    def nothing_happens_twice(self) -> None:
        assert len(self.taken) == len(set(self.taken))

    @invariant()
    def an_end_is_the_last_thing_that_happens(self) -> None:
        ends = {JobEvent.SUCCEEDED, JobEvent.GAVE_UP, JobEvent.CANCEL}
        assert self.state.ended == bool(ends & set(self.taken))
        assert not ends & set(self.taken[:-1])

    @invariant()
    def only_what_was_dispatched_succeeds(self) -> None:
        if self.state is JobState.SUCCESS:
            assert JobEvent.DISPATCHED in self.taken

    @invariant()
    def whatever_has_not_ended_can_be_cancelled_and_can_fail(self) -> None:
        if not self.state.ended:
            assert advance(self.state, JobEvent.CANCEL) is JobState.CANCELLED
            assert advance(self.state, JobEvent.GAVE_UP) is JobState.FAILED


TestJobLife = JobLife.TestCase
TestJobLife.settings = settings(max_examples=drawn(60), stateful_step_count=12, deadline=None)
