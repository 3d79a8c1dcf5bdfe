"""Where jobs and webhooks may not go, unless the operator says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.loopback import Reply, Site
from bench.service import Service, running_service
from tests.acceptance.conftest import Api, customer_of

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

FORBIDDEN = [
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "localhost",
    "0.0.0.0",
    "0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
]
STILL_FORBIDDEN = ["127.0.0.2", "10.0.0.1", "169.254.169.254", "[::1]", "0.0.0.0"]


@pytest.fixture(scope="module")
def guarded(guarded_service: Service) -> Iterator[Api]:
    """A customer of a service as it is by default."""
    with customer_of(guarded_service, "cust_guarded") as api:
        yield api


@pytest.fixture(scope="module")
def lifted() -> Iterator[Api]:
    """A customer of a service that may call one address."""
    sizes = ("--max-response-bytes", "1000", "--max-body-bytes", "2000")
    options = ("--regions", "iad", "--allow-targets", "127.0.0.1/32", *sizes)
    with running_service(*options) as service, customer_of(service, "cust_lifted") as api:
        yield api


@pytest.mark.parametrize("host", FORBIDDEN)
def test_a_forbidden_target_is_refused_at_submission(guarded: Api, target: Site, host: str) -> None:
    answer = guarded.post(url=f"http://{host}:{target.port}/")

    assert answer.status_code == 403, answer.text
    assert answer.json()["type"].endswith("target-not-allowed")
    assert not target.seen()


@pytest.mark.parametrize("host", STILL_FORBIDDEN)
def test_a_forbidden_webhook_is_refused_at_submission(lifted: Api, target: Site, host: str) -> None:
    answer = lifted.post(url=target.url("/"), webhooks=[{"url": f"http://{host}:{target.port}/"}])

    assert answer.status_code == 403, answer.text
    assert not target.seen()


@pytest.mark.parametrize("host", STILL_FORBIDDEN)
def test_the_guard_is_lifted_on_no_other_address(lifted: Api, target: Site, host: str) -> None:
    assert lifted.post(url=f"http://{host}:{target.port}/").status_code == 403
    assert not target.seen()


def test_the_guard_is_lifted_on_the_network_that_was_named(lifted: Api, target: Site, receiver: Site) -> None:
    job = lifted.submit(url=target.url("/charge"), webhooks=[{"url": receiver.url("/hook")}])

    assert lifted.ended(job["job_id"])["state"] == "success"
    [webhook] = receiver.wait(lambda seen: len(seen) == 1, "/hook")
    assert webhook.json()["job_id"] == job["job_id"]


def test_the_operators_limits_on_sizes_hold(lifted: Api, target: Site) -> None:
    response = lifted.run(url=target.url("/"), method="POST")["result"]["response"]
    large = lifted.run(url=target.on("/large", Reply(body=b"x" * 1001)))["result"]["response"]

    assert "truncated" not in response
    assert (len(large["body"]), large["truncated"]) == (1000, True)
    assert lifted.post(url=target.url("/"), body="x" * 2000).status_code == 413
