"""How far jobs are, and what of them may have been sent."""

from msgspec import Struct

from orchestrator.adapters.records import pack_course
from orchestrator.adapters.sealing import sealing_context
from orchestrator.adapters.sqlite.course_notes import CourseNote, CourseNotes
from orchestrator.adapters.sqlite.database import Database
from orchestrator.adapters.sqlite.large_courses import LargeCourses
from orchestrator.adapters.sqlite.marks import read_marks, write_mark
from orchestrator.adapters.sqlite.result_parts import PART_BYTES
from orchestrator.adapters.sqlite.shard_rows import ShardRows
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.course_answers import kept_bytes
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.store import require_open


class _Saving(Struct):
    """A save under way, which is tried again: with what was noted or saved since, or it would undo that."""

    latest: CourseNote
    waiting: int = 0


class SqliteCourses(ShardRows):
    """The part of the JobStore port that is about jobs under way."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._notes = CourseNotes(database.box, database.post)
        self._large = LargeCourses(database)
        self._saving: dict[JobId, _Saving] = {}

    def note_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is; rides the next commit, nobody waits for it.

        Raises:
            ValueError: It has ended: that is for ``end`` to write.
        """
        require_open(job_id, state)
        note = CourseNote(job_id, customer, state, course)
        saving = self._saving.get(job_id)
        if saving is not None:
            saving.latest = note
        if self._is_large(note):
            self._notes.drop(job_id)
            self._large.put(note)
        elif saving is not None:
            self._database.post(lambda db: note.write(db, self._box))
        else:
            self._notes.put(note)

    async def save_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is, and wait for the commit, on a full disk for a while.

        Raises:
            StoreFailure: It could not be written all that time.
            ValueError: It has ended: that is for ``end`` to write.
        """
        require_open(job_id, state)
        note = CourseNote(job_id, customer, state, course)
        self._notes.drop(job_id)
        # A later note must not be written before this one, as it would be by a flush that waits already.
        saving = self._saving.setdefault(job_id, _Saving(note))
        saving.latest = note
        saving.waiting += 1
        try:
            await self._database.tried("how far a job is", lambda: self._write(saving.latest))
        finally:
            saving.waiting -= 1
            if not saving.waiting:
                del self._saving[job_id]

    def note_timeline(self, job_id: JobId, customer: CustomerId, course: Course) -> None:
        """Save what was still learned about a job that has ended; rides the next commit."""
        sealed = self._box.seal(pack_course(course), sealing_context(customer, job_id, "run"))
        sql = "UPDATE jobs SET run = ? WHERE id = ? AND ended_ms IS NOT NULL"
        self._database.post(lambda db: db.execute(sql, (sealed, job_id)))

    async def mark(self, mark: Mark) -> bool:
        """Write down that an attempt may have been sent; see ``JobStore.mark``.

        Raises:
            StoreFailure: It could not be written for a while.
        """
        return bool(await self._database.kept("a mark", lambda db: write_mark(db, mark)))

    async def marks(self) -> dict[JobId, Mark]:
        """List the marks of jobs that have not ended."""
        return await self._database.lanes.work.read(read_marks)

    async def close(self) -> None:
        """Return when what was noted is asked for: the database writes that before it closes."""
        await self._large.close()

    async def _write(self, note: CourseNote) -> None:
        if self._is_large(note):
            await self._large.write(note)
        else:
            await self._database.writer.write(lambda db: note.write(db, self._box))

    def _is_large(self, note: CourseNote) -> bool:
        return kept_bytes(note.course) > PART_BYTES or self._large.has(note.job_id)
