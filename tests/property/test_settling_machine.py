"""A job's run under whatever targets and regions may do to it."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.domain.exchange import Fault, HttpResponse
from orchestrator.domain.execution.retry import DEFAULT_POLICY, Verdict
from orchestrator.domain.execution.run import (
    LegState,
    abandon,
    add_hedge,
    begin,
    dispatch,
    lose_all,
    open_attempts,
    waiting_legs,
)
from orchestrator.domain.execution.settling import (
    Await,
    Decision,
    Ended,
    Fail,
    Failure,
    FailureCode,
    Repeat,
    Succeed,
    give_up,
    settle,
)
from orchestrator.domain.health.routing import place
from orchestrator.domain.ids import AttemptId, RegionName
from orchestrator.domain.jobs.job import JobSpec, RetryPolicy
from orchestrator.domain.jobs.policies import ExecutionMode, Guarantee, RegionPolicy
from tests.support.long import drawn

REGIONS = [RegionName(name) for name in ("iad", "lax", "ord", "sea")]
SPECS = st.builds(
    JobSpec,
    url=st.just("https://example.com/"),
    metadata=st.just({}),
    regions=st.lists(st.sampled_from(REGIONS), min_size=1, max_size=3, unique=True).map(tuple),
    region_policy=st.sampled_from(RegionPolicy),
    execution_mode=st.sampled_from(ExecutionMode),
    retry_policy=st.none()
    | st.builds(RetryPolicy, max_retries=st.integers(0, 3), max_reroutes=st.integers(0, 3)),
)
CAREFUL = st.builds(
    JobSpec,
    url=st.just("https://example.com/"),
    metadata=st.just({}),
    regions=st.just((REGIONS[0],)),
    guarantee=st.just(Guarantee.AT_MOST_ONCE),
    retry_policy=st.none() | st.just(RetryPolicy()),
)
STATUSES = st.sampled_from([200, 204, 301, 404, 429, 429, 500, 502, 503, 503])
ENDS = st.one_of(
    st.builds(
        lambda status, probe: Ended(HttpResponse(status=status, headers={}, body=b""), probe=probe),
        STATUSES,
        st.booleans(),
    ),
    st.builds(
        lambda fault, written: Ended(None, fault, written=written),
        st.sampled_from([Fault.CONNECT, Fault.TIMEOUT, Fault.BROKEN, Fault.LOST, Fault.NOT_ALLOWED]),
        st.booleans(),
    ),
)


class RunLife(RuleBasedStateMachine):
    """Legs go out, attempts end, regions come and go, the service crashes."""

    @initialize(spec=SPECS | CAREFUL)
    def accepted(self, spec: JobSpec) -> None:
        self.spec = spec
        self.run = begin(spec)
        self.up = list(REGIONS)
        self.sent = 0
        self.decision: Decision | None = None
        self.may_have_run = False

    @property
    def over(self) -> bool:
        return isinstance(self.decision, Succeed | Fail)

    @rule(up=st.lists(st.sampled_from(REGIONS), min_size=1, unique=True))
    def regions_come_and_go(self, up: list[RegionName]) -> None:
        self.up = up

    @precondition(lambda self: not self.over and bool(waiting_legs(self.run)))
    @rule(data=st.data())
    def a_leg_goes_out(self, data: st.DataObject) -> None:
        leg = data.draw(st.sampled_from(waiting_legs(self.run)))
        busy = {other.region for other in self.run.legs if not other.state.over}
        region = place(
            self.run.legs[leg].region,
            listed=self.spec.regions,
            policy=self.spec.region_policy,
            up=self.up,
            busy=busy,
        )
        if region is None:
            return
        if self.spec.guarantee is Guarantee.AT_MOST_ONCE:
            assert not self.may_have_run
        self.sent += 1
        self.run, attempt = dispatch(self.run, leg, AttemptId(f"1.{self.sent}"), region, 0)
        assert attempt.number == self.sent

    @precondition(lambda self: not self.over and bool(open_attempts(self.run)))
    @rule(data=st.data(), ended=ENDS, jitter=st.floats(0, 0.999))
    def an_attempt_ends(self, data: st.DataObject, ended: Ended, jitter: float) -> None:
        attempt = data.draw(st.sampled_from(open_attempts(self.run)))
        before = self.run
        self.run, self.decision = settle(
            self.run, self.spec, attempt.id, ended, now_ms=1_000, jitter=jitter, up=self.up
        )
        self.may_have_run = ended.response is None and ended.written
        if ended.probe:
            assert (self.run.retries, self.run.reroutes) == (before.retries, before.reroutes)
        if isinstance(self.decision, Repeat):
            leg = self.run.legs[self.decision.leg]
            assert leg.state is LegState.WAITING
            if self.run.reroutes > before.reroutes:
                assert leg.region in self.up
                assert leg.region not in before.used_regions
        if isinstance(self.decision, Fail):
            self._judge_failure(self.decision)

    @precondition(lambda self: not self.over and bool(waiting_legs(self.run)))
    @rule(data=st.data())
    def a_leg_is_given_up(self, data: st.DataObject) -> None:
        leg = data.draw(st.sampled_from(waiting_legs(self.run)))
        self.may_have_run = False
        self.run, self.decision = give_up(self.run, self.spec, leg, Failure(FailureCode.REGIONS_DOWN, "gone"))
        if isinstance(self.decision, Fail):
            self._judge_failure(self.decision)

    @precondition(lambda self: not self.over and self.spec.execution_mode is ExecutionMode.HEDGE)
    @rule()
    def a_leg_is_late(self) -> None:
        before = self.run
        self.run, leg = add_hedge(before, self.spec)
        if leg is not None:
            added = self.run.legs[leg]
            assert added.region in self.spec.regions
            assert added.region not in before.used_regions | {other.region for other in before.legs}

    def _judge_failure(self, decision: Fail) -> None:
        unknown = decision.failure.code is FailureCode.UNKNOWN_OUTCOME
        assert unknown == (self.spec.guarantee is Guarantee.AT_MOST_ONCE and self.may_have_run)
        assert all(leg.state.over for leg in self.run.legs)
        assert not any(leg.state is LegState.WON for leg in self.run.legs)

    @precondition(lambda self: not self.over and self.spec.guarantee is Guarantee.AT_LEAST_ONCE)
    @rule()
    def the_service_crashes(self) -> None:
        self.run = lose_all(self.run, crashed=True)

    @precondition(lambda self: self.over)
    @rule()
    def the_job_is_concluded(self) -> None:
        self.run = abandon(self.run, 2_000)
        assert all(leg.state.over for leg in self.run.legs)
        assert not open_attempts(self.run)

    @invariant()
    def the_budgets_are_the_jobs(self) -> None:
        policy = self.spec.retry_policy or DEFAULT_POLICY
        assert self.run.retries <= policy.max_retries
        assert self.run.reroutes <= policy.max_reroutes

    @invariant()
    def a_leg_is_under_way_exactly_if_it_has_an_open_attempt(self) -> None:
        under_way = [i for i, leg in enumerate(self.run.legs) if leg.state is LegState.UNDER_WAY]
        assert sorted(attempt.leg for attempt in open_attempts(self.run)) == under_way

    @invariant()
    def a_job_that_goes_on_has_something_to_go_on_with(self) -> None:
        if not self.over:
            assert not all(leg.state.over for leg in self.run.legs)

    @invariant()
    def a_strict_job_stays_in_its_regions(self) -> None:
        if self.spec.region_policy is RegionPolicy.STRICT:
            assert self.run.used_regions <= set(self.spec.regions)

    @invariant()
    def a_job_that_won_names_a_leg_that_won_with_its_response(self) -> None:
        if isinstance(self.decision, Succeed):
            assert self.run.legs[self.decision.leg].state is LegState.WON
            assert self.decision.response.successful

    @invariant()
    def a_race_has_one_winner(self) -> None:
        if self.spec.execution_mode is ExecutionMode.RACE:
            assert sum(leg.state is LegState.WON for leg in self.run.legs) <= 1

    @invariant()
    def every_attempt_of_an_ended_leg_has_its_verdict(self) -> None:
        for attempt in self.run.attempts:
            if self.run.legs[attempt.leg].state.over:
                assert isinstance(attempt.verdict, Verdict)
        assert not (isinstance(self.decision, Await) and self.over)


TestRunLife = RunLife.TestCase
TestRunLife.settings = settings(max_examples=drawn(200), stateful_step_count=30, deadline=None)
