"""What a service does when its rows rot, and when its database goes, seen from outside."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench.loopback import Site
from bench.service import (
    Service,
    kill_service,
    resume_service,
    running_service,
    start_service,
    stop_service,
)
from tests.acceptance.conftest import Api, customer_of

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]

DATABASE = "ezthrottle.db"
SCHEDULED_MS = 20_000
NOTICED_WITHIN_S = 10.0


OPTIONS = ("--allow-private-targets", "--regions", "iad")


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    with running_service(*OPTIONS, data_dir=tmp_path) as service:
        yield service


def damage(service: Service, job_id: str) -> None:
    """Change a byte in the middle of a job's request, as bad memory or a bad disk does."""
    with contextlib.closing(sqlite3.connect(service.data_dir / DATABASE, timeout=10)) as db, db:
        (request,) = db.execute("SELECT request FROM jobs WHERE id = ?", (job_id,)).fetchone()
        middle = len(request) // 2
        changed = request[:middle] + bytes([request[middle] ^ 1]) + request[middle + 1 :]
        db.execute("UPDATE jobs SET request = ? WHERE id = ?", (changed, job_id))


def test_a_damaged_row_ends_its_own_job_and_nothing_else(tmp_path: Path, target: Site) -> None:
    first = start_service(tmp_path, *OPTIONS)
    with customer_of(first, "cust_damage") as api:
        at_ms = int(time.time() * 1000) + SCHEDULED_MS
        doomed, well = (
            api.submit(url=target.url(path), retry_at=at_ms)["job_id"] for path in ("/doomed", "/well")
        )
        kill_service(first)
        damage(first, doomed)
        second = resume_service(first)
        try:
            again = Api(second.base_url, api.api_key)
            shown = again.ended(doomed)
            assert (shown["state"], shown["damaged"]) == ("failed", True)
            assert shown["result"]["error"]["code"] == "damaged"
            assert again.ended(well)["state"] == "success"
            assert again.run(url=target.url("/later"))["state"] == "success"
            assert not target.seen("/doomed")
            assert httpx.get(f"{second.base_url}/readyz").status_code == httpx.codes.OK
            assert f"{doomed} ends, for its row is damaged" in (tmp_path / "service.log").read_text()
            again.http.close()
        finally:
            stop_service(second)


def test_a_database_that_is_deleted_is_noticed(own_service: Service, target: Site) -> None:
    with customer_of(own_service, "cust_damage") as api:
        loses_its_database(own_service, api, target)


def loses_its_database(own_service: Service, own_api: Api, target: Site) -> None:
    assert own_api.run(url=target.url("/before"))["state"] == "success"
    (own_service.data_dir / DATABASE).unlink()
    deadline = time.monotonic() + NOTICED_WITHIN_S
    while own_api.http.get("/readyz").status_code != httpx.codes.SERVICE_UNAVAILABLE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    answer = own_api.post(url=target.url("/after"))
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
    assert own_service.process.poll() is None
