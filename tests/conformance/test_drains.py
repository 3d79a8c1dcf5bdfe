"""Regions that an operator has taken out of service, on every store."""

from orchestrator.domain.access.audit import Act, AuditFilter
from orchestrator.domain.cluster.draining import Drain
from orchestrator.ports.store import Store
from tests.conformance.stores import Keeper, an_entry
from tests.unit.domain.builders import IAD, LAX


async def test_regions_that_drain_are_there_after_a_restart(keeper: Keeper) -> None:
    store = await keeper.open()
    drains = {IAD: Drain(7, "one"), LAX: Drain(8, "two")}
    for region, drain in drains.items():
        await store.jobs.save_drain(region, drain, an_entry())
    assert await (await keeper.open()).jobs.drains() == drains


async def test_a_region_that_drains_no_longer_is_not_kept(store: Store) -> None:
    await store.jobs.save_drain(IAD, Drain(7, "one"), an_entry(Act.REGION_DRAINED, IAD))
    await store.jobs.save_drain(IAD, None, an_entry(Act.REGION_UNDRAINED, IAD))
    assert await store.jobs.drains() == {}
    lines = await store.audit.lines(AuditFilter(), 10)
    assert [line.entry.act for line in lines] == [Act.REGION_UNDRAINED, Act.REGION_DRAINED]
