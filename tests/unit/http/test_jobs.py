import asyncio

import httpx
import pytest

from orchestrator.core.regions.peers import WEBHOOKS
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.messages.names import WEBHOOK_NODE
from orchestrator.messages.types import Deliver, Delivered
from tests.unit.http.gateway import BETAS_KEY, JOBS, TARGET, Gateway, turns

HOOK = "http://203.0.113.9/hook"
PATIENCE_S = 20.0


async def shown(gateway: Gateway, job_id: str, **query: str) -> httpx.Response:
    return await gateway.client.get(f"{JOBS}/{job_id}", params=query)


async def submitted(gateway: Gateway, **fields: object) -> str:
    job_id: str = (await gateway.submit(**fields)).json()["job_id"]
    return job_id


async def finished(gateway: Gateway, status: int = 200, **fields: object) -> str:
    gateway.regions_up()
    job_id = await submitted(gateway, **fields)
    assert gateway.answer_attempts(status) > 0
    # Its end is still to be committed: it comes between the look at the job and the watch for it.
    async with asyncio.timeout(PATIENCE_S):
        assert (await shown(gateway, job_id, wait="60")).json()["ended_at"] is not None
    return job_id


async def test_a_waiting_job_is_shown_as_it_stands(gateway: Gateway) -> None:
    job_id = await submitted(gateway, idempotent_key="mine")
    response = await shown(gateway, job_id)
    assert response.status_code == 200
    document = response.json()
    assert document == {
        "job_id": job_id,
        "state": "queued",
        "delivery": "none",
        "domain": "203.0.113.7:80",
        "metadata": {},
        "request": {"url": TARGET, "method": "GET", "headers": {}, "body_bytes": 0},
        "webhooks": [],
        "idempotent_key": "mine",
        "accepted_at": document["accepted_at"],
        "ended_at": None,
        "position": 1,
        "estimated_start_at": document["estimated_start_at"],
        "result": None,
        "timeline": document["timeline"],
    }


async def test_a_scheduled_job_is_queued_once_its_time_has_come(gateway: Gateway) -> None:
    job_id = await submitted(gateway, retry_at=gateway.clock.unix_ms() + 60_000)
    assert (await shown(gateway, job_id)).json()["state"] == "scheduled"
    gateway.clock.ahead_s += 61.0
    assert (await shown(gateway, job_id)).json()["state"] == "queued"


async def test_a_finished_job_is_shown_with_its_result_and_every_attempt(gateway: Gateway) -> None:
    job_id = await finished(gateway, metadata={"order": 7})
    document = (await shown(gateway, job_id)).json()
    assert document["state"] == "success"
    assert document["result"]["metadata"] == {"order": 7}
    assert document["result"]["response"] == {
        "status_code": 200,
        "headers": {"x-from": "target"},
        "body": "done",
    }
    (attempt,) = document["timeline"]["attempts"]
    assert (attempt["attempt"], attempt["region"], attempt["status_code"]) == (1, "iad", 200)


async def test_a_failed_job_says_why(gateway: Gateway) -> None:
    document = (await shown(gateway, await finished(gateway, status=404))).json()
    assert document["state"] == "failed"
    assert document["result"]["error"] == {"code": "status", "message": "the target answered 404"}


async def test_deliveries_are_shown_with_each_attempt(gateway: Gateway) -> None:
    job_id = await finished(gateway, webhooks=[{"url": HOOK}])
    await turns()
    (sent,) = gateway.links.by_region[WEBHOOKS].posted
    assert isinstance(sent, Deliver)
    gateway.shard.receive(WEBHOOK_NODE, Delivered(sent.delivery, sent.attempt, 503, 12, "busy"))
    await turns()
    document = (await shown(gateway, job_id)).json()
    assert document["delivery"] == "pending"
    (delivery,) = document["timeline"]["deliveries"]
    assert (delivery["url"], delivery["state"], delivery["webhook_id"]) == (HOOK, "pending", sent.delivery)
    (attempt,) = delivery["attempts"]
    assert (attempt["status_code"], attempt["took_ms"], attempt["error"]) == (503, 12, "busy")
    assert delivery["next_at"] > attempt["at"]


async def test_waiting_returns_when_the_job_ends(gateway: Gateway) -> None:
    gateway.regions_up()
    job_id = await submitted(gateway)
    waiting = asyncio.ensure_future(shown(gateway, job_id, wait="60"))
    await turns()
    assert len(gateway.shard.jobs.board) == 1
    gateway.answer_attempts()
    assert (await waiting).json()["state"] == "success"


async def test_waiting_for_a_job_that_has_ended_returns_at_once(gateway: Gateway) -> None:
    job_id = await finished(gateway)
    assert (await shown(gateway, job_id, wait="60")).json()["state"] == "success"


async def test_waiting_ends_when_its_time_is_over(gateway: Gateway) -> None:
    job_id = await submitted(gateway)
    assert (await shown(gateway, job_id, wait="0.02")).json()["state"] == "queued"
    assert len(gateway.shard.jobs.board) == 0


@pytest.mark.parametrize("wait", ["", "soon", "-1", "NaN", "0", "-inf"])
async def test_a_wait_that_is_none_does_not_wait(gateway: Gateway, wait: str) -> None:
    job_id = await submitted(gateway)
    assert (await shown(gateway, job_id, wait=wait)).status_code == 200


async def test_another_customers_job_is_404_as_if_it_were_not_there(gateway: Gateway) -> None:
    job_id = await submitted(gateway)
    theirs = {"authorization": f"Bearer {BETAS_KEY}"}
    seen = await gateway.client.get(f"{JOBS}/{job_id}", headers=theirs)
    absent = await gateway.client.get(f"{JOBS}/job_1_1", headers=theirs)
    assert (seen.status_code, absent.status_code) == (404, 404)
    assert seen.content == absent.content


@pytest.mark.parametrize(
    "job_id", ["job_1_1", "nonsense", "job_x_y", "job_1_1%00", "%F0%9F", "job_1_" + "1" * 400]
)
async def test_an_id_that_names_nothing_is_404(gateway: Gateway, job_id: str) -> None:
    response = await shown(gateway, job_id)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_cancelled_job_is_shown_so_and_starts_nothing_more(gateway: Gateway) -> None:
    gateway.regions_up()
    job_id = await submitted(gateway, on_failure={"url": TARGET, "body": "never"})
    response = await gateway.client.delete(f"{JOBS}/{job_id}")
    assert (response.status_code, response.json()) == (200, {"job_id": job_id, "status": "cancelled"})
    document = (await shown(gateway, job_id, wait="10")).json()
    assert document["state"] == "cancelled"
    assert document["result"]["error"]["code"] == "cancelled"
    assert await gateway.store.jobs.waiting() == []


async def test_a_job_that_has_ended_cannot_be_cancelled(gateway: Gateway) -> None:
    job_id = await finished(gateway)
    response = await gateway.client.delete(f"{JOBS}/{job_id}")
    assert (response.status_code, response.json()["type"]) == (409, "/problems/conflict")


async def test_another_customers_job_cannot_be_cancelled(gateway: Gateway) -> None:
    job_id = await submitted(gateway)
    theirs = {"authorization": f"Bearer {BETAS_KEY}"}
    assert (await gateway.client.delete(f"{JOBS}/{job_id}", headers=theirs)).status_code == 404
    assert (await shown(gateway, job_id)).json()["state"] == "queued"


async def test_a_key_whose_job_was_never_written_is_free_again(gateway: Gateway) -> None:
    first = await submitted(gateway, deadline_ms=1, idempotent_key="mine")
    ended = await gateway.client.get(f"{JOBS}/{first}", params={"wait": 10})
    assert ended.json()["result"]["error"]["code"] == "deadline"
    again = await gateway.submit(idempotent_key="mine")
    assert again.status_code == 202
    assert again.json()["job_id"] != first


async def test_a_duplicate_names_the_state_of_the_first_job(gateway: Gateway) -> None:
    await finished(gateway, url=TARGET)
    duplicate = (await gateway.submit(url=TARGET)).json()
    assert (duplicate["status"], duplicate["state"]) == ("duplicate", JobState.SUCCESS)
    stored = await gateway.store.jobs.load(JobId(duplicate["job_id"]))
    assert stored is not None
    assert stored.state is JobState.SUCCESS
