"""One job's life: its legs go out, their ends come in, and the job is won, lost or tried again."""

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import assert_never

from msgspec.structs import replace

from orchestrator.core.claim import Claim
from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.core.ending import children_of, ending_of, known_children
from orchestrator.core.result_writer import UnsavedResult
from orchestrator.core.supervisor_context import SupervisorContext
from orchestrator.domain.accounts import account_of
from orchestrator.domain.breaker import Cause
from orchestrator.domain.course import (
    PRIMARY,
    BeginStep,
    Child,
    Course,
    GoOn,
    Lost,
    Outcome,
    RepeatLeg,
    Won,
    abandon_course,
    begin_course,
    begin_step,
    dispatch_leg,
    first_start_ms,
    give_up_leg,
    hedge_step,
    is_running,
    leave_shut_step,
    open_in_course,
    run_of,
    settle_attempt,
    step_of,
    timeout_after,
    with_attempt,
    without_answers,
)
from orchestrator.domain.exchange import Fault
from orchestrator.domain.fairness import Ticket
from orchestrator.domain.ids import AttemptId, RegionName, TargetDomain, target_domain
from orchestrator.domain.job import ExecutionMode, Guarantee, Job, JobSpec, RegionPolicy
from orchestrator.domain.lifecycle import JobEvent, JobState, advance
from orchestrator.domain.routing import place
from orchestrator.domain.run import (
    Answer,
    Attempt,
    Leg,
    LegState,
    is_further,
    note_close,
    note_start,
    repeats_in_ms,
    untried_regions,
    waiting_legs,
)
from orchestrator.domain.settling import Ended, Failure, FailureCode, answer_to_show
from orchestrator.domain.target_request import target_request
from orchestrator.domain.waiting import still_to_wait_ms
from orchestrator.ports.clock import Timer
from orchestrator.ports.store import Accepted, Duplicate


class JobSupervisor:
    """Drives the pure rules of ``domain.course`` with what really happens."""

    __slots__ = (
        "_context",
        "_kept",
        "_queued",
        "_spares_queued",
        "_timers",
        "_watched",
        "course",
        "job",
        "state",
    )

    def __init__(self, context: SupervisorContext, job: Job, state: JobState, course: Course) -> None:
        self._context = context
        self._queued = {(PRIMARY, 0)} if state is JobState.QUEUED else set[tuple[int, int]]()
        """Steps and legs whose tickets are out: in a queue, or on their way back into it."""
        self._spares_queued = {step for step, run in enumerate(course.runs) if run and run.made}
        self._watched: set[int] = set()
        self._kept = 0
        """Bytes that are counted for the answers which the course keeps."""
        self._timers: dict[Hashable, Timer] = {}
        self.job = job
        self.state = state
        self.course = course

    @property
    def targets(self) -> list[TargetDomain]:
        """Name the targets of the steps that have begun."""
        return [self._target(step) for step, run in enumerate(self.course.runs) if run is not None]

    def launch(self, step: int, leg: int, permit: int) -> None:
        """Use a permit for a leg, or give it back."""
        self._queued.discard((step, leg))
        domain = self._domain(step)
        if self.state.ended:
            domain.unused(permit)
        elif (parked := self._parked(step, leg)) is not None:
            self._context.dispatcher.go(parked, permit)
        elif self._leg(step, leg).state is not LegState.WAITING:
            domain.unused(permit)
        elif self._context.over(self.job):
            domain.unused(permit)
            self.time_out()
        elif (step, leg) in self._timers:
            # An attempt that was lost while it waited for a permit has left this ticket behind.
            domain.unused(permit)
        elif domain.lacks_path(permit) and not domain.classify(permit, self._spec(step).path_class):
            domain.unused(permit)
            self._enqueue(step, leg)
        elif (placed := self._placed(step, leg)) is None:
            self._wait_elsewhere(step, leg)
            domain.unused(permit)
        else:
            self._send(step, placed[0], permit, placed[1])

    def leave_shut(self, step: int, cause: Cause) -> bool:
        """Every way to the step's target is shut: go on to a fallback that waits for ``cause``, if one
        does; say so.
        """
        if self.state.ended or self.course.runs[step] is None:
            return False
        self.course, following = leave_shut_step(self.course, self.job.spec, step, cause)
        if following is None:
            return False
        self._note()
        # This may let out another step of the job, which may end it.
        self._withdraw([step])
        if not self.state.ended:
            self._queue(following, 0)
        return True

    def fail(self, failure: Failure) -> None:
        """End the job without success, whatever it was doing."""
        if not self.state.ended:
            self._give_in(JobEvent.GAVE_UP, failure)

    def cancel(self) -> bool:
        """End the job because its owner asked; say whether it was still open."""
        if self.state.ended:
            return False
        self._give_in(JobEvent.CANCEL, Failure(FailureCode.CANCELLED, "cancelled by its owner"))
        return True

    def _give_in(self, event: JobEvent, failure: Failure) -> None:
        begun = [(step, run) for step, run in enumerate(self.course.runs) if run is not None]
        seen = [(step, answer) for step, run in begun if (answer := answer_to_show(run))]
        step, answer = seen[-1] if seen else (PRIMARY, None)
        self._conclude(event, step, answer, failure)

    def time_out(self) -> None:
        """The job's time is over."""
        limit = "on_failure_timeout_ms" if self.job.times_out else "deadline_ms"
        code = FailureCode.TIMEOUT if self.job.times_out else FailureCode.DEADLINE
        self.fail(Failure(code, f"the job's {limit} passed before it succeeded"))

    def resume(self) -> None:
        """Queue again what a restart found waiting."""
        self._keep()
        for step, run in enumerate(self.course.runs):
            if run is None or self.state.ended:
                continue
            self._watch_for_lateness(step)
            waiting = waiting_legs(run)
            for leg in waiting if step in self._spares_queued else waiting[:1]:
                self._queue(step, leg)

    def attempt_started(self, attempt: AttemptId, started_ms: int) -> None:
        """An attempt's first byte was written."""
        self.course = with_attempt(self.course, attempt, lambda run: note_start(run, attempt, started_ms))
        if self.job.spec.fallback is not None and (step := step_of(self.course, attempt)) is not None:
            self._watch_for_lateness(step)

    def attempt_ready(self, attempt: AttemptId) -> None:
        """An attempt waits on a ready connection: its leg queues for a permit again."""
        found = next((a for a in open_in_course(self.course) if a.id == attempt), None)
        step = step_of(self.course, attempt)
        if found is not None and step is not None:
            self._enqueue(step, found.leg)

    def attempt_ended(self, attempt: AttemptId, ended: Ended) -> None:
        """An attempt is over: decide what follows."""
        if self.state.ended:
            closed_ms = self._context.clock.unix_ms()
            self.course = with_attempt(self.course, attempt, lambda run: note_close(run, attempt, closed_ms))
            self._context.store.note_timeline(self.job.id, self.job.customer, without_answers(self.course))
            return
        self.course, outcome = settle_attempt(
            self.course,
            self.job.spec,
            attempt,
            ended,
            now_ms=self._context.clock.unix_ms(),
            jitter=self._context.random.random(),
            up=self._reroute_regions(attempt, ended),
        )
        self._follow(outcome)

    def _follow(self, outcome: Outcome) -> None:
        match outcome:
            case Won(step, answer, cancel):
                self._conclude(JobEvent.SUCCEEDED, step, answer, None, cancel)
            case Lost(step, failure, last, cancel):
                self._conclude(JobEvent.GAVE_UP, step, last, failure, cancel)
            case RepeatLeg(step, leg, spends):
                self._keep()
                self._note()
                self._queue(step, leg, spends=spends)
            case BeginStep(step):
                self._keep()
                self._note()
                self._queue(step, 0)
            case GoOn():
                self._keep()
                self._note()
            case _:
                assert_never(outcome)

    def _keep(self) -> None:
        """Keep of the answers so far what there is room for."""
        self.course, self._kept = self._context.kept_answers.keep(self.job.customer, self.course, self._kept)

    def _send(self, step: int, leg: int, permit: int, region: RegionName) -> None:
        attempt_id = self._context.next_attempt_id()
        now_ms = self._context.clock.unix_ms()
        if all(attempt.leg != leg for attempt in run_of(self.course, step).attempts):
            self._context.routes.retry_budgets.sent_first(self._target(step))
        self.course, attempt = dispatch_leg(self.course, step, leg, attempt_id, region, now_ms)
        if self.state is JobState.QUEUED:
            self.state = advance(self.state, JobEvent.DISPATCHED)
        if self.job.spec.guarantee is Guarantee.AT_MOST_ONCE:
            self._context.spawn(self._mark_then_send(step, attempt, permit))
        else:
            self._note()
            self._post(step, attempt, permit)
        self._queue_siblings(step, attempt)

    async def _mark_then_send(self, step: int, attempt: Attempt, permit: int) -> None:
        # It may have ended before this began: an end is written by its commit alone, whole.
        if not self.state.ended:
            await self._context.store.save_course(self.job.id, self.job.customer, self.state, self.course)
        if self.state.ended:
            self._domain(step).unused(permit)
        elif attempt.region not in self._context.peers.regions_up():
            # It went down meanwhile. Posted all the same, nobody could know what became of the request.
            self.attempt_ended(attempt.id, _UNSENT)
            self._domain(step).unused(permit)
        else:
            self._context.moved(self.job.id)
            self._post(step, attempt, permit)

    def _post(self, step: int, attempt: Attempt, permit: int) -> None:
        self._context.dispatcher.send(
            attempt.id,
            self,
            job=self.job.id,
            customer=self.job.customer,
            domain=self._target(step),
            permit=permit,
            region=attempt.region,
            request=target_request(self.job, step, attempt),
        )

    def _placed(self, step: int, leg: int) -> tuple[int, RegionName] | None:
        """Find a region for the leg whose turn it is; before any went out, a sibling may take its turn."""
        siblings = () if step in self._spares_queued else waiting_legs(run_of(self.course, step))
        for candidate in (leg, *siblings):
            if (region := self._place(step, candidate)) is not None:
                return candidate, region
        return None

    def _wait_elsewhere(self, step: int, leg: int) -> None:
        """Nothing takes the leg now: wait for a region or behind a breaker, or give it up."""
        region = self._leg(step, leg).region
        strict = self._spec(step).region_policy is RegionPolicy.STRICT
        if strict and self._context.routes.gone_for_good([region, *self._untried(step)]):
            self._give_up(step, leg)
            return
        ways = self._strict_ways(step, leg) if strict else []
        cause = self._context.routes.shut_from(self._target(step), ways if strict else None)
        if cause is not None and self.leave_shut(step, cause):
            return
        if strict:
            self._context.routes.wait_strictly(self._claim(step, leg), ways)
        else:
            self._context.routes.wait_anywhere(self._claim(step, leg), region)
        self._lie_down(step, leg)

    def _strict_ways(self, step: int, leg: int) -> list[RegionName]:
        """Name the regions of which any will do for the turn of a leg that may not go elsewhere: its own,
        those that its hedge has not tried, and before any leg went out those of its siblings.
        """
        siblings = [] if step in self._spares_queued else waiting_legs(run_of(self.course, step))
        regions = [self._leg(step, index).region for index in (leg, *siblings)]
        return list(dict.fromkeys([*regions, *self._untried(step)]))

    def _untried(self, step: int) -> list[RegionName]:
        """Name the regions that a hedge, whose legs are planned one at a time, has not tried."""
        spec = self._spec(step)
        hedge = spec.execution_mode is ExecutionMode.HEDGE
        return untried_regions(run_of(self.course, step), spec) if hedge else []

    def _lie_down(self, step: int, leg: int) -> None:
        self._queued.add((step, leg))
        self._context.lay_down(self)

    def _give_up(self, step: int, leg: int) -> None:
        regions = ", ".join([self._leg(step, leg).region, *self._untried(step)])
        down = f"{regions} down for {self._context.routes.strict_down_s:g} s"
        failure = Failure(FailureCode.REGIONS_DOWN, down)
        now_ms = self._context.clock.unix_ms()
        self.course, outcome = give_up_leg(self.course, self.job.spec, step, leg, failure, now_ms)
        self._follow(outcome)
        if not self.state.ended and step not in self._spares_queued:
            for sibling in waiting_legs(run_of(self.course, step))[:1]:
                self._queue(step, sibling)

    @property
    def untouched(self) -> bool:
        """Whether nothing has happened to the job yet that its spec does not say."""
        return self.state is JobState.QUEUED and self.course == begin_course(self.job.spec)

    def _place(self, step: int, leg: int) -> RegionName | None:
        spec, wanted, domain = self._spec(step), self._leg(step, leg).region, self._target(step)
        with_credit = self._context.peers.regions_with_credit()
        if wanted in with_credit and self._context.routes.target_health.calm(domain):
            return wanted
        offer = self._context.routes.target_health.offer(domain, with_credit)
        return place(
            wanted,
            listed=spec.regions,
            policy=spec.region_policy,
            up=offer.regions,
            busy={other.region for other in run_of(self.course, step).legs if not other.state.over},
            ill=offer.ill,
            doubted=offer.doubted,
            untried=self._untried(step),
        )

    def _queue_siblings(self, step: int, attempt: Attempt) -> None:
        mode = self._spec(step).execution_mode
        if mode is ExecutionMode.HEDGE:
            late_s = self._context.routes.target_health.late_after_s(self._target(step), attempt.region)
            self._after(late_s, attempt.id, lambda: self._hedge(step, attempt.id))
        elif step not in self._spares_queued:
            for leg in waiting_legs(run_of(self.course, step)):
                self._enqueue(step, leg)
        self._spares_queued.add(step)

    def _hedge(self, step: int, attempt: AttemptId) -> None:
        """An attempt is late: let another region try, if nobody else wants the permit."""
        if self.state.ended or all(still.id != attempt for still in open_in_course(self.course)):
            return
        self.course, leg = hedge_step(self.course, self.job.spec, step)
        if leg is not None:
            self._note()
            self._enqueue(step, leg)

    def _queue(self, step: int, leg: int, *, spends: bool = False) -> None:
        delay_s = repeats_in_ms(run_of(self.course, step), leg, self._context.clock.unix_ms()) / 1000
        if delay_s <= 0:
            self._enqueue(step, leg, spends=spends)
        else:
            self._after(delay_s, (step, leg), lambda: self._enqueue(step, leg, spends=spends))

    def _after(self, delay_s: float, what: Hashable, do: Callable[[], None]) -> None:
        """Do something later, once, unless the job has ended by then."""

        def due() -> None:
            del self._timers[what]
            do()

        if what not in self._timers:
            self._timers[what] = self._context.clock.call_at(self._context.clock.now() + delay_s, due)

    def _enqueue(self, step: int, leg: int, *, spends: bool = False) -> None:
        self._queued.add((step, leg))
        self._context.routes.line_up(self._claim(step, leg), spends=spends)

    def _watch_for_lateness(self, step: int) -> None:
        """Begin the fallback that waits for this step to be late, when it is."""
        following = timeout_after(self.course, self.job.spec, step)
        started_ms = first_start_ms(self.course, step)
        if following is None or started_ms is None or step in self._watched:
            return
        self._watched.add(step)
        left_ms = still_to_wait_ms(started_ms + following[1], started_ms, self._context.clock.unix_ms())
        self._after(left_ms / 1000, step, lambda: self._late(step, following[0]))

    def _late(self, step: int, following: int) -> None:
        if not self.state.ended and is_running(self.course, step) and self.course.runs[following] is None:
            self.course = begin_step(self.course, self.job.spec, following)
            self._note()
            self._queue(following, 0)

    def _claim(self, step: int, leg: int) -> Claim:
        # Only a fan-out cannot do without its further legs: they wait their turn like any.
        further = is_further(run_of(self.course, step), leg)
        spare = further and self._spec(step).execution_mode is not ExecutionMode.FANOUT
        may_leave = self._spec(step).fallback is not None
        return Claim(self._target(step), self._ticket(step, leg), spare, may_leave)

    def _ticket(self, step: int, leg: int) -> Ticket:
        spec, customer = self._spec(step), self.job.customer
        account = account_of(customer, spec.account, spec.headers, spec.url)
        return Ticket(
            self.job.order_key, self.job.id, leg, customer, step, account, spec.cost, spec.path_class
        )

    def _spec(self, step: int) -> JobSpec:
        return self.job.spec.steps[step]

    def _target(self, step: int) -> TargetDomain:
        return self.job.domain if step == PRIMARY else target_domain(self._spec(step).url)

    def _domain(self, step: int) -> DomainLimiter:
        return self._context.domain(self._target(step))

    def _reroute_regions(self, attempt: AttemptId, ended: Ended) -> Sequence[RegionName]:
        """Name the regions where an attempt that ended so might go on, best first."""
        step = step_of(self.course, attempt)
        if step is None or (ended.response and ended.response.beyond_doubt):
            return ()
        return self._context.routes.target_health.healthy(
            self._target(step), self._context.peers.regions_up()
        )

    def _leg(self, step: int, leg: int) -> Leg:
        return run_of(self.course, step).legs[leg]

    def _parked(self, step: int, leg: int) -> AttemptId | None:
        for attempt in open_in_course(self.course):
            at_leg = attempt.leg == leg and step_of(self.course, attempt.id) == step
            if at_leg and self._context.dispatcher.is_parked(attempt.id):
                return attempt.id
        return None

    def _conclude(
        self,
        event: JobEvent,
        step: int,
        answer: Answer | None,
        failure: Failure | None,
        cancel: tuple[AttemptId, ...] = (),
    ) -> None:
        self.state = advance(self.state, event)
        self._withdraw(range(len(self.course.runs)))
        while self._timers:
            self._timers.popitem()[1].cancel()
        now_ms = self._context.clock.unix_ms()
        self.course, still_open = abandon_course(self.course, now_ms)
        for attempt in (*cancel, *still_open):
            self._context.dispatcher.cancel(attempt)
        result = self._context.results.begin(
            self.job, self.course, self.state, step=step, answer=answer, failure=failure
        )
        self._context.kept_answers.forget(self.job.customer, self._kept)
        self._context.spawn(self._commit(result, now_ms, failure))

    def _withdraw(self, steps: Collection[int]) -> None:
        """Let go of the tickets of steps that are over."""
        for step, leg in [queued for queued in self._queued if queued[0] in steps]:
            self._queued.discard((step, leg))
            self._context.routes.withdraw(self._claim(step, leg), self._spec(step).regions)

    async def _commit(self, result: UnsavedResult, now_ms: int, failure: Failure | None) -> None:
        body = result.body if result.body is not None else await result.write()
        born = children_of(self.job, self.state, now_ms, self._context.random)
        self.course = replace(
            self.course, children=tuple(Child(place, job.id, known=False) for place, job in born)
        )
        # The course is read now, not when the job ended: a loser may have reported its close meanwhile.
        spawns = [job for _, job in born]
        ending = ending_of(self.job, self.state, self.course, body, now_ms, spawns, failure)
        taken = await self._context.store.end(ending)
        result.saved()
        if any(isinstance(child, Duplicate) for child in taken):
            self._note_known(taken)
        spawned = [child.job for child in taken if isinstance(child, Accepted)]
        self._context.ended(self, ending, spawned)

    def _note_known(self, taken: Sequence[Accepted | Duplicate]) -> None:
        self.course = replace(self.course, children=known_children(self.course.children, taken))
        self._context.store.note_timeline(self.job.id, self.job.customer, without_answers(self.course))

    def _note(self) -> None:
        self._context.moved(self.job.id)
        self._context.store.note_course(self.job.id, self.job.customer, self.state, self.course)


_UNSENT = Ended(None, Fault.LOST, "the region went down before the request was sent", written=False)
