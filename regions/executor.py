"""A region's hands: runs attempts, each on its permit, and reports what became of them.

It keeps no truth. Everything it is told is idempotent by attempt id, and what it has ended it
remembers for a while, so that a message which comes twice, or late, does nothing twice.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.domain.exchange import Fault, HttpRequest, Phases
from orchestrator.domain.health.routing import SELF_FENCE_AFTER_S
from orchestrator.domain.ids import AttemptId
from orchestrator.domain.recent import RecentFor
from orchestrator.domain.trace_context import is_traced
from orchestrator.messages.types import (
    AttemptDone,
    AttemptReady,
    AttemptStarted,
    CancelAttempt,
    GoAttempt,
    Message,
    PermitUnused,
    RunAttempt,
    SendAnswer,
)
from orchestrator.ports.clock import Clock, Timer
from orchestrator.ports.egress import Egress, EgressError
from orchestrator.ports.lifecycle import AsyncCloseable
from orchestrator.runtime.open_files import files_left
from regions.egress.answer_room import AnswerRoom
from regions.held_answers import HeldAnswers, ReportLarge

GRANT_LASTS_S = 0.05
"""How long past its start time a permit may still be used."""
REPORT_START_AFTER_S = 0.1
"""An attempt that takes longer than this reports its start apart from its end."""
STALE_AFTER_S = 8.0
"""A message on its way for longer is not obeyed: the shard may soon count its attempt as lost."""
LEAST_WAIT_S = 1e-6
FILES_KEPT_BACK = 64
"""Of those that could be opened still: for Ray, the log, name servers, and attempts on their way here."""
CLOSES_AFTER_TURNS = 20
"""Of the loop, once the lease has run out: where it was stalled, answers may be here that nobody has read."""
ANSWERS_KEPT_S = 10.0
"""After the lease has run out. A shard that was cut off for a moment, or stalled, asks for them still."""
REMEMBER_S = 600.0
REMEMBER_MOST = 200_000


@dataclass(slots=True)
class _Work:
    """An attempt here. ``permit`` resolves to the start time, in this executor's clock.
    ``ending_as`` is set once it was asked to end.
    """

    task: asyncio.Task[None]
    permit: asyncio.Future[float]
    started_at: float | None = None
    timer: Timer | None = None
    ending_as: Fault | None = None

    def end_as(self, fault: Fault) -> None:
        """Ask for its end. Once: a second cancellation would disturb the closing of its connection."""
        if self.ending_as is None:
            self.ending_as = fault
            self.task.cancel()


class Executor(AsyncCloseable):
    """Runs attempts over an egress.

    Args:
        egress: The HTTP client.
        clock: Time here.
        report: Takes messages for the shard.
        report_large: Takes a large answer, and says when none of it waits here any more.
        count_files_left: Counts the files, connections included, that this process could open still.
        room: Where answers are counted; the egress may share it.
    """

    def __init__(
        self,
        egress: Egress,
        clock: Clock,
        report: Callable[[Message], None],
        *,
        report_large: ReportLarge | None = None,
        count_files_left: Callable[[], int] = files_left,
        room: AnswerRoom | None = None,
    ) -> None:
        self._egress = egress
        self._clock = clock
        self._report = report
        self._count_files_left = count_files_left
        self._answers = HeldAnswers(clock, report, room or AnswerRoom(), report_large)
        self._work: dict[AttemptId, _Work] = {}
        self._ended: RecentFor[AttemptId, bool] = RecentFor(REMEMBER_MOST, REMEMBER_S)
        """Attempts that must not run (again), and whether all that came of them was an early cancel."""
        self._lease_until = -math.inf
        self._lapsing = False
        self._heeds_from = math.inf
        self.clock_offset_s = 0.0
        """The shard's clock minus this one."""

    def __len__(self) -> int:
        """Count the attempts here."""
        return len(self._work)

    @property
    def places(self) -> int:
        """How many attempts this process can take at once, those that it has included. Never none: an attempt
        may find its connection in the pool.
        """
        return max(1, len(self._work) + self._count_files_left() - FILES_KEPT_BACK)

    def receive(self, message: Message) -> None:
        """Take a message from the shard."""
        match message:
            case RunAttempt():
                self._run(message)
            case GoAttempt():
                self._go(message)
            case CancelAttempt():
                self._cancel(message.attempt)
            case SendAnswer():
                self._answers.send(message.attempt)
            case _:
                msg = f"an executor does not take {type(message).__name__}"
                raise TypeError(msg)

    def fence(self) -> None:
        """The lease has run out, or a new shard grants another: close everything and start nothing."""
        self._lease_until = -math.inf
        for work in self._work.values():
            work.end_as(Fault.LOST)

    def lapse(self) -> None:
        """The lease has run out: start nothing from now on, and close everything once the loop has read what
        is here already. An answer that has come is one, whatever kept this process from reading it.
        """
        self._lease_until = -math.inf
        if self._work and not self._lapsing:
            self._lapsing = True
            self._close_after(CLOSES_AFTER_TURNS)

    def _close_after(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._close_after, turns - 1)
            return
        self._lapsing = False
        # What has ended by itself meanwhile may have let it go on.
        if self.lease_expired:
            self.fence()

    def drop_answers(self) -> None:
        """Hold no answers for a shard that is silent for long."""
        self._answers.drop_all()

    def forget_answers(self) -> None:
        """Another shard works here now: it knows of none of the answers that are held."""
        self._answers.forget()

    def unfence(self, lease_until: float) -> None:
        """The shard is heard: work may go on until ``lease_until`` (``boot_s`` of this clock), or it is heard
        again.
        """
        if self.lease_expired:
            self._heeds_from = self._clock.now()
        self._lease_until = lease_until

    @property
    def lease_expired(self) -> bool:
        """Whether the shard has been silent for so long that it may give this work away."""
        # By the clock and not by a flag: a loop that was busy for long must not start what it finds waiting,
        # nor a machine that slept.
        return self._clock.boot_s() > self._lease_until

    def _obeys(self, start_at: float, now: float) -> bool:
        """Whether a grant is for now, and not one that was on its way while the shard gave it up."""
        return not self.lease_expired and start_at >= max(self._heeds_from, now - STALE_AFTER_S)

    async def close(self) -> None:
        """End every attempt, then the client."""
        self.fence()
        await asyncio.gather(*(work.task for work in self._work.values()), return_exceptions=True)
        await self._egress.close()

    def _run(self, message: RunAttempt) -> None:
        attempt = message.attempt
        now = self._clock.now()
        early = self._ended.get(attempt, now)
        if attempt in self._work or early is False:
            return
        here = message.start_at - self.clock_offset_s
        if early or not self._obeys(here, now):
            fault = Fault.CANCELLED if early else Fault.LOST
            self._report(AttemptDone(attempt, None, None, fault, "ended before it began"))
            self._remember(attempt, early=False)
            return
        loop = asyncio.get_running_loop()
        permit: asyncio.Future[float] = loop.create_future()
        task = loop.create_task(self._attempt(attempt, message.request))
        task.add_done_callback(lambda _: self._end_unbegun(attempt))
        work = self._work[attempt] = _Work(task, permit)
        # A batch may have been on its way for longer than a grant lasts: the time it took does not count.
        use_by = max(here, now) + GRANT_LASTS_S
        permit.set_result(here)
        work.timer = self._clock.call_at(use_by, lambda: self._expire(attempt, work))

    def _go(self, message: GoAttempt) -> None:
        # No limit here: the connection is ready. So a permit comes back once at most, and the shard can
        # tell a message that comes twice from one about its next permit.
        work = self._work.get(message.attempt)
        if work is not None and not work.permit.done():
            here = message.start_at - self.clock_offset_s
            if self._obeys(here, self._clock.now()):
                work.permit.set_result(here)
            else:
                work.end_as(Fault.LOST)

    def _expire(self, attempt: AttemptId, work: _Work) -> None:
        if work.started_at is None and attempt in self._work:
            work.permit = asyncio.get_running_loop().create_future()
            self._report(PermitUnused(attempt))

    def _cancel(self, attempt: AttemptId) -> None:
        work = self._work.get(attempt)
        if work is not None:
            work.end_as(Fault.CANCELLED)
        elif self._ended.get(attempt, self._clock.now()) is None:
            self._remember(attempt, early=True)
        else:
            self._answers.drop(attempt)

    async def _attempt(self, attempt: AttemptId, request: HttpRequest) -> None:
        told: list[Phases] = []
        timed = told.append if is_traced(request.headers) else None
        try:
            response = await self._egress.exchange(request, lambda: self._gate(attempt), timed)
        except EgressError as error:
            self._finish(attempt, error.fault, str(error))
        except asyncio.CancelledError:
            self._finish_as_asked(attempt)
        except Exception as error:  # noqa: BLE001  # whatever a client raises, the job has to hear of an end
            self._finish(attempt, Fault.BROKEN, f"the request failed: {type(error).__name__}")
        else:
            answered = self._clock.now() + self.clock_offset_s
            started = self._end(attempt)
            phases = _phases_of(told)
            done = AttemptDone(
                attempt,
                started,
                response,
                answered_at=answered,
                write_s=phases.write_s,
                wait_s=phases.wait_s,
            )
            self._answers.report(done, request.owner)

    def _end_unbegun(self, attempt: AttemptId) -> None:
        # A task that is cancelled before its first step runs none of its handlers.
        if attempt in self._work:
            self._finish_as_asked(attempt)

    def _finish_as_asked(self, attempt: AttemptId) -> None:
        fault = self._work[attempt].ending_as or Fault.CANCELLED
        self._finish(attempt, fault, fault.value)

    async def _gate(self, attempt: AttemptId) -> None:
        work = self._work[attempt]
        await self._permission(attempt, work)
        if self.lease_expired:
            raise EgressError(Fault.LOST, "the shard was not heard for too long")
        if work.timer is not None:
            work.timer.cancel()
        work.started_at = self._clock.now()
        work.timer = self._clock.call_at(
            work.started_at + REPORT_START_AFTER_S, lambda: self._report_start(attempt, work)
        )

    async def _permission(self, attempt: AttemptId, work: _Work) -> None:
        while True:
            permit = work.permit
            if not permit.done():
                self._report(AttemptReady(attempt))
            start_at = await permit
            if (wait_s := start_at - self._clock.now()) > 0:
                await asyncio.sleep(wait_s)
            # In a busy loop the permit may have expired meanwhile, and gone back.
            if permit is work.permit:
                return

    def _report_start(self, attempt: AttemptId, work: _Work) -> None:
        if work.started_at is not None:
            self._report(AttemptStarted(attempt, work.started_at + self.clock_offset_s))

    def _finish(self, attempt: AttemptId, fault: Fault, message: str) -> None:
        started = self._end(attempt)
        # Behind an open gate the connection may still turn out to be closed, or the request unwritable.
        began = None if fault.unwritten else started
        self._report(AttemptDone(attempt, began, None, fault, message))

    def _end(self, attempt: AttemptId) -> float | None:
        work = self._work.pop(attempt)
        if work.timer is not None:
            work.timer.cancel()
        self._remember(attempt, early=False)
        return None if work.started_at is None else work.started_at + self.clock_offset_s

    def _remember(self, attempt: AttemptId, *, early: bool) -> None:
        self._ended.put(attempt, early, self._clock.now())


def _phases_of(told: list[Phases]) -> Phases:
    # By a clock of milliseconds an answer may be waited for no time at all, which is how none is told.
    return Phases(told[0].write_s, max(told[0].wait_s, LEAST_WAIT_S)) if told else _UNTOLD


_UNTOLD = Phases(0.0, 0.0)


class ShardLease:
    """Fences the executor when no shard was heard for a while, before the shard gives its work away.

    ``epoch`` is the shard incarnation that the executor works for; 0 while it works for none.
    """

    def __init__(self, executor: Executor, clock: Clock) -> None:
        self._executor = executor
        self._clock = clock
        self._heard_at = float("-inf")
        self._lasts_s = SELF_FENCE_AFTER_S
        self.epoch = 0

    def heard(self, epoch: int, sent: float, lease_s: float | None = None) -> None:
        """A shard answered the heartbeat of ``sent`` (``boot_s`` of this clock), and may itself act for
        ``lease_s`` from then on. All counts from the sending here: the shard counts from when the heartbeat
        came in, so this side always gives up first.
        """
        if sent >= self._heard_at:
            self._heard_at = sent
            self._lasts_s = SELF_FENCE_AFTER_S if lease_s is None else min(SELF_FENCE_AFTER_S, lease_s)
        if epoch != self.epoch:
            # What an older shard began is unknown to this one: it is closed before the new one's begins.
            self._executor.fence()
            self._executor.forget_answers()
            self.epoch = 0 if len(self._executor) else epoch
        self.check()

    @property
    def silence_s(self) -> float | None:
        """Since the sending of the last heartbeat that was answered; None where none was."""
        silence = self._clock.boot_s() - self._heard_at
        return None if silence == float("inf") else silence

    @property
    def lapsed_for_long(self) -> bool:
        """Whether the shard has given to others, or lost with its life, what is done here for it."""
        return self._clock.boot_s() > self._heard_at + self._lasts_s + ANSWERS_KEPT_S

    def check(self) -> None:
        """Fence if the silence has lasted too long; call this more often than that."""
        lease_until = self._heard_at + self._lasts_s
        closing = self._executor.lease_expired and len(self._executor)
        # The epoch stays when only silence came between: the shard still has to hear how its attempts ended.
        if self.epoch and not closing and self._clock.boot_s() <= lease_until:
            self._executor.unfence(lease_until)
        else:
            self._executor.lapse()
