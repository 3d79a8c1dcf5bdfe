"""What the gateway counts for the metrics."""

from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.domain.lifecycle import JobState
from tests.support.rig import IAD, Rig, in_virtual_time


@in_virtual_time()
async def test_numbers_stay_as_they_were_counted(rig: Rig) -> None:
    await rig.run()
    before = LocalShard(rig.shard).numbers()
    await rig.run()
    after = LocalShard(rig.shard).numbers()
    for numbers, jobs in ((before, 1), (after, 2)):
        assert numbers.counters.accepted == jobs
        assert numbers.counters.ended == {JobState.SUCCESS: jobs}
        assert numbers.counters.attempt_seconds[IAD].count == jobs
