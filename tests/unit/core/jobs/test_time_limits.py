"""Jobs whose time is over, in the real core."""

import asyncio

from orchestrator.core.maintenance import OVERDUE_BATCH, OVERDUE_EVERY_S
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.pace.pacing import Pace
from tests.support.rig import Rig, in_virtual_time


@in_virtual_time(Pace(0.01, 1))
async def test_however_many_jobs_are_overdue_they_end_at_once(rig: Rig) -> None:
    jobs = [await rig.submit(on_failure_timeout_ms=5_000) for _ in range(10 * OVERDUE_BATCH)]
    await asyncio.sleep(5 + 2 * OVERDUE_EVERY_S)
    states = [(await rig.show(job_id)).state for job_id in jobs[1:]]
    assert states.count(JobState.FAILED) == len(jobs) - 1
