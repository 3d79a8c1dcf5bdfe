"""What somebody on call asks of a running service: what is this job, which ones failed, why; do it again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bench.loopback import Reply
from tests.acceptance.conftest import ENDS_WITHIN_S, customer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.loopback import Site
    from bench.service import Service
    from tests.acceptance.conftest import Api

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

LATER_MS = 3_600_000


@pytest.fixture
def customer(service: Service, target: Site) -> Iterator[Api]:
    with customer_of(service, f"cust_oncall{target.port}") as api:
        yield api


def listed(api: Api, **query: Any) -> list[str]:
    answer = api.http.get("/api/v1/jobs", params=query)
    assert answer.status_code == httpx.codes.OK, answer.text
    return [job["job_id"] for job in answer.json()["jobs"]]


def many(api: Api, act: str, **body: Any) -> dict[str, Any]:
    answer = api.http.post(f"/api/v1/jobs:{act}", json=body)
    assert answer.status_code == httpx.codes.OK, answer.text
    done: dict[str, Any] = answer.json()
    return done


def test_failed_jobs_are_found_behind_many_others_and_replayed(customer: Api, target: Site) -> None:
    target.on("/fails", Reply(status=404))
    domain = f"127.0.0.1:{target.port}"
    failed = [customer.run(url=target.url("/fails"), idempotent_key=f"f{n}")["job_id"] for n in range(3)]
    later = int(time.time() * 1000) + LATER_MS
    scheduled = {"jobs": [{"url": target.url("/x"), "body": str(n), "retry_at": later} for n in range(500)]}
    assert customer.http.post("/api/v1/jobs:batch", json=scheduled).status_code == httpx.codes.OK

    assert listed(customer, state="failed", limit=2) == failed[:0:-1]
    assert listed(customer, state="failed,success", domain=domain, code="status") == failed[::-1]
    assert listed(customer, state="failed", since=later) == []
    assert many(customer, "cancel", state="scheduled", domain=domain, dry_run=True)["jobs"] == 500
    assert many(customer, "cancel", state="scheduled", domain=f"http://{domain}/")["jobs"] == 500
    target.on("/fails", Reply(status=200))
    assert many(customer, "replay", state="failed")["jobs"] == 3
    assert many(customer, "replay", state="failed")["skipped"] == 3
    for job_id in failed:
        [again] = listed(customer, idempotent_key=f"{job_id}/again")
        assert customer.ended(again)["state"] == "success"


def test_a_job_is_shown_from_disk_without_its_credentials(customer: Api, target: Site) -> None:
    job = {
        "url": f"http://user:pw-s3cret@127.0.0.1:{target.port}/pay?api_key=q-s3cret&order=7",
        "method": "POST",
        "headers": {"Authorization": "Bearer h-s3cret"},
        "body": '{"amount": 1}',
        "metadata": {"order": "7"},
    }
    if (answer := customer.post(**job)).status_code != httpx.codes.ACCEPTED:
        # Whoever gives both a user and the header is refused; one is enough here.
        assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        del job["headers"]
    shown = customer.run(**job | {"idempotent_key": "shown"})
    assert shown["request"]["url"] == f"http://****@127.0.0.1:{target.port}/pay?api_key=****&order=7"
    assert (shown["metadata"], shown["request"]["body_bytes"]) == ({"order": "7"}, 13)
    with_body = customer.http.get(f"/api/v1/jobs/{shown['job_id']}", params={"include": "body"})
    assert with_body.json()["request"]["body"] == '{"amount": 1}'
    assert "s3cret" not in with_body.text
    [seen] = target.seen("/pay")[-1:]
    assert seen.path == "/pay?api_key=q-s3cret&order=7"


def test_what_hangs_and_what_fails_is_pending_by_endpoint(
    customer: Api, target: Site, receiver: Site
) -> None:
    receiver.on("/down", Reply(status=503))
    customer.run(url=target.url("/x"), webhooks=[{"url": receiver.url("/down")}])
    receiver.wait(lambda seen: len(seen) >= 1, "/down")
    deadline = time.monotonic() + ENDS_WITHIN_S
    told: dict[str, Any] = {"endpoints": []}
    while not any(each["failing"] for each in told["endpoints"]):
        assert time.monotonic() < deadline, told
        told = customer.http.get("/api/v1/webhooks/pending").json()
    [endpoint] = told["endpoints"]
    assert (endpoint["endpoint"], endpoint["deliveries"]) == (f"127.0.0.1:{receiver.port}", 1)
    assert endpoint["status_code"] == told["deliveries"][0]["status_code"] == 503


def command(service: Service, api: Api, *arguments: str) -> str:
    env = {"EZTHROTTLE_URL": service.base_url, "EZTHROTTLE_API_KEY": api.api_key}
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line_does_the_same(customer: Api, service: Service, target: Site) -> None:
    later = int(time.time() * 1000) + LATER_MS
    for number in range(2):
        customer.submit(url=target.url("/x"), body=str(number), retry_at=later)

    def told(*arguments: str) -> str:
        return command(service, customer, *arguments)

    assert told("--version").startswith("ezthrottle ")
    assert json.loads(told("jobs", "cancel", "--state", "scheduled", "--dry-run", "--json"))["jobs"] == 2
    assert "cancelled 2 jobs" in told("jobs", "cancel", "--state", "scheduled")
    assert len(json.loads(told("jobs", "list", "--code", "cancelled", "--json"))["jobs"]) == 2
    assert "endpoint" in told("webhooks", "pending")


def test_an_operators_command_line_looks_at_and_ends_anybodys_job(
    customer: Api, service: Service, target: Site
) -> None:
    later = int(time.time() * 1000) + LATER_MS
    job_id, whose = (
        customer.submit(url=target.url("/x"), retry_at=later)["job_id"],
        f"127.0.0.1:{target.port}",
    )
    with customer_of(service, f"cust_operator{target.port}", "admin") as operator:

        def told(*arguments: str) -> str:
            return command(service, operator, "jobs", *arguments)

        [listed] = json.loads(told("list", "--all", "--domain", whose, "--json"))["jobs"]
        assert (listed["job_id"], listed["customer_id"]) == (job_id, f"cust_oncall{target.port}")
        assert "scheduled" in told("get", job_id, "--all")
        assert f"cancelled {job_id}" in told("cancel", job_id, "--all")
        again = json.loads(told("replay", job_id, "--all", "--json"))["job_id"]
    assert customer.ended(again)["state"] == "success"
