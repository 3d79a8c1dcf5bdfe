"""One job's life: its legs go out, their ends come in, and the job is won, lost or tried again."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, assert_never

from orchestrator.core.dispatcher import Dispatcher
from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.core.peers import PeerBook
from orchestrator.domain.fairness import Ticket
from orchestrator.domain.ids import AttemptId, DeliveryId, RegionName
from orchestrator.domain.job import Guarantee, Job
from orchestrator.domain.lifecycle import JobEvent, JobState, advance
from orchestrator.domain.report import webhook_body
from orchestrator.domain.routing import place
from orchestrator.domain.run import (
    Answer,
    Attempt,
    LegState,
    Run,
    abandon,
    dispatch,
    note_close,
    note_start,
    open_attempts,
    waiting_legs,
)
from orchestrator.domain.settling import (
    Await,
    Ended,
    Fail,
    Failure,
    FailureCode,
    Repeat,
    Succeed,
    settle,
)
from orchestrator.domain.target_request import target_request
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Ending, OutboxEntry, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What supervisors of a shard share."""

    store: Store
    clock: Clock
    random: Random
    peers: PeerBook
    dispatcher: Dispatcher
    next_attempt_id: Callable[[], AttemptId]
    park: Callable[[DomainLimiter, Ticket], None]
    """Keeps a leg for which no region is there until one comes up."""
    ended: Callable[["JobSupervisor", Ending], None]
    """Told when a job's end is on disk."""
    spawn: Callable[[Coroutine[Any, Any, None]], None]


class JobSupervisor:
    """Drives the pure rules of ``domain.settling`` with what really happens."""

    __slots__ = ("_domain", "_in", "_spares_queued", "job", "run", "state")

    def __init__(
        self, surroundings: Surroundings, job: Job, domain: DomainLimiter, state: JobState, run: Run
    ) -> None:
        self._in = surroundings
        self._domain = domain
        self._spares_queued = run.made > 0
        self.job = job
        self.state = state
        self.run = run

    def launch(self, leg: int, permit: int) -> None:
        """Use a permit for a leg, or give it back."""
        if self.state.ended:
            self._domain.unused(permit)
        elif (parked := self._parked(leg)) is not None:
            self._in.dispatcher.go(parked, permit)
        elif self.run.legs[leg].state is not LegState.WAITING:
            self._domain.unused(permit)
        elif self._in.clock.unix_ms() >= self.job.deadline_at_ms:
            self._domain.unused(permit)
            self.time_out()
        elif self._in.clock.unix_ms() < self.run.legs[leg].not_before_ms:
            # An attempt that was lost while it waited for a permit has left this ticket behind.
            self._domain.unused(permit)
            self._queue(leg)
        elif (region := self._place(leg)) is None:
            self._in.park(self._domain, self._ticket(leg))
            self._domain.unused(permit)
        else:
            self._send(leg, permit, region)

    def fail(self, failure: Failure) -> None:
        """End the job without success, whatever it was doing."""
        if not self.state.ended:
            self._lose(failure, self.run.answers[0] if self.run.answers else None)

    def time_out(self) -> None:
        """The job's time is over."""
        limit = "on_failure_timeout_ms" if self.job.times_out else "deadline_ms"
        code = FailureCode.TIMEOUT if self.job.times_out else FailureCode.DEADLINE
        self.fail(Failure(code, f"the job's {limit} passed before it succeeded"))

    def resume(self) -> None:
        """Queue again what a restart found waiting."""
        for leg in waiting_legs(self.run):
            self._queue(leg)
            if not self._spares_queued:
                return

    def attempt_started(self, attempt: AttemptId, started_ms: int) -> None:
        """An attempt's first byte was written."""
        self.run = note_start(self.run, attempt, started_ms)

    def attempt_ready(self, attempt: AttemptId) -> None:
        """An attempt waits on a ready connection: its leg queues for a permit again."""
        found = next((a for a in open_attempts(self.run) if a.id == attempt), None)
        if found is not None:
            self._domain.enqueue(self._ticket(found.leg))

    def attempt_ended(self, attempt: AttemptId, ended: Ended) -> None:
        """An attempt is over: decide what follows."""
        if self.state.ended:
            self.run = note_close(self.run, attempt, self._in.clock.unix_ms())
            self._in.store.note_timeline(self.job.id, self.job.customer, self.run)
            return
        self.run, decision = settle(
            self.run,
            self.job.spec,
            attempt,
            ended,
            now_ms=self._in.clock.unix_ms(),
            jitter=self._in.random.random(),
            up=self._in.peers.regions_up(),
        )
        match decision:
            case Succeed(leg, response):
                answer = Answer(self.run.legs[leg].region, response)
                self._conclude(JobEvent.SUCCEEDED, answer, None, decision.cancel)
            case Fail(failure, last):
                self._lose(failure, last)
            case Repeat(leg):
                self._note()
                self._queue(leg)
            case Await():
                self._note()
            case _:
                assert_never(decision)

    def _send(self, leg: int, permit: int, region: RegionName) -> None:
        attempt_id = self._in.next_attempt_id()
        now_ms = self._in.clock.unix_ms()
        self.run, attempt = dispatch(self.run, leg, attempt_id, region, now_ms)
        if self.state is JobState.QUEUED:
            self.state = advance(self.state, JobEvent.DISPATCHED)
        if self.job.spec.guarantee is Guarantee.AT_MOST_ONCE:
            self._in.spawn(self._mark_then_send(attempt, permit))
        else:
            self._note()
            self._post(attempt, permit)
        self._queue_spares()

    async def _mark_then_send(self, attempt: Attempt, permit: int) -> None:
        await self._in.store.save_run(self.job.id, self.job.customer, self.state, self.run)
        if self.state.ended:
            self._domain.unused(permit)
        else:
            self._post(attempt, permit)

    def _post(self, attempt: Attempt, permit: int) -> None:
        self._in.dispatcher.send(
            attempt.id,
            self,
            domain=self._domain,
            permit=permit,
            region=attempt.region,
            request=target_request(self.job, attempt),
        )

    def _place(self, leg: int) -> RegionName | None:
        spec = self.job.spec
        return place(
            self.run.legs[leg].region,
            listed=spec.regions,
            policy=spec.region_policy,
            up=self._in.peers.regions_with_credit(),
            busy={other.region for other in self.run.legs if not other.state.over},
        )

    def _queue_spares(self) -> None:
        if not self._spares_queued:
            self._spares_queued = True
            for leg in waiting_legs(self.run):
                self._domain.enqueue_spare(self._ticket(leg))

    def _queue(self, leg: int) -> None:
        delay_s = (self.run.legs[leg].not_before_ms - self._in.clock.unix_ms()) / 1000
        if delay_s <= 0:
            self._domain.enqueue(self._ticket(leg))
        else:
            due = self._in.clock.now() + delay_s
            self._in.clock.call_at(due, lambda: self._domain.enqueue(self._ticket(leg)))

    def _ticket(self, leg: int) -> Ticket:
        return Ticket(self.job.order_key, self.job.id, leg, self.job.customer)

    def _parked(self, leg: int) -> AttemptId | None:
        for attempt in open_attempts(self.run):
            if attempt.leg == leg and self._in.dispatcher.is_parked(attempt.id):
                return attempt.id
        return None

    def _lose(self, failure: Failure, answer: Answer | None) -> None:
        self._conclude(JobEvent.GAVE_UP, answer, failure)

    def _conclude(
        self,
        event: JobEvent,
        answer: Answer | None,
        failure: Failure | None,
        cancel: tuple[AttemptId, ...] = (),
    ) -> None:
        self.state = advance(self.state, event)
        now_ms = self._in.clock.unix_ms()
        self.run, still_open = abandon(self.run, now_ms)
        for attempt in (*cancel, *still_open):
            self._in.dispatcher.cancel(attempt)
        body = webhook_body(self.job, self.run, self.state, answer=answer, failure=failure)
        self._in.spawn(self._commit(body, now_ms))

    async def _commit(self, body: bytes, now_ms: int) -> None:
        # The run is read now, not when the job ended: a loser may have reported its close meanwhile.
        ending = self._ending(body, now_ms)
        await self._in.store.end(ending)
        self._in.ended(self, ending)

    def _ending(self, body: bytes, now_ms: int) -> Ending:
        outbox = tuple(
            OutboxEntry(
                id=DeliveryId(f"msg_{self.job.id}_{index}"),
                job_id=self.job.id,
                customer=self.job.customer,
                index=index,
                next_ms=now_ms,
            )
            for index in range(len(self.job.spec.webhooks))
        )
        return Ending(
            job_id=self.job.id,
            customer=self.job.customer,
            state=self.state,
            run=self.run,
            result=body,
            ended_ms=now_ms,
            outbox=outbox,
            key_freed=not any(attempt.written for attempt in self.run.attempts),
        )

    def _note(self) -> None:
        self._in.store.note_run(self.job.id, self.job.customer, self.state, self.run)
