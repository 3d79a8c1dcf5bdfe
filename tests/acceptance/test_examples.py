"""The SDK's examples, each a program of its own, against a real service."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.acceptance.conftest import Api, customer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.service import Service

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]

EXAMPLES = Path(__file__).parents[2] / "sdk" / "examples"
HELPERS = {"stand_in", "limited_api", "scenarios_app"}
UNSIGNED_IS_FINE = "ignore:The service says of a submission"
"""Examples of other things store no secret first."""
SAID = {
    "quick_start": ["ended: success 200", "webhook: success"],
    "step_types": [
        "here: True 200",
        "1. [SUCCESS] Fetch the customer",
        "no case for the service: failed Request failed: 404",
        "handed over: queued",
        "there: success",
    ],
    "idempotency": [
        "HASH, one job: True",
        "UNIQUE, one job: False",
        "own key: ['queued', 'duplicate']",
    ],
    "workflow_chaining": ["after a success: 1 1 0", "after a failure: 1 1 1"],
    "fallback_chain": ["one job: True", "won by: fallback_2 200"],
    "racing": ["status: racing", "won by a region: True success", "deliveries: 1"],
    "fan_out": ["payments success", "notify success", "backup success", "delivery: quorum_met"],
    "retry_policy": [
        "/flaky/429/order success in iad after 2 attempts",
        "/flaky/500/order success in ",
    ],
    "secret_rotation": [
        "stored: the_****_16",
        "before: (True, 'valid')",
        "during, by a receiver that knows the old one: (True, 'valid')",
        "during, by one that knows both: (True, 'valid_primary')",
        "after, by the old one: (False, 'signature_mismatch')",
        "after, by the new one: (True, 'valid')",
    ],
    "mixed_workflows": [
        "here: True",
        "then there: 1 email, success",
        "there: success - then here: 1",
        "the fallback here: success",
        "three deep: 1 here, then there, then 1 here",
        "no alert: 0",
    ],
    "auto_forward_legacy": [
        "works: {'path': '/charge', 'status': 200}",
        "failed with 429: queued - success",
        "described: queued {'order_id': 'order_12345', 'because': '402'}",
    ],
    "asyncio_batch": [
        "at once: ['success', 'success', 'success']",
        "refused: [False, True]",
        "submitted 500",
        "in batches: 500 jobs, 500 ids",
    ],
    "background_worker": [
        "order 1 queued",
        "order 0 failed: InvalidJobError",
        "order 2 queued",
        "results: ['success', 'success']",
    ],
    "rate_limits": ["pace: 50.0 a second, 10 at once, set by the target", "done: 50"],
    "verification": [
        "strict: valid",
        "strict, of another body: The webhook's signature was not accepted: signature_mismatch",
        "with a reason: (True, 'valid')",
        "by another secret: (False, 'signature_mismatch')",
        "unsigned: (False, 'no_signature_header')",
        "late: timestamp_expired (diff=35",
    ],
    "forward_or_fallback": [
        "there: queued - success",
        "away: 200",
        "refused, which is no case for the fallback: regions",
    ],
    "legacy_api": [
        "queued: queued - DeprecationWarning",
        "webhook: success",
        "waited for: success",
        "past the service: True /direct",
    ],
    "stream": ["queued", "dispatching", "attempt", "completed", "again: completed"],
    "errors": [
        "correct the call: ['priority']",
        "look at what was taken: ['dict', 'InvalidJobError']",
        "wait longer: success",
        "too late: 409",
        "not ours: 404",
        "correct the key: 401",
    ],
    "fastapi_handler": ["result: success 200", "forged: 401"],
    "flask_handler": ['received: success {"path": "/charge", "status": 200}', "in time: True"],
}


@pytest.fixture(scope="module")
def customer(service: Service) -> Iterator[Api]:
    with customer_of(service, "cust_examples") as api:
        yield api


@pytest.fixture(scope="module")
def environment(service: Service, customer: Api) -> dict[str, str]:
    return {**os.environ, "EZTHROTTLE_URL": service.base_url, "EZTHROTTLE_API_KEY": customer.api_key}


@pytest.mark.parametrize("name", SAID)
def test_an_example_does_what_it_says(name: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", UNSIGNED_IS_FINE, EXAMPLES / f"{name}.py"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    said = iter(done.stdout.splitlines())
    for line in SAID[name]:
        assert any(each.startswith(line) for each in said), f"{line!r} is not in {done.stdout}"


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == SAID.keys() | HELPERS


@contextlib.contextmanager
def the_test_app(environment: dict[str, str]) -> Iterator[httpx.Client]:
    command = [sys.executable, EXAMPLES / "scenarios_app.py", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            with httpx.Client(base_url=running.stdout.readline().strip(), timeout=60) as app:
                yield app
        finally:
            running.terminate()


@pytest.fixture(scope="module")
def app(environment: dict[str, str]) -> Iterator[httpx.Client]:
    with the_test_app(environment) as app:
        yield app


def run(app: httpx.Client, scenario: str) -> Any:
    answer = app.post(f"/scenarios/{scenario}")
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.json()


def test_the_test_app_lists_its_seven_scenarios(app: httpx.Client) -> None:
    assert len(app.get("/scenarios").json()) == 7
    assert app.post("/scenarios/eighth").status_code == 404


def test_scenario_basic(app: httpx.Client) -> None:
    found = run(app, "basic")
    assert found["delivered"]["job_id"] == found["submitted"]["job_id"]
    assert (found["delivered"]["status"], found["asked"]) == ("success", {"/basic": 1, "/webhook": 1})


def test_scenario_racing(app: httpx.Client) -> None:
    found = run(app, "racing")
    assert (found["submitted"]["status"], found["delivered"]["status"]) == ("racing", "success")
    assert found["delivered"]["region"] in {"iad", "lax", "ord"}


def test_scenario_fallback_chain(app: httpx.Client) -> None:
    found = run(app, "fallback-chain")
    assert (found["delivered"]["step"], found["delivered"]["status"]) == ("fallback_1", "success")
    assert found["asked"]["/status/500"] == found["asked"]["/status/200"] == 1


def test_scenario_on_success(app: httpx.Client) -> None:
    found = run(app, "on-success")
    assert (found["asked"]["/status/200"], found["asked"]["/delay/0.2"]) == (1, 1)


def test_scenario_idempotent_hash(app: httpx.Client) -> None:
    found = run(app, "idempotent-hash")
    assert (found["one_job"], found["again"]["status"]) == (True, "duplicate")
    assert found["asked"]["/hash"] == 1


def test_scenario_idempotent_unique(app: httpx.Client) -> None:
    found = run(app, "idempotent-unique")
    assert (found["one_job"], found["again"]["status"]) == (False, "queued")


def test_scenario_auto_forward(app: httpx.Client) -> None:
    found = run(app, "auto-forward")
    assert (found["submitted"]["status"], found["ended"]) == ("queued", "success")
    assert found["asked"]["/flaky/429/legacy"] == 2
