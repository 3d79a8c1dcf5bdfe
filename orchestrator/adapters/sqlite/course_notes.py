"""How far jobs are, on its way to disk: of each job only the latest, and nothing of one that has ended.

Nobody waits for a note. Most jobs end within the commit that would have carried theirs. One that keeps an
answer of some kilobytes goes among the large writes, and one that takes more than a part ``LargeCourses``.
"""

import sqlite3
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from orchestrator.adapters.records import pack_course
from orchestrator.adapters.sealing import sealing_context
from orchestrator.adapters.sqlite.group_commit import LARGE_WRITE_BYTES, Write
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.course_answers import kept_bytes
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.secret_box import SecretBox

NOTES_MOST = 128
"""Of those that ride one commit: each is sealed meanwhile, some 50 us."""
_PLACE = """UPDATE jobs SET state = ?, run = ?, run_bytes = ?, run_second = ?
            WHERE id = ? AND ended_ms IS NULL"""


class CourseNote(Struct, frozen=True):
    """How far a job is."""

    job_id: JobId
    customer: CustomerId
    state: JobState
    course: Course

    def sealed(self, box: SecretBox) -> bytes:
        """Give the course as it is stored."""
        return box.seal(pack_course(self.course), sealing_context(self.customer, self.job_id, "run"))

    def write(self, db: sqlite3.Connection, box: SecretBox) -> None:
        """Update the job's row, unless it has ended."""
        self.place(db, self.sealed(box))

    def place(
        self,
        db: sqlite3.Connection,
        run: bytes | memoryview,
        size: int | None = None,
        second: int | None = None,
    ) -> None:
        """Update the job's row, unless it has ended. Where ``run`` is the first part of several, they have
        ``size`` bytes, and the others, which are on disk, begin with the one numbered ``second``.
        """
        db.execute(_PLACE, (self.state, run, size, second, self.job_id))


class Post(Protocol):
    """Asks for a write that nobody waits for."""

    def __call__(self, write: Write, *, size: int = 0) -> None:
        """Ask."""


class CourseNotes:
    """Filled by the event loop and emptied by the writer thread, one operation on a dict at a time."""

    def __init__(self, box: SecretBox, post: Post) -> None:
        self._box = box
        self._post = post
        self._latest: dict[JobId, CourseNote] = {}
        self._large: dict[JobId, CourseNote] = {}
        self._due = False

    def put(self, note: CourseNote) -> None:
        """Take a note in place of an earlier one of its job; it rides the next commit, or has its own."""
        size = kept_bytes(note.course)
        if note.job_id in self._large or size >= LARGE_WRITE_BYTES:
            self._put_large(note, max(size, LARGE_WRITE_BYTES))
            return
        self._latest[note.job_id] = note
        self._be_due()

    def _be_due(self) -> None:
        if not self._due:
            self._due = True
            self._post(self._flush())

    def _put_large(self, note: CourseNote, size: int) -> None:
        """Where a large note of its job waits, a small one takes its place: none overtakes another."""
        self._latest.pop(note.job_id, None)
        self._large[note.job_id] = note
        # Each time: the writer may take the one before just now, and then nobody would come for this one.
        self._post(self._flush_large(note.job_id), size=size)

    def drop(self, job_id: JobId) -> None:
        """Forget a job's note: what overtakes it is about to be written."""
        self._latest.pop(job_id, None)
        self._large.pop(job_id, None)

    def _flush_large(self, job_id: JobId) -> Callable[[sqlite3.Connection], None]:
        taken: list[CourseNote] = []

        def write(db: sqlite3.Connection) -> None:
            if (note := self._large.pop(job_id, None)) is not None:
                taken[:] = [note]
            for note in taken:
                note.write(db, self._box)

        return write

    def _flush(self) -> Callable[[sqlite3.Connection], None]:
        taken: dict[JobId, CourseNote] = {}

        def write(db: sqlite3.Connection) -> None:
            # A commit that failed runs its writes again: what was taken then is still in hand.
            self._due = False
            while self._latest and len(taken) < NOTES_MOST:
                job_id, note = self._latest.popitem()
                taken[job_id] = note
            for note in taken.values():
                note.write(db, self._box)
            if self._latest:
                self._be_due()

        return write
