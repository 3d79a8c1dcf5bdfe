"""A directory in which domains were named by a host, and by a port only where that was unusual."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence

import pytest
from msgspec.structs import replace

from orchestrator.adapters.sqlite import domain_ports
from orchestrator.adapters.sqlite.data_dir import DATABASE, KEY_FILE
from orchestrator.adapters.sqlite.migration import FILLS
from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.jobs.job import Job, Webhook
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.steering.steering import Learned
from orchestrator.domain.webhooks.fanout import DeliveryState
from orchestrator.ports.store import DeadFilter
from tests.conformance.stores import FLUSHER, SqliteKeeper, an_ending, outbox_of, set_back, submit_all
from tests.unit.domain.builders import ACME, a_job

STEP = next(number for number, fill in FILLS.items() if fill is domain_ports.name_ports)


@contextlib.contextmanager
def database(directory: SqliteKeeper) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(directory.data_dir / DATABASE)) as db, db:
        yield db


async def before_the_step(directory: SqliteKeeper) -> None:
    await directory.close()
    set_back(directory, STEP - 1)


def filed(number: int, url: str, name: str) -> Job:
    return replace(a_job(number, url=url), domain=TargetDomain(name))


OPEN = [
    filed(1, "https://api.example.com/", "api.example.com"),
    filed(2, "http://api.example.com/", "api.example.com"),
    filed(3, "http://api.example.com:443/", "api.example.com:443"),
    filed(4, "https://api.example.com:8443/", "api.example.com:8443"),
    filed(5, "http://0x7f000001:81/", "0x7f000001:81"),
    filed(6, "http://[64:ff9b::c000:207]/", "[64:ff9b::c000:207]"),
    filed(7, "http://[fe80::1%25eth0]:81/", "[fe80::1%25eth0]:81"),
]
NAMED = [
    "api.example.com",
    "api.example.com:80",
    "api.example.com",
    "api.example.com:8443",
    "127.0.0.1:81",
    "192.0.2.7:80",
    "[fe80::1]:81",
]


async def test_open_jobs_are_named_by_their_urls(directory: SqliteKeeper) -> None:
    store = await directory.open()
    ended = filed(8, "http://api.example.com/over", "api.example.com")
    await submit_all(store, [*OPEN, ended])
    await store.jobs.end(an_ending(ended))
    await before_the_step(directory)

    store = await directory.open()
    assert {job.id: job.domain for job in await store.jobs.waiting()} == {
        job.id: name for job, name in zip(OPEN, NAMED, strict=True)
    }
    loaded = await store.jobs.load(OPEN[1].id)
    assert loaded is not None
    assert loaded.job.domain == "api.example.com:80"


async def test_deliveries_are_named_by_their_urls(directory: SqliteKeeper) -> None:
    hooks = (Webhook(url="http://a.example.com/hook"), Webhook(url="http://0x7f.1:443/hook"))
    job = a_job(webhooks=hooks)
    store = await directory.open()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job))
    _, failed = outbox_of(job)
    await store.jobs.save_delivery(replace(failed, state=DeliveryState.FAILED))
    await directory.close()
    with database(directory) as db:
        db.execute("UPDATE deliveries SET endpoint = 'a.example.com' WHERE position = 0")
        db.execute("UPDATE deliveries SET endpoint = '0x7f.1:443' WHERE position = 1")
    await before_the_step(directory)

    store = await directory.open()
    assert [entry.endpoint for entry in await store.jobs.outbox()] == ["a.example.com:80"]
    wanted = DeadFilter(customer=job.customer, endpoint=TargetDomain("127.0.0.1"))
    assert [entry.id for entry in await store.history.dead_deliveries(wanted, most=10)] == [failed.id]


BEFORE = {
    "a.example.com": 1.0,
    "b.example.com": 2.0,
    "b.example.com:80": 3.0,
    "c.example.com:443": 4.0,
    "d.example.com:8443": 5.0,
    "0x7f000001:81": 6.0,
    "127.1": 7.0,
    "[64:ff9b::c000:207]": 8.0,
    "[2001:db8::7]": 9.0,
    "[2001:db8::7]:81": 10.0,
}
AFTER = {
    "a.example.com": 1.0,
    "a.example.com:80": 1.0,
    "b.example.com": 2.0,
    "b.example.com:80": 3.0,
    "c.example.com": 4.0,
    "d.example.com:8443": 5.0,
    "127.0.0.1:81": 6.0,
    "127.0.0.1": 7.0,
    "127.0.0.1:80": 7.0,
    "192.0.2.7": 8.0,
    "192.0.2.7:80": 8.0,
    "[2001:db8::7]": 9.0,
    "[2001:db8::7]:80": 9.0,
    "[2001:db8::7]:81": 10.0,
}


@pytest.mark.parametrize("names", [list(BEFORE), list(reversed(BEFORE))])
async def test_what_was_known_of_a_host_without_a_port_holds_for_80_and_443(
    directory: SqliteKeeper, names: Sequence[str]
) -> None:
    store = await directory.open()
    for name in names:
        store.jobs.note_pace(TargetDomain(name), Learned(pace=Pace(BEFORE[name], 3)))
        store.jobs.note_domain(ACME, TargetDomain(name))
    store.jobs.note_domain(FLUSHER, TargetDomain("a.example.com"))
    await before_the_step(directory)

    for _ in range(2):
        store = await directory.open()
        paces = await store.jobs.paces()
        assert {name: learned.pace and learned.pace.rps for name, learned in paces.items()} == AFTER
        assert set(await store.history.domains_of(ACME, 100)) == set(AFTER)
        assert await store.history.domains_of(FLUSHER, 100) == ["a.example.com", "a.example.com:80"]


async def test_a_damaged_row_keeps_its_name_and_holds_up_no_other(directory: SqliteKeeper) -> None:
    store = await directory.open()
    await submit_all(store, OPEN[:2])
    for name in ("a.example.com", "b.example.com:443"):
        store.jobs.note_pace(TargetDomain(name), Learned(pace=Pace(5.0, 3)))
    await directory.close()
    with database(directory) as db:
        db.execute("UPDATE jobs SET request = x'0102' WHERE id = ?", (OPEN[0].id,))
        db.execute("UPDATE lessons SET learned = x'0102' WHERE domain = 'a.example.com'")
    await before_the_step(directory)

    await directory.open()
    with database(directory) as db:
        names = dict(db.execute("SELECT id, domain FROM jobs"))
        known = [domain for (domain,) in db.execute("SELECT domain FROM lessons ORDER BY domain")]
    assert names == {OPEN[0].id: "api.example.com", OPEN[1].id: "api.example.com:80"}
    assert known == ["a.example.com", "b.example.com"]


async def test_with_another_key_every_name_stays_for_the_start_with_the_right_one(
    directory: SqliteKeeper,
) -> None:
    store = await directory.open()
    await submit_all(store, OPEN)
    store.jobs.note_pace(TargetDomain("a.example.com"), Learned(pace=Pace(5.0, 3)))
    await before_the_step(directory)
    key_file = directory.data_dir / KEY_FILE
    right = key_file.read_text()
    key_file.write_text(os.urandom(32).hex() + "\n")
    with pytest.raises(ValueError, match="put back the key file"):
        await directory.open()

    key_file.write_text(right)
    store = await directory.open()
    assert sorted(job.domain for job in await store.jobs.waiting()) == sorted(NAMED)
    assert set(await store.jobs.paces()) == {"a.example.com", "a.example.com:80"}
