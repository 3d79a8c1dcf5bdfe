"""What the operator said of domains, on every store."""

from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.pace.overruling import AS_IT_IS, Overruling, Pause, SetPace
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.steering.learned import Learned
from orchestrator.ports.store import Store
from tests.conformance.stores import Keeper, an_entry
from tests.unit.domain.builders import ACME

API, OTHER = TargetDomain("api.example.com"), TargetDomain("other.example.com:8443")
BOTH = Overruling(
    pace=SetPace(rps=0.5, max_concurrent=3, until_ms=1_900_000_000_000, at_ms=7, by="one"),
    pause=Pause(at_ms=8, by="two"),
)


async def test_what_the_operator_said_is_there_after_a_restart(keeper: Keeper) -> None:
    store = await keeper.open()
    said = {API: BOTH, OTHER: Overruling(pause=Pause(at_ms=9, by="one"))}
    for domain, overruling in said.items():
        await store.jobs.save_overruling(domain, overruling, an_entry())
    assert await (await keeper.open()).jobs.overrulings() == said


async def test_each_part_comes_back_as_it_was(store: Store) -> None:
    for said in (
        Overruling(pace=SetPace(rps=100_000.0, at_ms=1, by="k")),
        Overruling(pace=SetPace(max_concurrent=1, at_ms=1, by="k")),
        BOTH,
    ):
        await store.jobs.save_overruling(API, said, an_entry())
        assert await store.jobs.overrulings() == {API: said}


async def test_what_says_nothing_is_not_kept(store: Store) -> None:
    await store.jobs.save_overruling(API, BOTH, an_entry())
    await store.jobs.save_overruling(API, AS_IT_IS, an_entry())
    assert await store.jobs.overrulings() == {}


async def test_what_was_learned_is_replaced_where_that_is_asked_for(keeper: Keeper) -> None:
    store = await keeper.open()
    store.jobs.note_pace(API, Learned(pace=Pace(5.0, 3)))
    await store.jobs.save_overruling(API, BOTH, an_entry())
    assert (await store.jobs.paces())[API].pace == Pace(5.0, 3)
    await store.jobs.save_overruling(API, BOTH, an_entry(), Learned())
    assert (await (await keeper.open()).jobs.paces())[API] == Learned()


async def test_everybodys_domains_are_listed_once_and_those_that_the_operator_spoke_of(
    keeper: Keeper,
) -> None:
    store = await keeper.open()
    store.jobs.note_domain(ACME, API)
    store.jobs.note_domain(type(ACME)("cust_beta"), API)
    await store.jobs.save_overruling(OTHER, BOTH, an_entry())
    assert await store.history.domains_of(None, 10) == [API, OTHER]
    assert await store.history.domains_of(None, 1) == [API]
    assert await store.history.domains_of(None, 10, after=API) == [OTHER]
    assert await store.history.domains_of(ACME, 10) == [API]
