import json
from typing import Any

import httpx
import pytest

from orchestrator.adapters.memory.customers import MemoryCustomers
from orchestrator.ports.customers import WebhookSecrets
from orchestrator.ports.store import StoreFailure
from tests.unit.domain.builders import ACME
from tests.unit.http.gateway import BETAS_KEY, SECRETS, Gateway

FIRST, SECOND, THIRD = "first_secret_of_16", "second_secret_of_16", "third_secret_of_16"


async def create(gateway: Gateway, **fields: Any) -> httpx.Response:
    return await gateway.client.post(SECRETS, content=json.dumps(fields))


async def rotate(gateway: Gateway, **fields: Any) -> httpx.Response:
    return await gateway.client.post(f"{SECRETS}/rotate", content=json.dumps(fields))


async def stored(gateway: Gateway) -> WebhookSecrets | None:
    return await gateway.store.customers.secrets(ACME)


async def test_secrets_are_stored(gateway: Gateway) -> None:
    response = await create(gateway, primary_secret=FIRST, secondary_secret=SECOND)
    assert response.status_code == 200
    assert set(response.json()) == {"status", "message"}
    assert await stored(gateway) == WebhookSecrets(primary=FIRST, secondary=SECOND)


async def test_a_second_secret_is_optional(gateway: Gateway) -> None:
    assert (await create(gateway, primary_secret=FIRST)).status_code == 200
    assert (await create(gateway, primarySecret=SECOND, secondarySecret=None)).status_code == 200
    assert await stored(gateway) == WebhookSecrets(primary=SECOND)


@pytest.mark.parametrize("secret", ["whsec_!!!!!!!!!!!!", "whsec_" + "A-_" * 14, "whsec_" + "A" * 41])
async def test_a_secret_that_libraries_would_read_otherwise_is_refused(gateway: Gateway, secret: str) -> None:
    await create(gateway, primary_secret=FIRST)
    for answer, field in (
        (await create(gateway, primary_secret=secret), "primary_secret"),
        (await create(gateway, primary_secret=FIRST, secondary_secret=secret), "secondary_secret"),
        (await rotate(gateway, new_secret=secret), "new_secret"),
    ):
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert (error["field"], "must be base64" in error["message"]) == (field, True)
        assert secret not in answer.text
    assert await stored(gateway) == WebhookSecrets(primary=FIRST)


async def test_secrets_are_shown_masked(gateway: Gateway) -> None:
    await create(gateway, primary_secret=FIRST, secondary_secret=SECOND)
    response = await gateway.client.get(SECRETS)
    assert response.status_code == 200
    assert response.json() == {
        "customer_id": "cust_acme",
        "primary_secret": "firs****_16",
        "secondary_secret": "seco****_16",
        "has_secondary": True,
    }


async def test_a_lone_secret_is_shown_so(gateway: Gateway) -> None:
    await create(gateway, primary_secret=FIRST)
    document = (await gateway.client.get(SECRETS)).json()
    assert (document["secondary_secret"], document["has_secondary"]) == (None, False)


async def test_a_rotation_keeps_the_old_secret_as_second(gateway: Gateway) -> None:
    await create(gateway, primary_secret=FIRST, secondary_secret=SECOND)
    response = await rotate(gateway, new_secret=THIRD)
    assert response.status_code == 200
    assert set(response.json()) == {"status", "message"}
    assert await stored(gateway) == WebhookSecrets(primary=THIRD, secondary=FIRST)


async def test_a_rotation_that_is_sent_twice_is_one(gateway: Gateway) -> None:
    await create(gateway, primary_secret=FIRST)
    for _ in range(2):
        assert (await rotate(gateway, new_secret=SECOND)).status_code == 200
    assert await stored(gateway) == WebhookSecrets(primary=SECOND, secondary=FIRST)


async def test_deleted_secrets_are_gone(gateway: Gateway) -> None:
    await create(gateway, primary_secret=FIRST)
    response = await gateway.client.delete(SECRETS)
    assert response.status_code == 200
    assert set(response.json()) == {"status", "message"}
    assert (await gateway.client.get(SECRETS)).status_code == 404


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/rotate")])
async def test_without_secrets_the_answer_is_404(gateway: Gateway, method: str, path: str) -> None:
    body = json.dumps({"new_secret": FIRST})
    response = await gateway.client.request(method, SECRETS + path, content=body)
    assert response.status_code == 404
    assert "create them first" in response.json()["error"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "primary_secret"),
        ({"primary_secret": "x" * 15}, "primary_secret"),
        ({"primary_secret": "x" * 513}, "primary_secret"),
        ({"primary_secret": 1234567890123456}, "primary_secret"),
        ({"primary_secret": FIRST, "secondary_secret": "short"}, "secondary_secret"),
    ],
)
async def test_a_secret_that_is_none_is_refused_by_name_and_not_repeated(
    gateway: Gateway, fields: dict[str, Any], named: str
) -> None:
    response = await create(gateway, **fields)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == [named]
    assert "xxx" not in response.text
    assert await stored(gateway) is None


async def test_a_short_new_secret_is_refused_and_changes_nothing(gateway: Gateway) -> None:
    await create(gateway, primary_secret=FIRST)
    response = await rotate(gateway, new_secret="short")
    assert response.status_code == 422
    assert await stored(gateway) == WebhookSecrets(primary=FIRST)


async def test_customers_have_secrets_of_their_own(gateway: Gateway) -> None:
    await create(gateway, primary_secret=FIRST)
    theirs = {"authorization": f"Bearer {BETAS_KEY}"}
    assert (await gateway.client.get(SECRETS, headers=theirs)).status_code == 404
    assert (await gateway.client.delete(SECRETS, headers=theirs)).status_code == 404
    assert await stored(gateway) is not None


async def test_the_next_delivery_is_signed_with_the_new_secret(gateway: Gateway) -> None:
    secrets = gateway.shard.webhooks.secrets
    await create(gateway, primary_secret=FIRST)
    assert await secrets.of(ACME) == (FIRST,)
    await rotate(gateway, new_secret=SECOND)
    assert await secrets.of(ACME) == (SECOND, FIRST)
    await gateway.client.delete(SECRETS)
    assert await secrets.of(ACME) == ()


async def test_secrets_that_could_not_be_stored_are_to_be_sent_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StoreFailure("database or disk is full")

    monkeypatch.setattr(MemoryCustomers, "put_secrets", full)
    response = await create(gateway, primary_secret=FIRST)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.headers["content-type"] == "application/problem+json"
