"""A job's end on disk: its row, outbox and children in one transaction, behind its result's other parts."""

import functools
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.adapters.records import pack_course
from orchestrator.adapters.sealing import sealing_context
from orchestrator.adapters.sqlite.database import Database
from orchestrator.adapters.sqlite.failures import note_failure
from orchestrator.adapters.sqlite.marks import drop_mark
from orchestrator.adapters.sqlite.new_jobs import JobRow, NewJobs, insert, taken
from orchestrator.adapters.sqlite.outbox import insert_outbox, outbox_row
from orchestrator.adapters.sqlite.result_parts import parts_of, write_part
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.store import Accepted, Duplicate, Ending


class _EndedRow(NamedTuple):
    """What a job's end changes, in the order of ``_END``."""

    state: str
    ended_ms: int
    run: bytes
    result: memoryview
    result_bytes: int | None
    idem_holds: bool
    id: str


_END = """UPDATE jobs SET state = ?, ended_ms = ?, run = ?, result = ?, result_bytes = ?, idem_holds = ?,
                          run_bytes = NULL, run_second = NULL
          WHERE id = ? AND ended_ms IS NULL"""


class Endings:
    """Writes how jobs ended.

    Args:
        database: Where to.
        new: Makes the rows of children.
    """

    def __init__(self, database: Database, new: NewJobs) -> None:
        self._database = database
        self._box = database.box
        self._new = new

    async def write(self, ending: Ending) -> Sequence[Accepted | Duplicate]:
        """Write one; say of each child whether it was taken. See ``JobStore.end``.

        Raises:
            StoreFailure: It could not be written for a while.
        """
        job = await self._row(ending)
        outbox = [outbox_row(entry) for entry in ending.outbox]
        children = [self._new.row_now(child) for child in ending.children]
        found = await self._database.kept(
            "a job's end",
            lambda db: _end(db, job, outbox, children, ending),
            size=len(job.result) + len(job.run) + sum(len(child.request) for child in children),
        )
        return [taken(*triple) for triple in zip(ending.children, children, found, strict=True)]

    async def _row(self, ending: Ending) -> _EndedRow:
        run = self._box.seal(
            pack_course(ending.course), sealing_context(ending.customer, ending.job_id, "run")
        )
        result = self._box.seal(ending.result, sealing_context(ending.customer, ending.job_id, "result"))
        first, size = await write_all_but_first(self._database, ending.job_id, result)
        return _EndedRow(ending.state, ending.ended_ms, run, first, size, not ending.key_freed, ending.job_id)


async def write_all_but_first(
    database: Database, job_id: JobId, result: bytes
) -> tuple[memoryview, int | None]:
    """Store a sealed result's parts behind the first; give that, and the size of all where it is not all.

    Raises:
        StoreFailure: One could not be written for a while.
    """
    first, *others = parts_of(result)
    for number, part in enumerate(others, 1):
        write = functools.partial(write_part, job_id=job_id, number=number, part=part)
        await database.kept("a part of a result", write, size=len(part))
    return first, len(result) if others else None


def _end(
    db: sqlite3.Connection,
    job: _EndedRow,
    outbox: list[tuple[Any, ...]],
    children: list[JobRow],
    ending: Ending,
) -> list[sqlite3.Row | None]:
    if not db.execute(_END, job).rowcount:
        msg = f"{job.id} has ended already"
        raise RuntimeError(msg)
    insert_outbox(db, outbox)
    if ending.state is not JobState.SUCCESS:
        note_failure(db, job.id, ending.code or "")
    if ending.marked:
        drop_mark(db, job.id)
    return [insert(db, child) for child in children]
