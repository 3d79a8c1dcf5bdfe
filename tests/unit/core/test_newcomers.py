"""What a shard learns of by looking, beside what it took in itself: each once."""

import asyncio
from random import Random

from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.core.jobs.job_reader import JobReader
from orchestrator.core.shards.newcomers import Newcomers
from orchestrator.domain.ids import CustomerId, new_job_id, target_domain
from orchestrator.domain.jobs.job import Job, JobSpec
from orchestrator.ports.clock import SystemClock


def a_job() -> Job:
    spec = JobSpec(url="https://api.example.com/", regions=(), metadata={})
    job_id = new_job_id(1_763_674_210_000, Random(1))
    return Job(
        id=job_id,
        customer=CustomerId("cust_acme"),
        domain=target_domain(spec.url),
        idempotent_key=job_id,
        accepted_ms=1_763_674_210_000,
        spec=spec,
    )


async def taken_in_by_looks(job: Job, *, taken_in_before: bool) -> list[Job]:
    """Look for a job that is on disk; say what is taken in by that."""
    store, admitted, looks = MemoryStore(), list[Job](), list[asyncio.Task[None]]()
    await store.jobs.begin_epoch()
    newcomers = Newcomers(
        store.jobs,
        SystemClock(),
        JobReader(store, SystemClock(), lambda _: None),
        lambda work: looks.append(asyncio.get_running_loop().create_task(work)),
        admit=admitted.append,
        deliver=lambda _: None,
        is_ours=lambda _: True,
    )
    await store.jobs.submit(job)
    if taken_in_before:
        assert newcomers.know(job.id)
    newcomers.begin(())
    await asyncio.gather(*looks)
    return admitted


async def test_what_another_shard_has_put_on_disk_is_taken_in() -> None:
    job = a_job()
    assert await taken_in_by_looks(job, taken_in_before=False) == [job]


async def test_a_child_that_is_born_while_its_shard_starts_is_not_taken_in_again() -> None:
    assert await taken_in_by_looks(a_job(), taken_in_before=True) == []
