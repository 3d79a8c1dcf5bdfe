"""The published client, in an environment of its own, works with nothing changed but its base URLs."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.loopback import Reply, Seen, Site
from bench.published import ENVIRONMENT, PUBLISHED
from tests.acceptance.conftest import Api, customer_of
from tests.acceptance.test_service import won_by
from tests.unit.domain.forgeries import SECRET, Signed, forgeries, webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.service import Service

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

SCRIPT = Path(__file__).with_name("published_client.py")
REGIONS = ["iad", "lax", "ord"]
OLD, NEW = "the old secret of the customer", "the new secret of the customer"


@pytest.fixture(scope="module")
def customer(service: Service) -> Iterator[Api]:
    with customer_of(service, "cust_published") as api:
        yield api


@pytest.fixture
def run(published: Path, customer: Api) -> Callable[..., Any]:
    """Run an action of the script, as the customer."""

    def run_action(action: str, **order: Any) -> Any:
        base_url = str(customer.http.base_url).rstrip("/")
        order |= {"action": action, "base_url": base_url, "api_key": customer.api_key}
        done = subprocess.run(
            [published, "-I", SCRIPT], input=json.dumps(order), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run_action


def webhook_of(receiver: Site) -> Seen:
    return receiver.wait(lambda seen: len(seen) == 1, "/hook")[0]


def test_the_environment_holds_the_published_client_and_nothing_of_this_project(published: Path) -> None:
    code = "import ezthrottle, importlib.metadata as m; print(m.version('ezthrottle'), ezthrottle.__file__)"
    shown = subprocess.run([published, "-I", "-c", code], check=True, capture_output=True, text=True).stdout

    version, _, path = shown.strip().partition(" ")
    assert version == PUBLISHED.partition("==")[2]
    assert Path(path).is_relative_to(ENVIRONMENT)


def test_a_step_is_submitted_and_its_webhook_arrives(
    run: Callable[..., Any], target: Site, receiver: Site
) -> None:
    url = target.on("/charge", Reply(body=b'{"charged": true}'))

    submitted = run("submit", url=url, webhook=receiver.url("/hook"))
    webhook = webhook_of(receiver).json()

    assert submitted["status"] == "queued"
    assert submitted["queued_at"] > 0
    assert webhook["job_id"] == submitted["job_id"]
    assert webhook["idempotent_key"] == submitted["idempotent_key"]
    assert (webhook["status"], webhook["metadata"]) == ("success", {"order_id": "7"})
    assert webhook["response"]["body"] == '{"charged": true}'
    [seen] = target.seen("/charge")
    assert (seen.method, seen.body, seen.headers["x-customer"]) == ("POST", b'{"amount": 1000}', "published")


def test_a_duplicate_gets_the_first_jobs_id(run: Callable[..., Any], target: Site) -> None:
    target.on("/once", Reply())

    found = run("duplicate", url=target.url("/once"), key=f"order-{target.port}")

    for first, second in (found["same"], found["named"]):
        assert (first["status"], second["status"]) == ("queued", "duplicate")
        assert first["job_id"] == second["job_id"]
    assert found["unique"][0]["job_id"] != found["unique"][1]["job_id"]


def test_a_race_over_regions_is_won_by_the_fastest(
    run: Callable[..., Any], customer: Api, target: Site, receiver: Site
) -> None:
    customer.open_gate(target)
    url = target.script("/race", won_by("ord", "iad", "lax"))

    submitted = run("race", url=url, regions=REGIONS, webhook=receiver.url("/hook"))
    webhook = webhook_of(receiver).json()

    assert submitted["status"] == "racing"
    assert (webhook["status"], webhook["region"]) == ("success", "ord")
    seen = target.wait(lambda seen: all(request.ended_at < float("inf") for request in seen), "/race")
    assert sorted(request.headers["x-ezthrottle-region"] for request in seen) == REGIONS
    assert sum(request.closed_at is not None for request in seen) == 2


def test_a_retry_policy_is_followed(run: Callable[..., Any], customer: Api, target: Site) -> None:
    url = target.on("/busy", Reply(status=429, headers={"Retry-After": "1"}), Reply())

    job = customer.ended(run("retry", url=url)["job_id"])

    assert (job["state"], job["timeline"]["retries"]) == ("success", 1)


def test_a_chain_of_fallbacks_ends_at_the_first_that_works(
    run: Callable[..., Any], customer: Api, target: Site, receiver: Site
) -> None:
    customer.open_gate(target)
    url, backup = target.on("/broken", Reply(status=500)), target.on("/busy", Reply(status=503))
    last = target.on("/sound", Reply(body=b"done at last"))

    submitted = run("fallback", url=url, backup=backup, last=last, webhook=receiver.url("/hook"))
    webhook = webhook_of(receiver).json()

    assert (webhook["job_id"], webhook["status"]) == (submitted["job_id"], "success")
    assert (webhook["step"], webhook["response"]["body"]) == ("fallback_2", "done at last")
    paths = [seen.path for seen in target.seen() if seen.headers["x-ezthrottle-job-id"] == webhook["job_id"]]
    assert paths == ["/broken", "/busy", "/sound"]


def test_what_follows_a_success_runs_once_and_tells_its_own_webhook(
    run: Callable[..., Any], customer: Api, target: Site, receiver: Site
) -> None:
    customer.open_gate(target)
    url, receipt = target.on("/charge", Reply()), target.on("/receipt", Reply(body=b"sent"))

    submitted = run(
        "workflow", url=url, receipt=receipt, alert=target.url("/alert"), webhook=receiver.url("/hook")
    )
    webhook = webhook_of(receiver).json()

    assert (webhook["status"], webhook["response"]["body"]) == ("success", "sent")
    [child] = customer.ended(submitted["job_id"])["timeline"]["children"]
    assert (child["place"], child["job_id"]) == ("on_success", webhook["job_id"])
    assert (len(target.seen("/receipt")), target.seen("/alert")) == (1, [])


def test_auto_forward_hands_over_what_was_answered_with_429(
    run: Callable[..., Any], target: Site, receiver: Site
) -> None:
    url = target.on("/charge", Reply(status=429), Reply(body=b'{"charged": true}'))

    forwarded = run("forward", url=url, webhook=receiver.url("/hook"), order_id=str(target.port))
    webhook = webhook_of(receiver).json()

    assert forwarded["status"] == "queued"
    assert forwarded["idempotent_key"] == f"order_{target.port}"
    assert (webhook["job_id"], webhook["status"]) == (forwarded["job_id"], "success")
    by_hand, by_service = target.seen("/charge")
    assert "x-ezthrottle-job-id" not in by_hand.headers
    assert by_service.headers["x-order"] == str(target.port)


def test_a_frugal_step_is_handed_over_on_an_error(
    run: Callable[..., Any], customer: Api, target: Site
) -> None:
    url = target.on("/flaky", Reply(status=500), Reply())

    job = customer.ended(run("frugal", url=url)["job_id"])

    assert job["state"] == "success"
    assert len(target.seen("/flaky")) == 2


def test_the_deprecated_call_still_works(run: Callable[..., Any], target: Site, receiver: Site) -> None:
    queued = run("legacy", url=target.url("/charge"), webhook=receiver.url("/hook"))

    assert webhook_of(receiver).json()["job_id"] == queued["job_id"]


def test_a_404_ends_as_failed_with_its_response_in_the_webhook(
    run: Callable[..., Any], target: Site, receiver: Site
) -> None:
    url = target.on("/missing", Reply(status=404, body=b"no such thing"))

    submitted = run("submit", url=url, webhook=receiver.url("/hook"))
    webhook = webhook_of(receiver).json()

    assert (webhook["job_id"], webhook["status"]) == (submitted["job_id"], "failed")
    assert (webhook["response"]["status_code"], webhook["response"]["body"]) == (404, "no such thing")


def test_a_refusal_tells_its_reason(run: Callable[..., Any], target: Site) -> None:
    error = run("refused", url=target.url("/"))["error"]

    assert "EZThrottle job creation failed" in error
    assert "mars" in error


def test_webhook_secrets_are_created_shown_rotated_and_deleted(run: Callable[..., Any]) -> None:
    found = run("secrets", old=OLD, new=NEW)

    masked = {"customer_id": "cust_published", "secondary_secret": None, "has_secondary": False}
    assert found["shown"] == masked | {"primary_secret": "the ****mer"}
    assert found["shown after rotation"]["primary_secret"] == "the ****mer"
    assert found["shown with both"]["has_secondary"] is True
    for step in ("created", "rotated", "both", "deleted"):
        assert found[step]["status"] == "ok"
        assert found[step]["message"]
    assert "No webhook secrets configured" in found["error"]


def test_its_own_functions_verify_a_signature(run: Callable[..., Any], target: Site, receiver: Site) -> None:
    run("store_secrets", primary=NEW)
    run("submit", url=target.url("/charge"), webhook=receiver.url("/hook"))

    found = verified(run, webhook_of(receiver))

    assert found[NEW] == [True, "valid"]
    assert found[OLD] == [False, "signature_mismatch"]
    assert found["either"] == [True, "valid_primary"]
    assert "signature_mismatch" in found["tampered"]


def test_a_receiver_that_knows_only_the_old_secret_goes_on_working_during_a_rotation(
    run: Callable[..., Any], target: Site, receiver: Site
) -> None:
    run("store_secrets", primary=NEW, secondary=OLD)
    run("submit", url=target.url("/charge"), webhook=receiver.url("/hook"))

    found = verified(run, webhook_of(receiver))

    assert found[OLD] == [True, "valid"]
    assert found["either"] == [True, "valid_secondary"]


def test_its_own_functions_refuse_whatever_was_tampered_with(run: Callable[..., Any]) -> None:
    now_s = int(time.time())
    bad = forgeries(now_s)
    genuine = [webhook(now_s), webhook(now_s, NEW, SECRET)]

    judged = run("judge", secret=SECRET, webhooks=[as_sent(found) for found in (*genuine, *bad.values())])

    assert judged[:2] == [[True] * 3] * 2
    assert {how: any(by) for how, by in zip(bad, judged[2:], strict=True)} == dict.fromkeys(bad, False)


def as_sent(found: Signed) -> dict[str, str]:
    return {"payload": base64.b64encode(found.body).decode(), "signature": found.own}


def verified(run: Callable[..., Any], webhook: Seen) -> dict[str, Any]:
    found: dict[str, Any] = run(
        "verify",
        payload=base64.b64encode(webhook.body).decode(),
        signature=webhook.headers["x-ezthrottle-signature"],
        secrets=[NEW, OLD],
    )
    return found
