"""How the result of a job is written: at once where it is small, else in slices of the loop's time."""

import asyncio
from collections.abc import Callable, Iterator
from weakref import WeakValueDictionary

from orchestrator.core.targets.answer_intake import AnswerIntake
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.run import Answer
from orchestrator.domain.execution.settling import Failure
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.results.large_report import large_webhook_body
from orchestrator.domain.results.report import fanout_answers, webhook_body
from orchestrator.runtime.cooperative_yield import CooperativeYield


class ResultWriter:
    """Writes a customer's large results one after the other, each until it is on disk: memory has one.

    Args:
        now: Monotonic seconds.
        answers: Where results are counted until they are on disk.
    """

    def __init__(self, now: Callable[[], float], answers: AnswerIntake) -> None:
        self._now = now
        self._answers = answers
        self._turns: WeakValueDictionary[CustomerId, asyncio.Lock] = WeakValueDictionary()

    def begin(
        self,
        job: Job,
        course: Course,
        state: JobState,
        *,
        step: int,
        answer: Answer | None,
        failure: Failure | None,
    ) -> "UnsavedResult":
        """Begin with a job's result, and count it from now on."""
        size = _answer_bytes(job, course, step, answer)
        if size > LARGE_BYTES:
            pieces = large_webhook_body(job, course, state, step=step, answer=answer, failure=failure)
            return UnsavedResult(self, job.customer, size, None, pieces)
        body = webhook_body(job, course, state, step=step, answer=answer, failure=failure)
        return UnsavedResult(self, job.customer, len(body), body, _NOTHING)

    def turn_of(self, customer: CustomerId) -> asyncio.Lock:
        """Whoever has it may write a large result of the customer."""
        return self._turns.setdefault(customer, asyncio.Lock())

    async def join(self, pieces: Iterator[bytes]) -> bytes:
        """Write all pieces of one result."""
        written: list[bytes] = []
        breather = CooperativeYield(self._now)
        for piece in pieces:
            written.append(piece)
            await breather.pause()
        whole = b"".join(written)
        written.clear()
        # To seal it, which is next, takes some milliseconds more.
        await asyncio.sleep(0)
        return whole

    def count(self, customer: CustomerId, size: int) -> None:
        """Count a result that is about to be saved."""
        self._answers.begin_to_save(customer, size)

    def saved(self, customer: CustomerId, size: int) -> None:
        """It is on disk."""
        self._answers.saved(customer, size)


class UnsavedResult:
    """One result on its way to disk. ``body`` is None while it is still to be written.

    Args:
        writer: Writes it.
        customer: Whose it is.
        size: What is counted for it, in bytes: while it is not written that is how many its answers have.
        body: The whole of it.
        pieces: What is still to be written.
    """

    __slots__ = ("_customer", "_pieces", "_size", "_turn", "_writer", "body")

    def __init__(
        self,
        writer: ResultWriter,
        customer: CustomerId,
        size: int,
        body: bytes | None,
        pieces: Iterator[bytes],
    ) -> None:
        self._writer = writer
        self._customer = customer
        self._size = size
        self._pieces = pieces
        self._turn: asyncio.Lock | None = None
        self.body = body
        writer.count(customer, size)

    async def write(self) -> bytes:
        """Write it, in a turn that lasts until it is saved: who can't save it ends the shard."""
        turn = self._writer.turn_of(self._customer)
        await turn.acquire()
        self._turn = turn
        body = self.body = await self._writer.join(self._pieces)
        self._writer.saved(self._customer, self._size)
        self._size = len(body)
        self._writer.count(self._customer, self._size)
        return body

    def saved(self) -> None:
        """It is on disk."""
        self._writer.saved(self._customer, self._size)
        if self._turn is not None:
            self._turn.release()
            self._turn = None


_NOTHING: Iterator[bytes] = iter(())


def _answer_bytes(job: Job, course: Course, step: int, answer: Answer | None) -> int:
    told = fanout_answers(job, course, step) or ()
    return sum(found.response.size for found in (answer, *told) if found is not None)
