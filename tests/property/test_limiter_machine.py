"""The limiter against a model that knows every start, reported or not."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from orchestrator.domain.pace.pacing import Limiter, Pace
from tests.support.long import drawn

PACES = st.builds(
    Pace,
    st.sampled_from([0.05, 0.4, 0.99, 1.0, 1.5, 2.0, 3.7, 8.0]),
    st.integers(1, 6),
)
STEPS = st.floats(0.0, 2.5) | st.sampled_from([0.02, 0.5, 1.0, 1.02, 20.0])


class LimiterLife(RuleBasedStateMachine):
    """Permits are taken, started, reported late, given back and closed in any order."""

    permits = Bundle("permits")
    started = Bundle("started")

    @initialize(pace=PACES)
    def begin(self, pace: Pace) -> None:
        self.now = 1_000.0
        self.limiter = Limiter(pace)
        self.starts: dict[int, float] = {}
        self.granted: dict[int, float] = {}
        self.in_flight: set[int] = set()
        self.paused_until = 0.0

    @rule(seconds=STEPS)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def take(self) -> int:
        permit = self.limiter.take(self.now)
        if permit is None:
            due = self.limiter.next_at(self.now)
            assert due is None or due > self.now
            return -1
        self._judge_grant()
        self.granted[permit] = self.now
        self.in_flight.add(permit)
        return permit

    def _judge_grant(self) -> None:
        pace = self.limiter.pace
        recent = [at for at in self.starts.values() if at > self.now - pace.window_s]
        unstarted = [permit for permit in self.granted if permit not in self.starts]
        assert len(recent) + len(unstarted) + 1 <= pace.starts
        assert len(self.in_flight) + 1 <= pace.max_concurrent
        assert self.now >= self.paused_until

    @rule(target=started, permit=consumes(permits), share=st.floats(0.0, 1.0))
    def start_and_report_later(self, permit: int, share: float) -> int:
        if permit == -1:
            return -1
        self.starts[permit] = self.granted[permit] + share * (self.now - self.granted[permit])
        self.limiter.started(permit, self.starts[permit])
        return permit

    @rule(permit=consumes(permits))
    def give_back_unused(self, permit: int) -> None:
        if permit != -1:
            self.limiter.unused(permit)
            del self.granted[permit]
            self.in_flight.discard(permit)

    @rule(permit=consumes(permits))
    def close_without_a_report(self, permit: int) -> None:
        if permit != -1:
            self.starts[permit] = self.now
            self._close(permit)

    @rule(permit=consumes(started))
    def close(self, permit: int) -> None:
        if permit != -1:
            self._close(permit)

    @rule(permit=started)
    def hear_of_a_start_again(self, permit: int) -> None:
        if permit != -1:
            self.limiter.started(permit, self.now)

    @rule(seconds=st.floats(0.0, 5.0))
    def pause(self, seconds: float) -> None:
        self.paused_until = max(self.paused_until, self.now + seconds)
        self.limiter.pause(self.now + seconds)

    @rule()
    def wait_until_told(self) -> None:
        due = self.limiter.next_at(self.now)
        if due is not None:
            assert due >= self.now
            self.now = due
            assert self.limiter.next_at(due) == due

    @invariant()
    def places_in_flight_are_counted(self) -> None:
        assert self.limiter.in_flight == len(self.in_flight)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        if not self.in_flight:
            assert self.limiter.next_at(self.now) is not None

    def _close(self, permit: int) -> None:
        self.limiter.closed(permit, self.now)
        self.in_flight.discard(permit)


class SteadyLimiterLife(LimiterLife):
    """At one pace the starts themselves show whether it was kept."""

    @invariant()
    def no_rolling_window_holds_too_many_starts(self) -> None:
        pace, starts = self.limiter.pace, sorted(self.starts.values())
        for first, one_too_many in zip(starts, starts[pace.starts :], strict=False):
            assert one_too_many - first >= pace.window_s


class SteeredLimiterLife(LimiterLife):
    """The target raises and lowers the pace; each grant keeps the one then in force."""

    @rule(pace=PACES)
    def steer(self, pace: Pace) -> None:
        self.limiter.pace = pace


TestSteadyLimiterLife = SteadyLimiterLife.TestCase
TestSteadyLimiterLife.settings = settings(max_examples=drawn(100), stateful_step_count=40, deadline=None)
TestSteeredLimiterLife = SteeredLimiterLife.TestCase
TestSteeredLimiterLife.settings = settings(max_examples=drawn(100), stateful_step_count=40, deadline=None)
