"""However commits and looks fall, every row is seen by the first look behind its commit, and few twice."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.memory.jobs import MemoryJobs
from orchestrator.adapters.memory.tables import Tables
from orchestrator.domain.ids import JobId
from tests.unit.domain.builders import a_job

WRITERS = 4
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(0, WRITERS - 1)),
        st.tuples(st.just("commit"), st.integers(0, WRITERS - 1)),
        st.tuples(st.just("give up"), st.integers(0, WRITERS - 1)),
        st.tuples(st.just("look"), st.just(0)),
    ),
    max_size=40,
)


class Writer:
    """A gateway that stores one job at a time; when each commit comes through is drawn."""

    def __init__(self, tables: Tables) -> None:
        self._jobs = MemoryJobs(tables, commit_takes=self._come_through)
        self._may_commit = asyncio.Event()
        self._storing: asyncio.Task[object] | None = None
        self._job_id = JobId("")

    async def _come_through(self) -> None:
        await self._may_commit.wait()

    async def begin(self, number: int) -> None:
        if self._storing is None:
            self._may_commit.clear()
            job = a_job(number)
            self._job_id = job.id
            self._storing = asyncio.ensure_future(self._jobs.submit(job))
            await asyncio.sleep(0)

    async def commit(self) -> JobId | None:
        if (storing := self._storing) is None:
            return None
        self._may_commit.set()
        await storing
        self._storing = None
        return self._job_id

    async def give_up(self) -> None:
        if (storing := self._storing) is not None:
            storing.cancel()
            await asyncio.wait([storing])
            self._storing = None


async def play(steps: list[tuple[str, int]]) -> None:
    tables = Tables()
    looker = MemoryJobs(tables)
    await looker.begin_epoch()
    writers = [Writer(tables) for _ in range(WRITERS)]
    unseen: set[JobId] = set()
    for number, (what, which) in enumerate(steps):
        match what:
            case "begin":
                await writers[which].begin(number)
            case "commit":
                committed = await writers[which].commit()
                unseen |= {committed} if committed else set()
            case "give up":
                await writers[which].give_up()
            case _:
                seen = {waiting.id for waiting in (await looker.news()).jobs}
                assert unseen <= seen <= set(tables.rows)
                unseen.clear()
    for writer in writers:
        await writer.give_up()


@given(STEPS)
def test_no_look_misses_a_row_that_was_committed_before_it(steps: list[tuple[str, int]]) -> None:
    asyncio.run(play(steps))
