import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from orchestrator.adapters.http.app import make_app
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.idempotency import content_key
from orchestrator.domain.jobs.job import HedgePolicy, RetryPolicy, Webhook
from orchestrator.domain.jobs.policies import ExecutionMode, Guarantee, RegionPolicy
from orchestrator.domain.mail_room import MailCount
from orchestrator.messages.types import Message, RunAttempt
from tests.unit.domain.builders import ACME, IAD, LAX, ORD
from tests.unit.http.gateway import BETAS_KEY, JOBS, KEY, SECRETS, TARGET, Gateway, SilentLink

HOOK = "http://203.0.113.9/hook"
YEAR_MS = 366 * 24 * 3600 * 1000


async def test_a_job_is_acknowledged_as_the_contract_says(gateway: Gateway) -> None:
    response = await gateway.submit()
    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert re.fullmatch(r"job_\d{13}_\d+", document["job_id"])
    assert document == {
        "job_id": document["job_id"],
        "status": "queued",
        "idempotent_key": content_key(ACME, TARGET, "GET", None),
        "queued_at": int(document["job_id"].split("_")[1]),
        "position": 1,
        "estimated_processing_time": 0,
    }
    assert '"estimated_processing_time":0}' in response.text


async def test_a_job_is_on_disk_when_it_is_acknowledged(gateway: Gateway) -> None:
    job_id = (await gateway.submit(body="kept")).json()["job_id"]
    stored = await gateway.store.jobs.load(JobId(job_id))
    assert stored is not None
    assert (stored.job.customer, stored.job.spec.body) == (ACME, "kept")


async def test_the_legs_of_a_race_have_left_when_its_job_is_acknowledged(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[Message] = []

    def post(_link: SilentLink, message: Message, count: MailCount | None = None) -> None:
        # In the next turn of the loop, as a mailbox does.
        asyncio.get_running_loop().call_soon(left.append, message)
        assert count is None

    monkeypatch.setattr(SilentLink, "post", post)
    gateway.regions_up()
    await gateway.submit(regions=[IAD, LAX])
    assert [type(message) for message in left] == [RunAttempt, RunAttempt]


EVERY_FIELD: dict[str, Any] = {
    "method": "pAtCh",
    "headers": {"X-A": "1", "x-b": ""},
    "body": "",
    "metadata": {"deep": {"list": [1, None]}},
    "webhooks": [{"url": HOOK, "regions": ["lax"], "has_quorum_vote": False}, {"url": HOOK}],
    "webhook_quorum": 1,
    "regions": ["lax", "ord", "lax"],
    "region_policy": "strict",
    "execution_mode": "fanout",
    "retry_policy": {"max_retries": 1, "max_reroutes": 0, "retry_codes": [418], "reroute_codes": []},
    "on_failure_timeout_ms": 9_000,
    "idempotent_key": "mine",
    "priority": 9,
    "timeout_ms": 600_000,
    "deadline_ms": 60_000,
    "guarantee": "at_least_once",
    "cost": 0,
    "account": "theirs",
    "hedge": {"quantile": 0.9},
}


async def test_every_field_reaches_the_job(gateway: Gateway) -> None:
    response = await gateway.submit(**EVERY_FIELD)
    assert response.status_code == 202, response.text
    stored = await gateway.store.jobs.load(JobId(response.json()["job_id"]))
    assert stored is not None
    spec = stored.job.spec
    assert (spec.method, spec.headers, spec.body) == ("PATCH", (("X-A", "1"), ("x-b", "")), None)
    assert spec.metadata == {"deep": {"list": [1, None]}}
    assert spec.webhooks == (Webhook(url=HOOK, regions=(LAX,), has_quorum_vote=False), Webhook(url=HOOK))
    assert (spec.regions, spec.region_policy) == ((LAX, ORD), RegionPolicy.STRICT)
    assert spec.execution_mode is ExecutionMode.FANOUT
    assert spec.retry_policy == RetryPolicy(
        max_retries=1, max_reroutes=0, retry_codes=frozenset({418}), reroute_codes=frozenset()
    )
    assert (spec.on_failure_timeout_ms, spec.idempotent_key, spec.priority) == (9_000, "mine", 9)
    assert (spec.timeout_ms, spec.deadline_ms, spec.cost, spec.account) == (600_000, 60_000, 0.0, "theirs")
    assert spec.hedge == HedgePolicy(quantile=0.9, budget=0.1)


async def test_what_is_left_out_takes_the_contracts_defaults(gateway: Gateway) -> None:
    stored = await gateway.store.jobs.load(JobId((await gateway.submit()).json()["job_id"]))
    assert stored is not None
    spec = stored.job.spec
    assert (spec.method, spec.regions, spec.retry_policy, spec.body) == ("GET", (IAD,), None, None)
    assert (spec.timeout_ms, spec.priority, spec.cost, spec.guarantee) == (
        30_000,
        5,
        1.0,
        Guarantee.AT_LEAST_ONCE,
    )


async def test_a_partial_policy_takes_the_default_for_the_rest(gateway: Gateway) -> None:
    job_id = (await gateway.submit(retry_policy={"max_retries": 7})).json()["job_id"]
    stored = await gateway.store.jobs.load(JobId(job_id))
    assert stored is not None
    assert stored.job.spec.retry_policy == RetryPolicy(max_retries=7)


async def test_several_regions_race(gateway: Gateway) -> None:
    assert (await gateway.submit(regions=["iad", "lax"])).json()["status"] == "racing"


async def test_regions_that_repeat_collapse(gateway: Gateway) -> None:
    assert (await gateway.submit(regions=["lax"] * 40)).json()["status"] == "queued"


async def test_a_race_that_may_execute_twice_is_warned_of(gateway: Gateway) -> None:
    document = (await gateway.submit(regions=["iad", "lax"], method="POST")).json()
    assert any("Idempotency-Key" in warning for warning in document["warnings"])


async def test_webhooks_without_a_stored_secret_are_warned_of(gateway: Gateway) -> None:
    hook = {"webhooks": [{"url": HOOK}]}

    async def unsigned(**fields: object) -> bool:
        document = (await gateway.submit(**fields)).json()
        return any("unsigned" in warning for warning in document.get("warnings", []))

    assert not await unsigned(body="nobody is told")
    assert await unsigned(body="1", **hook)
    assert await unsigned(body="1", **hook)  # the duplicate
    assert await unsigned(body="2", on_success={"url": TARGET, **hook})
    batch = {"jobs": [{"url": TARGET, "body": "3", **hook}, {"url": TARGET, "body": "4"}]}
    answers = (await gateway.client.post(f"{JOBS}:batch", json=batch)).json()["answers"]
    assert ["warnings" in answer for answer in answers] == [True, False]

    assert (await gateway.client.post(SECRETS, json={"primary_secret": "s" * 16})).status_code == 200
    assert not await unsigned(body="5", **hook)
    assert (await gateway.client.delete(SECRETS)).status_code == 200
    assert await unsigned(body="6", **hook)


@pytest.mark.parametrize("code", [100, 599, 600, 783, 999])
async def test_a_code_that_a_target_can_answer_can_be_named(gateway: Gateway, code: int) -> None:
    policy = {"max_retries": 1, "retry_codes": [code], "reroute_codes": [code]}
    fallback = {"url": TARGET, "trigger": {"type": "on_error", "codes": [code]}}
    response = await gateway.submit(retry_policy=policy, fallback_job=fallback)
    assert response.status_code == 202, response.text
    stored = await gateway.store.jobs.load(JobId(response.json()["job_id"]))
    assert stored is not None
    spec = stored.job.spec
    assert spec.retry_policy is not None
    assert spec.fallback is not None
    assert spec.retry_policy.retry_codes == spec.fallback.trigger.codes == {code}


@pytest.mark.parametrize("place", [None, "fallback_job", "on_success", "on_failure"])
async def test_an_absent_and_an_empty_body_are_one_payload(gateway: Gateway, place: str | None) -> None:
    def job(**fields: object) -> dict[str, object]:
        return {"method": "POST"} | (fields if place is None else {place: {"url": TARGET} | fields})

    first = await gateway.submit(**job())
    for body in ("", None):
        again = await gateway.submit(**job(body=body))
        assert (again.status_code, again.json()["job_id"]) == (200, first.json()["job_id"])
        assert "payload_mismatch" not in again.json()


async def test_a_job_for_later_is_scheduled_with_the_time_until_then(gateway: Gateway) -> None:
    retry_at = gateway.clock.unix_ms() + 3_600_000
    document = (await gateway.submit(retry_at=retry_at, regions=["iad", "lax"])).json()
    assert document["status"] == "scheduled"
    assert document["estimated_processing_time"] in range(3_591, 3_601)


async def test_jobs_of_one_target_queue_up_behind_each_other(gateway: Gateway) -> None:
    gateway.regions_up()
    answers = []
    for number in range(12):
        gateway.clock.ahead_s += 0.01  # of two jobs of one millisecond either may go first
        answers.append((await gateway.submit(idempotent_key=f"k{number}")).json())
    assert [answer["position"] for answer in answers[2:]] == list(range(1, 11))
    waits = [answer["estimated_processing_time"] for answer in answers]
    assert waits == sorted(waits)
    assert waits[-1] > 3


@pytest.mark.parametrize("same", [{}, {"idempotent_key": "mine"}])
async def test_the_same_submission_again_is_200_with_the_first_job(
    gateway: Gateway, same: dict[str, str]
) -> None:
    first = (await gateway.submit(**same)).json()
    second = await gateway.submit(**same)
    assert second.status_code == 200
    assert second.json() == {
        "job_id": first["job_id"],
        "status": "duplicate",
        "state": "queued",
        "idempotent_key": first["idempotent_key"],
    }


@pytest.mark.parametrize(
    "change", [{"body": "b"}, {"method": "PUT"}, {"metadata": {"a": 1}}, {"priority": 1}]
)
async def test_the_same_key_with_another_payload_says_so(gateway: Gateway, change: dict[str, object]) -> None:
    first = (await gateway.submit(idempotent_key="mine")).json()
    second = await gateway.submit(idempotent_key="mine", **change)
    assert second.status_code == 200
    assert (second.json()["job_id"], second.json()["payload_mismatch"]) == (first["job_id"], True)


async def test_customers_do_not_share_keys(gateway: Gateway) -> None:
    body = json.dumps({"url": TARGET, "idempotent_key": "mine"})
    mine = await gateway.post(body)
    theirs = await gateway.post(body, authorization=f"Bearer {BETAS_KEY}")
    assert (mine.status_code, theirs.status_code) == (202, 202)


async def test_unknown_fields_are_ignored_and_named(gateway: Gateway) -> None:
    response = await gateway.submit(
        colour="red",
        webhooks=[{"url": HOOK, "voice": 1}],
        retry_policy={"tries": 3},
        execution_mode="hedge",
        hedge={"delay": 3},
        metadata={"free": "to hold anything"},
    )
    assert response.status_code == 202
    _, *ignored = response.json()["warnings"]
    assert ignored == [
        "unknown field 'colour' was ignored",
        "unknown field 'webhooks.0.voice' was ignored",
        "unknown field 'retry_policy.tries' was ignored",
        "unknown field 'hedge.delay' was ignored",
    ]


async def test_a_body_of_unknown_fields_does_not_make_a_longer_answer(gateway: Gateway) -> None:
    response = await gateway.submit(**{f"unknown{number}": 1 for number in range(3_000)})
    assert response.status_code == 202
    assert len(response.content) < 5_000


async def test_duplicates_are_warned_of_the_same(gateway: Gateway) -> None:
    answers = [(await gateway.submit(colour="red")).json() for _ in range(2)]
    assert answers[0]["warnings"] == answers[1]["warnings"]


async def test_camel_case_twins_are_read_and_known(gateway: Gateway) -> None:
    response = await gateway.submit(
        webhooks=[{"url": HOOK, "hasQuorumVote": False}],
        webhookQuorum=1,
        regionPolicy="strict",
        executionMode="fanout",
        retryPolicy={"maxRetries": 1, "maxReroutes": 0, "retryCodes": [418], "rerouteCodes": [419]},
        onFailureTimeoutMs=9_000,
        idempotentKey="mine",
        retryAt=978_307_200_000,
        timeoutMs=5,
        deadlineMs=60_000,
    )
    assert response.status_code == 202, response.text
    assert [warning for warning in response.json()["warnings"] if "unknown" in warning] == []
    stored = await gateway.store.jobs.load(JobId(response.json()["job_id"]))
    assert stored is not None
    spec = stored.job.spec
    assert spec.webhooks[0].has_quorum_vote is False
    assert (spec.region_policy, spec.execution_mode) == (RegionPolicy.STRICT, ExecutionMode.FANOUT)
    assert spec.retry_policy == RetryPolicy(
        max_retries=1, max_reroutes=0, retry_codes=frozenset({418}), reroute_codes=frozenset({419})
    )
    assert (spec.on_failure_timeout_ms, spec.idempotent_key, spec.retry_at) == (
        9_000,
        "mine",
        978_307_200_000,
    )
    assert (spec.timeout_ms, spec.deadline_ms) == (5, 60_000)


async def test_a_null_counts_as_a_field_that_is_not_there(gateway: Gateway) -> None:
    nothing = dict.fromkeys(
        ("method", "headers", "body", "metadata", "regions", "retry_policy", "priority", "idempotent_key")
    )
    first = await gateway.submit(webhooks=[{"url": HOOK}])
    second = await gateway.submit(
        webhooks=[{"url": HOOK, "regions": None, "has_quorum_vote": None}], **nothing
    )
    assert (first.status_code, second.status_code) == (202, 200)
    assert "payload_mismatch" not in second.json()


async def test_a_service_that_stops_takes_nothing_more(gateway: Gateway) -> None:
    await gateway.shard.drain(0.0)
    response = await gateway.submit()
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["type"] == "/problems/not-ready"


async def test_jobs_are_taken_while_no_region_is_up(gateway: Gateway) -> None:
    assert not gateway.shard.ready
    assert (await gateway.submit()).status_code == 202


async def test_the_framework_answers_as_the_fast_lane_does(gateway: Gateway) -> None:
    transport = httpx.ASGITransport(make_app(gateway.backend))
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers) as slow:
        for body in ('{"url": "' + TARGET + '"}', "{}", "[]", '{"url": "http://10.0.0.1/"}'):
            await gateway.post(body)
            answers = [await client.post(JOBS, content=body) for client in (gateway.client, slow)]
            assert answers[0].status_code == answers[1].status_code
            assert answers[0].content == answers[1].content


async def test_a_duplicate_of_a_scheduled_job_whose_time_has_come_is_queued_as_the_job_itself_says(
    gateway: Gateway,
) -> None:
    later = {"body": "later", "retry_at": gateway.clock.unix_ms() + 60_000}
    first = (await gateway.submit(**later)).json()
    assert (await gateway.submit(**later)).json()["state"] == "scheduled"
    gateway.clock.ahead_s += 61
    shown = (await gateway.client.get(f"{JOBS}/{first['job_id']}")).json()["state"]
    assert (await gateway.submit(**later)).json()["state"] == shown == "queued"


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def traceparent_of(gateway: Gateway, job_id: str) -> str | None:
    stored = await gateway.store.jobs.load(JobId(job_id))
    assert stored is not None
    return stored.job.traceparent


async def test_a_job_belongs_to_the_trace_that_its_submission_names(gateway: Gateway) -> None:
    answer = await gateway.post(json.dumps({"url": TARGET}), Traceparent=TRACEPARENT)
    assert await traceparent_of(gateway, answer.json()["job_id"]) == TRACEPARENT


async def test_so_do_the_jobs_of_a_batch_and_what_comes_in_an_envelope(gateway: Gateway) -> None:
    told = {"traceparent": TRACEPARENT}
    batch = await gateway.client.post(f"{JOBS}:batch", json={"jobs": [{"url": TARGET}]}, headers=told)
    envelope = {"target_url": f"https://any.example{JOBS}", "method": "POST"}
    inner = {"body": json.dumps({"url": TARGET, "idempotent_key": "another"})}
    wrapped = await gateway.client.post("/api/v1/proxy", json=envelope | inner, headers=told)
    ids = [
        batch.json()["answers"][0]["job_id"],
        json.loads(wrapped.json()["forwarded_response"]["body"])["job_id"],
    ]
    assert [await traceparent_of(gateway, job_id) for job_id in ids] == [TRACEPARENT] * 2


@pytest.mark.parametrize(
    "header", ["nonsense", f"{TRACEPARENT}-more", "00-" + "0" * 32 + "-b7ad6b7169203331-01"]
)
async def test_a_trace_that_can_not_be_read_spoils_no_submission(gateway: Gateway, header: str) -> None:
    answer = await gateway.post(json.dumps({"url": TARGET}), Traceparent=header)
    assert answer.status_code == 202
    assert await traceparent_of(gateway, answer.json()["job_id"]) is None
