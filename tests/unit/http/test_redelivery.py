import json
from typing import Any

import httpx
import pytest

from orchestrator.adapters.memory.jobs import MemoryJobs
from orchestrator.core.regions.peers import WEBHOOKS
from orchestrator.messages.names import WEBHOOK_NODE
from orchestrator.messages.types import Deliver, Delivered
from orchestrator.ports.store import StoreFailure
from tests.unit.http.gateway import BETAS_KEY, JOBS, Gateway, turns

DEAD, REDELIVER = "/api/v1/webhooks/dead", "/api/v1/webhooks/redeliver"
HOOKS = [{"url": "http://203.0.113.7/a"}, {"url": "http://203.0.113.8:8443/b"}]
THEIRS = {"authorization": f"Bearer {BETAS_KEY}"}


async def ended(gateway: Gateway, *, hooks: list[dict[str, str]] = HOOKS) -> str:
    """Submit a job and let it end; its deliveries are under way then."""
    gateway.regions_up()
    job_id: str = (await gateway.submit(webhooks=hooks)).json()["job_id"]
    await turns()
    assert gateway.answer_attempts() == 1
    await turns()
    return job_id


async def answer_deliveries(gateway: Gateway, status: int, count: int) -> list[Deliver]:
    """Play the webhook actor: answer everything that it was sent."""
    await turns()
    link = gateway.links.by_region[WEBHOOKS]
    sent = [message for message in link.posted if isinstance(message, Deliver)]
    assert len(sent) == count
    link.posted.clear()
    for message in sent:
        gateway.shard.receive(WEBHOOK_NODE, Delivered(message.delivery, message.attempt, status, 3))
    await turns()
    return sent


async def dead(gateway: Gateway, **query: Any) -> dict[str, Any]:
    response = await gateway.client.get(DEAD, params=query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def redeliver(gateway: Gateway, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    return await gateway.client.post(REDELIVER, content=json.dumps(body), headers=headers)


async def test_a_failed_webhook_is_listed_and_sent_again(gateway: Gateway) -> None:
    job_id = await ended(gateway)
    await answer_deliveries(gateway, 410, 2)
    listed = (await dead(gateway))["deliveries"]
    assert {(found["job_id"], found["endpoint"], found["status_code"]) for found in listed} == {
        (job_id, "203.0.113.7:80", 410),
        (job_id, "203.0.113.8:8443", 410),
    }
    response = await redeliver(gateway, endpoint="203.0.113.8:8443")
    assert (response.status_code, response.json()["deliveries"], response.json()["more"]) == (202, 1, False)
    (again,) = await answer_deliveries(gateway, 200, 1)
    assert again.url == "http://203.0.113.8:8443/b"
    assert [found["endpoint"] for found in (await dead(gateway))["deliveries"]] == ["203.0.113.7:80"]


async def test_one_of_them_can_be_sent_again_by_its_id(gateway: Gateway) -> None:
    await ended(gateway)
    await answer_deliveries(gateway, 410, 2)
    webhook_id = (await dead(gateway))["deliveries"][0]["webhook_id"]
    assert (await redeliver(gateway, webhook_id=webhook_id)).json()["deliveries"] == 1
    assert (await redeliver(gateway, webhook_id=webhook_id)).status_code == 404
    assert len((await dead(gateway))["deliveries"]) == 1


async def test_all_of_them_are_sent_again_where_nothing_narrows_the_filter(gateway: Gateway) -> None:
    await ended(gateway)
    await answer_deliveries(gateway, 410, 2)
    assert (await redeliver(gateway)).json()["deliveries"] == 2
    assert await dead(gateway) == {"deliveries": [], "next_cursor": None}


async def test_pages_of_failed_webhooks_follow_each_other(gateway: Gateway) -> None:
    await ended(gateway)
    await answer_deliveries(gateway, 410, 2)
    first = await dead(gateway, limit=1)
    second = await dead(gateway, limit=1, cursor=first["next_cursor"])
    assert first["deliveries"][0]["webhook_id"] != second["deliveries"][0]["webhook_id"]
    assert (await dead(gateway, cursor=second["next_cursor"]))["deliveries"] == []


async def test_other_customers_neither_see_nor_send_them(gateway: Gateway) -> None:
    job_id = await ended(gateway)
    await answer_deliveries(gateway, 410, 2)
    listed = await gateway.client.get(DEAD, headers=THEIRS)
    assert listed.json()["deliveries"] == []
    assert (await redeliver(gateway, THEIRS)).json()["deliveries"] == 0
    response = await gateway.client.post(f"{JOBS}/{job_id}/redeliver", headers=THEIRS)
    assert response.status_code == 404
    assert len((await dead(gateway))["deliveries"]) == 2


async def test_a_jobs_webhooks_are_sent_again(gateway: Gateway) -> None:
    job_id = await ended(gateway)
    first = await answer_deliveries(gateway, 200, 2)
    response = await gateway.client.post(f"{JOBS}/{job_id}/redeliver")
    assert response.status_code == 202
    assert response.json() == {"job_id": job_id, "status": "redelivering", "deliveries": 2}
    second = await answer_deliveries(gateway, 200, 2)
    assert {message.delivery for message in second} == {message.delivery for message in first}
    assert {message.body for message in second} == {message.body for message in first}
    shown = (await gateway.client.get(f"{JOBS}/{job_id}")).json()
    assert shown["delivery"] == "delivered"
    assert [len(found["attempts"]) for found in shown["timeline"]["deliveries"]] == [2, 2]


async def test_a_job_that_has_not_ended_has_nothing_to_send_again(gateway: Gateway) -> None:
    job_id = (await gateway.submit(webhooks=HOOKS)).json()["job_id"]
    response = await gateway.client.post(f"{JOBS}/{job_id}/redeliver")
    assert response.status_code == 409


async def test_a_job_without_webhooks_has_nothing_to_send_again(gateway: Gateway) -> None:
    job_id = await ended(gateway, hooks=[])
    response = await gateway.client.post(f"{JOBS}/{job_id}/redeliver")
    assert response.status_code == 409


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"since": "yesterday"}, "since"),
        ({"until": "-1"}, "until"),
        ({"limit": "0"}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"endpoint": "a:b:c"}, "endpoint"),
    ],
)
async def test_a_wrong_filter_is_named(gateway: Gateway, query: dict[str, str], named: str) -> None:
    response = await gateway.client.get(DEAD, params=query)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == [named]


@pytest.mark.parametrize(
    "fields",
    [{"limit": 0}, {"since": -1}, {"webhook_id": 7}, {"endpoint": "[::"}, {"endpiont": "app.example.com"}],
)
async def test_a_wrong_redelivery_changes_nothing(gateway: Gateway, fields: dict[str, Any]) -> None:
    await ended(gateway)
    await answer_deliveries(gateway, 410, 2)
    assert (await redeliver(gateway, **fields)).status_code == 422
    assert len((await dead(gateway))["deliveries"]) == 2


async def test_webhooks_that_could_not_be_reopened_go_when_they_would_have_gone(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StoreFailure("database or disk is full")

    job_id = await ended(gateway)
    await answer_deliveries(gateway, 500, 2)
    waiting = gateway.shard.webhooks.dispatcher.waiting
    monkeypatch.setattr(MemoryJobs, "reopen_deliveries", full)
    for response in (await gateway.client.post(f"{JOBS}/{job_id}/redeliver"), await redeliver(gateway)):
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert gateway.shard.webhooks.dispatcher.waiting == waiting


@pytest.mark.parametrize(
    ("endpoint", "count"),
    [
        ("203.0.113.7", 0),
        ("203.0.113.7:443", 0),
        ("203.0.113.7:80", 1),
        ("http://203.0.113.7/", 1),
        ("https://203.0.113.7:80/hook", 1),
        ("0xcb007107:80", 1),
        ("http://203.0.113.7:443/", 0),
        ("203.0.113.8:8443", 1),
        ("203.0.113.8", 0),
    ],
)
async def test_a_receiver_is_named_by_host_and_port_or_by_a_url_in_any_spelling(
    gateway: Gateway, endpoint: str, count: int
) -> None:
    await ended(gateway)
    await answer_deliveries(gateway, 410, 2)
    assert len((await dead(gateway, endpoint=endpoint))["deliveries"]) == count
