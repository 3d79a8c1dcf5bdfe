"""What operators did, on every store: each act with its entry, or neither."""

import contextlib
import sqlite3
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from orchestrator.adapters.sqlite.data_dir import DATABASE
from orchestrator.domain.access.audit import Act, AuditFilter
from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.pace.overruling import Overruling, Pause
from orchestrator.ports.store import Store, StoreFailure
from tests.conformance.stores import Keeper, SqliteKeeper, add_key, an_entry, revoke
from tests.unit.domain.builders import NOW_MS

ALL = AuditFilter()
API = TargetDomain("api.example.com")
PAUSED = Overruling(pause=Pause(at_ms=1, by="ops"))


async def told(store: Store, wanted: AuditFilter = ALL, most: int = 10) -> list[tuple[str, str]]:
    return [(line.entry.act, line.entry.subject) for line in await store.audit.lines(wanted, most)]


async def test_a_key_that_is_made_or_revoked_is_in_the_audit_once(keeper: Keeper) -> None:
    store = await keeper.open()
    _, made = await add_key(keeper)
    assert [await revoke(keeper, made), await revoke(keeper, made)] == [True, False]
    wanted = [(Act.KEY_REVOKED, made.key_id), (Act.KEY_CREATED, made.key_id)]
    assert await told(store) == wanted
    assert await told(await keeper.open()) == wanted


async def test_what_an_operator_says_of_a_domain_is_in_the_audit(store: Store) -> None:
    await store.jobs.save_overruling(API, PAUSED, an_entry(Act.DOMAIN_PAUSED, API))
    assert await told(store) == [("domain.paused", "api.example.com")]


async def test_an_entry_comes_back_as_it_was(keeper: Keeper) -> None:
    store = await keeper.open()
    entry = replace(
        an_entry(subject="a 'quoted' ü"), customer="cust_ops", detail={"rps": 0.5, "until_ms": None, "n": 7}
    )
    await store.audit.append(entry)
    (line,) = await (await keeper.open()).audit.lines(ALL, 10)
    assert line.entry == entry


async def test_entries_are_listed_by_time_and_page(store: Store) -> None:
    for number in range(5):
        await store.audit.append(an_entry(subject=str(number), at_ms=NOW_MS + number))
    first = await store.audit.lines(ALL, 2)
    assert [line.entry.subject for line in first] == ["4", "3"]
    rest = await told(store, AuditFilter(before=first[-1].number))
    assert [subject for _, subject in rest] == ["2", "1", "0"]
    between = await told(store, AuditFilter(since_ms=NOW_MS + 1, until_ms=NOW_MS + 3))
    assert [subject for _, subject in between] == ["2", "1"]


@pytest.mark.parametrize("number", range(3), ids=["a key is made", "one is revoked", "a domain is paused"])
async def test_an_act_whose_entry_can_not_be_written_is_not_done(
    directory: SqliteKeeper, number: int
) -> None:
    store = await directory.open()
    _, made = await add_key(directory)
    with contextlib.closing(sqlite3.connect(directory.data_dir / DATABASE)) as db, db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END")
    acts: list[Callable[[], Awaitable[object]]] = [
        lambda: add_key(directory, "cust_beta"),
        lambda: revoke(directory, made),
        lambda: store.jobs.save_overruling(API, PAUSED, an_entry()),
    ]
    with pytest.raises(StoreFailure, match="full"):
        await acts[number]()
    assert await store.customers.keys() == [made]
    assert await store.jobs.overrulings() == {}


async def test_an_entry_of_which_something_is_damaged_is_listed_with_the_rest(
    directory: SqliteKeeper,
) -> None:
    store = await directory.open()
    await store.audit.append(an_entry(subject="one"))
    with contextlib.closing(sqlite3.connect(directory.data_dir / DATABASE)) as db, db:
        db.execute("UPDATE audit SET detail = x'ff', act = 'of.tomorrow'")
    (line,) = await store.audit.lines(AuditFilter(), 10)
    assert (line.entry.act, line.entry.subject, line.entry.detail) == ("of.tomorrow", "one", {})
