"""Submitting many jobs: in batches, or one by one where the service takes no batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Union, cast

from ezthrottle._calls.answers import error_for
from ezthrottle._calls.call import JSON_HEADERS, Call, submission
from ezthrottle._calls.notices import tell_of
from ezthrottle._calls.paths import BATCH
from ezthrottle._jobs.fields import FIELDS
from ezthrottle._jobs.payload import encoded, job_payload
from ezthrottle.exceptions import (
    AuthenticationError,
    BatchError,
    EZThrottleError,
    InvalidJobError,
    ServiceUnavailableError,
    ServiceUnreachableError,
)
from ezthrottle.step import Step

if TYPE_CHECKING:
    from ezthrottle._http.service import Service
    from ezthrottle.types import Acknowledgement

MOST_JOBS = 250
MOST_BYTES = 4 * 1024 * 1024
# The service works on one batch while the next is written.
BATCHES_AT_ONCE = 2
SINGLES_AT_ONCE = 8

# What services from before the batch endpoint answer.
_NO_SUCH_CALL = frozenset({404, 405})
_ENDS_ALL = (AuthenticationError, ServiceUnavailableError, ServiceUnreachableError)

Job = Union[Step, Mapping[str, Any]]
Answer = Union["dict[str, Any]", EZThrottleError]
Progress = Callable[[int, Union[int, None]], Any]


class Submission:
    """Many jobs on their way; no more of them is read than is sent.

    >>> run(Submission(service, progress=None).answers([{"url": "https://api.example.com"}]))[0]["status"]
    'queued'
    """

    def __init__(self, service: Service, progress: Progress | None) -> None:
        self._service = service
        self._progress = progress
        self._takes_batches = True
        self._ended_by: EZThrottleError | None = None
        self._unread: Exception | None = None
        self._answers: list[Answer] = []

    async def answers(self, jobs: Iterable[Job]) -> list[Acknowledgement]:
        """Submit the jobs and return an answer for each, in their order."""
        total = len(jobs) if isinstance(jobs, Sized) else None
        if isinstance(jobs, Sequence):
            await self._checked(jobs)
        work = (self._sent(chunk) for chunk in self._until_ended(_chunks(jobs)))
        await self._service.runtime.in_order(work, BATCHES_AT_ONCE, partial(self._take, total))
        if self._unread is not None:
            self._cut_short(self._unread)
        taken = [answer for answer in self._answers if isinstance(answer, dict)]
        if len(taken) < len(self._answers):
            raise self._failure(len(taken))
        return cast("list[Acknowledgement]", taken)

    async def _checked(self, jobs: Sequence[Job]) -> None:
        # What can be read twice is found to be no job before any of it is sent.
        for number, job in enumerate(jobs):
            _encoded(job)
            if number % MOST_JOBS == 0:
                await self._service.runtime.sleep(0)

    def _until_ended(self, chunks: Iterator[_Chunk]) -> Iterator[_Chunk]:
        try:
            for chunk in chunks:
                # A service that is away would be tried for the full time limit by each of the batches.
                if self._ended_by is not None:
                    return
                yield chunk
        except Exception as error:  # noqa: BLE001 - raised once the answers on their way are in
            self._unread = error

    def _take(self, total: int | None, answers: list[Answer]) -> None:
        self._answers += answers
        for answer in answers:
            if isinstance(answer, dict):
                tell_of(answer)
        if self._progress is not None:
            self._progress(len(self._answers), total)

    def _cut_short(self, error: Exception) -> NoReturn:
        if not self._answers:
            raise error
        taken = sum(isinstance(answer, dict) for answer in self._answers)
        raise BatchError(
            f"{len(self._answers)} jobs were sent, of which {taken} were taken, when the next could "
            f"not be read: {type(error).__name__}: {error}. See `answers` for those that were sent.",
            answers=self._answers,
        ) from error

    def _failure(self, taken: int) -> EZThrottleError:
        errors = [answer for answer in self._answers if isinstance(answer, EZThrottleError)]
        if self._ended_by is not None and not taken:
            return errors[0]
        times = [error.retry_at for error in errors if error.retry_at is not None]
        return BatchError(
            f"{len(errors)} of {len(self._answers)} jobs were not taken, the first because: {errors[0]} "
            "See `answers` for each.",
            max(times, default=None),
            answers=self._answers,
        )

    async def _sent(self, chunk: _Chunk) -> list[Answer]:
        try:
            batch = await self._as_batch(chunk) if self._takes_batches else None
        except EZThrottleError as error:
            self._ended_by = error
            return [error] * len(chunk.jobs)
        return await self._one_by_one(chunk) if batch is None else batch

    async def _as_batch(self, chunk: _Chunk) -> list[Answer] | None:
        body = b'{"jobs":[' + b",".join(chunk.jobs) + b"]}"
        try:
            document = await self._service.call(_batch(body))
        except EZThrottleError as error:
            self._takes_batches = error.status_code not in _NO_SUCH_CALL
            # Refused as a whole: one by one it shows which of the jobs is at fault.
            if self._takes_batches and not isinstance(error, InvalidJobError):
                raise
            return None
        return _answers_in(document, len(chunk.jobs))

    async def _one_by_one(self, chunk: _Chunk) -> list[Answer]:
        answers: list[Answer] = []
        jobs = itertools.takewhile(lambda _: self._ended_by is None, chunk.jobs)
        await self._service.runtime.in_order(map(self._single, jobs), SINGLES_AT_ONCE, answers.append)
        if self._ended_by is not None:
            # The next chunk may be on its way: its answers have their places behind these.
            answers += [self._ended_by] * (len(chunk.jobs) - len(answers))
        return answers

    async def _single(self, job: bytes) -> Answer:
        try:
            return cast("dict[str, Any]", await self._service.call(submission(job)))
        except EZThrottleError as error:
            if isinstance(error, _ENDS_ALL):
                self._ended_by = error
            return error


@dataclass(frozen=True)
class _Chunk:
    jobs: list[bytes]


def _chunks(jobs: Iterable[Job]) -> Iterator[_Chunk]:
    chunk: list[bytes] = []
    size = 0
    for written in map(_encoded, jobs):
        if chunk and (len(chunk) == MOST_JOBS or size + len(written) > MOST_BYTES):
            yield _Chunk(chunk)
            chunk, size = [], 0
        chunk.append(written)
        size += len(written)
    if chunk:
        yield _Chunk(chunk)


def _encoded(job: Job) -> bytes:
    return encoded(job.spec.payload() if isinstance(job, Step) else _payload_of(job))


def _payload_of(job: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(job, Mapping):
        raise TypeError(f"a job is a {type(job).__name__}: give a Step or a dict of submit_job's arguments")
    fields = dict(job)
    url = fields.pop("url", None)
    if not url:
        raise ValueError(f"a job has no url: {sorted(job)}")
    unknown = fields.keys() - FIELDS.keys()
    if unknown:
        raise TypeError(f"a job has arguments that submit_job() does not take: {sorted(unknown)}")
    return job_payload(url, fields.pop("method", "GET"), fields)


def _batch(jobs: bytes) -> Call[dict[str, Any]]:
    return Call("POST", BATCH, content=jobs, headers=JSON_HEADERS)


def _answers_in(document: Mapping[str, Any], count: int) -> list[Answer]:
    answers = document.get("answers")
    if not isinstance(answers, list) or len(answers) != count:
        raise EZThrottleError(f"POST {BATCH} was not answered with {count} answers")
    return [_answer_of(answer) for answer in answers]


def _answer_of(answer: dict[str, Any]) -> Answer:
    if "job_id" in answer:
        return answer
    status = answer.get("status")
    return error_for("A job of a batch", status if isinstance(status, int) else 500, answer)
