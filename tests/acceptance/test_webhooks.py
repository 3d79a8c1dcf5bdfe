"""Webhooks as their receivers get them, and the secrets that sign them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
import standardwebhooks

from bench.loopback import Reply, Seen, Site, is_signed
from tests.acceptance.conftest import Api, customer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.service import Service

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

SECRETS = "/api/v1/webhook-secrets"
OLD, NEW = "the old secret of the customer", "the new secret of the customer"


@pytest.fixture(scope="module")
def signer(service: Service) -> Iterator[Api]:
    """A customer of its own, for secrets are the customer's."""
    with customer_of(service, "cust_signer") as api:
        yield api


def store(api: Api, primary: str, secondary: str | None = None) -> None:
    secrets = {"primary_secret": primary, "secondary_secret": secondary}
    assert api.http.post(SECRETS, json=secrets).status_code == httpx.codes.OK


def webhook_of(api: Api, target: Site, receiver: Site) -> Seen:
    api.submit(url=target.url("/charge"), webhooks=[{"url": receiver.url("/hook")}])
    return receiver.wait(lambda seen: len(seen) == 1, "/hook")[0]


def test_a_webhook_tells_the_result(api: Api, target: Site, receiver: Site) -> None:
    url = target.on("/charge", Reply(status=201, headers={"X-Charge": "7"}, body=b'{"id": 7}'))
    job = {
        "url": url,
        "method": "POST",
        "metadata": {"order": {"id": 1}},
        "idempotent_key": f"o{target.port}",
    }

    acknowledged = api.submit(**job, webhooks=[{"url": receiver.url("/hook")}])
    [seen] = receiver.wait(lambda seen: len(seen) == 1, "/hook")

    assert (seen.method, seen.headers["content-type"]) == ("POST", "application/json")
    assert seen.json() == {
        "job_id": acknowledged["job_id"],
        "idempotent_key": f"o{target.port}",
        "status": "success",
        "response": {
            "status_code": 201,
            "headers": {"content-length": "9", "x-charge": "7"},
            "body": '{"id": 7}',
        },
        "metadata": {"order": {"id": 1}},
        "region": "iad",
        "attempts": 1,
        "step": "primary",
        "error": None,
    }
    assert "x-ezthrottle-signature" not in seen.headers
    assert api.delivered(acknowledged["job_id"])["delivery"] == "delivered"


def test_the_webhook_of_a_failed_job_says_why(api: Api, target: Site, receiver: Site) -> None:
    url = target.on("/missing", Reply(status=404, body=b"no such thing"))

    api.submit(url=url, webhooks=[{"url": receiver.url("/hook")}])
    [seen] = receiver.wait(lambda seen: len(seen) == 1, "/hook")

    result = seen.json()
    assert (result["status"], result["error"]["code"]) == ("failed", "status")
    assert (result["response"]["status_code"], result["response"]["body"]) == (404, "no such thing")


def test_every_receiver_is_told_the_same(api: Api, target: Site, receiver: Site) -> None:
    hooks = [{"url": receiver.url(path)} for path in ("/a", "/b", "/c")]

    acknowledged = api.submit(url=target.url("/charge"), webhooks=hooks)
    seen = receiver.wait(lambda seen: len(seen) == len(hooks))

    assert {request.path for request in seen} == {"/a", "/b", "/c"}
    assert len({request.body for request in seen}) == 1
    assert len({request.headers["webhook-id"] for request in seen}) == 3
    assert api.delivered(acknowledged["job_id"])["delivery"] == "delivered"


def test_a_webhook_that_was_not_accepted_is_delivered_again_after_some_seconds(
    signer: Api, target: Site, receiver: Site
) -> None:
    store(signer, OLD)
    replies = {"/refuses": Reply(status=500), "/breaks": Reply(breaks=True)}
    hooks = [{"url": receiver.on(path, reply, Reply())} for path, reply in replies.items()]

    acknowledged = signer.submit(url=target.url("/charge"), webhooks=hooks)
    receiver.wait(lambda seen: len(seen) == 4)
    job = signer.delivered(acknowledged["job_id"])

    for path in replies:
        first, second = receiver.seen(path)
        assert 4.5 <= second.at - first.at <= 20
        assert first.body == second.body
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
        assert is_signed(first, OLD)
        assert is_signed(second, OLD)
    assert job["delivery"] == "delivered"
    tried = [[a["status_code"] for a in found["attempts"]] for found in job["timeline"]["deliveries"]]
    assert tried == [[500, 200], [None, 200]]


def test_a_webhook_leaves_from_its_region_and_the_timeline_says_so(
    api: Api, target: Site, receiver: Site
) -> None:
    hooks = [{"url": receiver.url("/ord"), "regions": ["ord", "iad"]}, {"url": receiver.url("/any")}]

    acknowledged = api.submit(url=target.url("/charge"), webhooks=hooks)
    job = api.delivered(acknowledged["job_id"])

    assert job["delivery"] == "delivered"
    told = job["timeline"]["deliveries"]
    assert [[attempt["region"] for attempt in found["attempts"]] for found in told] == [["ord"], [None]]


def test_a_receiver_that_is_gone_is_left_alone(api: Api, target: Site, receiver: Site) -> None:
    gone = {"url": receiver.on("/gone", Reply(status=410))}

    acknowledged = api.submit(url=target.url("/charge"), webhooks=[gone])
    job = api.ended(acknowledged["job_id"])

    assert (job["state"], api.delivered(job["job_id"])["delivery"]) == ("success", "failed")
    assert len(receiver.seen("/gone")) == 1


def test_webhooks_are_signed_in_both_forms(signer: Api, target: Site, receiver: Site) -> None:
    store(signer, OLD)

    webhook = webhook_of(signer, target, receiver)

    assert webhook.headers["x-ezthrottle-signature"].count("v1=") == 1
    assert is_signed(webhook, OLD)
    assert not is_signed(webhook, NEW)
    verify_standard(webhook, OLD)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify_standard(webhook, NEW)


def test_webhooks_carry_two_signatures_during_a_rotation(signer: Api, target: Site, receiver: Site) -> None:
    store(signer, OLD)
    rotated = signer.http.post(f"{SECRETS}/rotate", json={"new_secret": NEW})

    webhook = webhook_of(signer, target, receiver)

    assert rotated.status_code == httpx.codes.OK
    assert webhook.headers["x-ezthrottle-signature"].count("v1=") == 2
    for secret in (OLD, NEW):
        assert is_signed(webhook, secret)
        verify_standard(webhook, secret)


def test_webhooks_are_unsigned_once_the_secrets_are_deleted(
    signer: Api, target: Site, receiver: Site
) -> None:
    store(signer, OLD)
    deleted = signer.http.delete(SECRETS)

    webhook = webhook_of(signer, target, receiver)

    assert deleted.json()["status"] == "ok"
    assert not {"x-ezthrottle-signature", "webhook-signature"} & webhook.headers.keys()
    assert signer.http.get(SECRETS).status_code == httpx.codes.NOT_FOUND


def test_secrets_are_shown_masked(signer: Api) -> None:
    store(signer, "abcdefghijklmnop", "qrstuvwxyz012345")

    assert signer.http.get(SECRETS).json() == {
        "customer_id": "cust_signer",
        "primary_secret": "abcd****nop",
        "secondary_secret": "qrst****345",
        "has_secondary": True,
    }


def test_short_secrets_are_refused(signer: Api) -> None:
    refused = signer.http.post(SECRETS, json={"primary_secret": "x" * 15})

    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert [error["field"] for error in refused.json()["errors"]] == ["primary_secret"]


def verify_standard(webhook: Seen, secret: str) -> None:
    """Verify a webhook as the Standard Webhooks library does, whose key is the secret's bytes."""
    standardwebhooks.Webhook(secret.encode()).verify(webhook.body, webhook.headers)
