"""The answers that a course keeps in case its job ends with them: they may be large."""

from collections.abc import Iterator

from msgspec.structs import replace

from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.run import Answer, Run


def without_answers(course: Course) -> Course:
    """Leave out the answers that were kept in case the job ended with them: they may be large."""
    runs = (run and replace(run, answers=(), last_seen=None) for run in course.runs)
    return replace(course, runs=tuple(runs))


def kept_bytes(course: Course) -> int:
    """Count the bytes of the answers that a course keeps."""
    return sum(answer.response.size for run in course.runs if run for answer in _kept(run))


def with_answers_cut(course: Course, most: int) -> Course:
    """Keep at most so many bytes of the body and of the headers of each answer that a course keeps."""

    def cut(answer: Answer) -> Answer:
        return replace(answer, response=answer.response.cut(most))

    def cut_run(run: Run) -> Run:
        last = run.last_seen and cut(run.last_seen)
        return replace(run, answers=tuple(map(cut, run.answers)), last_seen=last)

    return replace(course, runs=tuple(run and cut_run(run) for run in course.runs))


def _kept(run: Run) -> Iterator[Answer]:
    yield from run.answers
    if run.last_seen is not None:
        yield run.last_seen
