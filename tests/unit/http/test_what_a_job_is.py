"""A job shows what it asks for, and no credentials, in whatever state it is."""

import asyncio
import json
from typing import Any

import pytest

from tests.unit.http.gateway import JOBS, Gateway, turns

SECRETS = ["s3cret-in-header", "p4ss", "t0ken-in-query", "hook-s3cret", "backup-s3cret"]
ASKED: dict[str, Any] = {
    "url": "http://user:p4ss@203.0.113.7/pay?order=7&access_token=t0ken-in-query",
    "method": "post",
    "headers": {"Authorization": "Bearer s3cret-in-header", "X-Api-Key": "s3cret-in-header", "X-Order": "7"},
    "body": '{"amount": "5 €"}',
    "metadata": {"order_id": "7"},
    "webhooks": [{"url": "http://u:hook-s3cret@203.0.113.9/hook?sig=hook-s3cret", "has_quorum_vote": False}],
    "fallback_job": {
        "url": "http://203.0.113.8/backup?key=backup-s3cret",
        "method": "PUT",
        "headers": {"Cookie": "backup-s3cret"},
        "body": "again",
    },
}
REQUEST = {
    "url": "http://****@203.0.113.7/pay?order=7&access_token=****",
    "method": "POST",
    "headers": {"Authorization": "****", "X-Api-Key": "****", "X-Order": "7"},
    "body_bytes": 19,
}
FALLBACK = {
    "url": "http://203.0.113.8/backup?key=****",
    "method": "PUT",
    "headers": {"Cookie": "****"},
    "body_bytes": 5,
}


async def shown(gateway: Gateway, job_id: str, **query: str) -> dict[str, Any]:
    response = await gateway.client.get(f"{JOBS}/{job_id}", params=query)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


async def in_state(gateway: Gateway, state: str) -> str:
    later = {"retry_at": gateway.clock.unix_ms() + 60_000} if state == "scheduled" else {}
    job_id: str = (await gateway.submit(**ASKED | later)).json()["job_id"]
    if state in ("running", "success"):
        gateway.regions_up()
        await turns()
    if state == "success":
        gateway.answer_attempts(200)
        async with asyncio.timeout(20):
            await shown(gateway, job_id, wait="60")
    if state == "cancelled":
        await gateway.client.delete(f"{JOBS}/{job_id}")
    return job_id


@pytest.mark.parametrize("state", ["scheduled", "queued", "running", "success", "cancelled"])
async def test_a_job_shows_what_it_is_and_masks_credentials(gateway: Gateway, state: str) -> None:
    job_id = await in_state(gateway, state)
    document = await shown(gateway, job_id)
    assert document["state"] == state
    assert (document["domain"], document["metadata"]) == ("203.0.113.7:80", {"order_id": "7"})
    assert document["request"] == REQUEST
    [fallback] = document["fallbacks"]
    assert (fallback["domain"], fallback["request"]) == ("203.0.113.8:80", FALLBACK)
    assert document["webhooks"] == [
        {"url": "http://****@203.0.113.9/hook?sig=****", "regions": [], "has_quorum_vote": False}
    ]
    for delivery in document["timeline"].get("deliveries", []):
        assert delivery["url"] == "http://****@203.0.113.9/hook?sig=****"
    told = json.dumps(document) + (await gateway.client.get(JOBS)).text
    told += (await gateway.client.get("/api/v1/webhooks/pending")).text
    assert [secret for secret in SECRETS if secret in told] == []


async def test_bodies_are_shown_to_who_asks_for_them(gateway: Gateway) -> None:
    job_id = await in_state(gateway, "queued")
    document = await shown(gateway, job_id, include="body")
    assert document["request"] == REQUEST | {"body": ASKED["body"]}
    assert document["fallbacks"][0]["request"] == FALLBACK | {"body": "again"}
    plain = (await gateway.submit()).json()["job_id"]
    assert (await shown(gateway, plain, include="body"))["request"]["body"] is None


async def test_what_else_may_be_included_is_told(gateway: Gateway) -> None:
    job_id = await in_state(gateway, "queued")
    response = await gateway.client.get(f"{JOBS}/{job_id}", params={"include": "headers"})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "include")


async def test_a_job_without_fallbacks_shows_none(gateway: Gateway) -> None:
    job_id = (await gateway.submit()).json()["job_id"]
    assert "fallbacks" not in await shown(gateway, job_id)
