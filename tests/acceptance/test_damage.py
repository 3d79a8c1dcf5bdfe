"""What a service does when its rows rot, and when its database goes, seen from outside."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from bench.loopback import Site, running_site
from bench.service import Service, kill_service, resume_service, start_service, stop_service
from tests.acceptance.conftest import Api, customer_of

pytestmark = [pytest.mark.service, pytest.mark.timeout(240)]

DATABASE = "ezthrottle.db"
SCHEDULED_MS = 20_000
NOTICED_WITHIN_S = 10.0
OPTIONS = ("--allow-private-targets", "--regions", "iad")


@dataclass(frozen=True, slots=True)
class Damaged:
    """A service that was killed, a row of which was changed, and that serves again."""

    service: Service
    api: Api
    doomed: str
    well: str


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[Damaged]:
    """Two jobs that wait, one of them damaged while nothing runs. The last test here deletes the database."""
    first = start_service(tmp_path_factory.mktemp("damaged"), *OPTIONS)
    with customer_of(first, "cust_damage") as api:
        at_ms = int(time.time() * 1000) + SCHEDULED_MS
        doomed, well = (
            api.submit(url=site.url(path), retry_at=at_ms)["job_id"] for path in ("/doomed", "/well")
        )
        kill_service(first)
        damage(first, doomed)
        second = resume_service(first)
        try:
            yield Damaged(second, api, doomed, well)
        finally:
            stop_service(second)


def damage(service: Service, job_id: str) -> None:
    """Change a byte in the middle of a job's request, as bad memory or a bad disk does."""
    with contextlib.closing(sqlite3.connect(service.data_dir / DATABASE, timeout=10)) as db, db:
        (request,) = db.execute("SELECT request FROM jobs WHERE id = ?", (job_id,)).fetchone()
        middle = len(request) // 2
        changed = request[:middle] + bytes([request[middle] ^ 1]) + request[middle + 1 :]
        db.execute("UPDATE jobs SET request = ? WHERE id = ?", (changed, job_id))


def test_a_damaged_row_ends_its_own_job_and_nothing_else(damaged: Damaged, site: Site) -> None:
    service, api = damaged.service, damaged.api
    shown = api.ended(damaged.doomed)
    assert (shown["state"], shown["damaged"]) == ("failed", True)
    assert shown["result"]["error"]["code"] == "damaged"
    assert api.ended(damaged.well)["state"] == "success"
    assert api.run(url=site.url("/later"))["state"] == "success"
    assert not site.seen("/doomed")
    assert httpx.get(f"{service.base_url}/readyz").status_code == httpx.codes.OK
    assert f"{damaged.doomed} ends, for its row is damaged" in (service.data_dir / "service.log").read_text()


def test_a_database_that_is_deleted_is_noticed(damaged: Damaged, site: Site) -> None:
    service, api = damaged.service, damaged.api
    assert api.run(url=site.url("/before"))["state"] == "success"
    (service.data_dir / DATABASE).unlink()
    deadline = time.monotonic() + NOTICED_WITHIN_S
    while api.http.get("/readyz").status_code != httpx.codes.SERVICE_UNAVAILABLE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    answer = api.post(url=site.url("/after"))
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
    assert service.process.poll() is None
