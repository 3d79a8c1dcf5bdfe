"""Whatever is wrong with a submission stands in one answer: kinds, ranges and rules, nested jobs included."""

import json
from typing import Any

import pytest

from tests.unit.http.gateway import JOBS, TARGET, Gateway

HOOK = {"url": "http://203.0.113.9/hook"}


async def named(gateway: Gateway, **fields: Any) -> set[str]:
    response = await gateway.submit(**fields)
    assert response.status_code == 422, response.text
    return {error["field"] for error in response.json()["errors"]}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        (
            {"url": "ftp://x", "priority": 10, "method": "FOO", "regions": ["mars"]},
            {"url", "priority", "method", "regions"},
        ),
        ({"url": 7, "headers": {"a": 1, "Host": "x"}}, {"url", "headers.a", "headers.Host"}),
        ({"regions": [1, "mars", 2]}, {"regions.0", "regions.2", "regions"}),
        (
            {"webhooks": [7, {"url": "nonsense"}, HOOK | {"regions": 1}, {}]},
            {"webhooks.0", "webhooks.1.url", "webhooks.2.regions", "webhooks.3.url"},
        ),
        ({"webhooks": {}, "webhook_quorum": 2}, {"webhooks"}),
        ({"webhooks": [], "webhookQuorum": 2, "priority": -1}, {"webhook_quorum", "priority"}),
        (
            {"retryPolicy": {"maxRetries": 101, "max_reroutes": -1}},
            {"retry_policy.max_retries", "retryPolicy.max_reroutes"},
        ),
        (
            {
                "timeout_ms": 0,
                "fallback_job": {"url": "x", "trigger": {"type": "on_error"}, "cost": -1},
                "on_success": {"url": TARGET, "on_failure": {"method": "BREW"}},
            },
            {
                "timeout_ms",
                "fallback_job.url",
                "fallback_job.trigger.codes",
                "fallback_job.cost",
                "on_success.on_failure.url",
                "on_success.on_failure.method",
            },
        ),
        ({"fallback_job": {"url": 1, "trigger": 7}}, {"fallback_job.url", "fallback_job.trigger"}),
        ({"on_success": [], "idempotent_key": ""}, {"on_success", "idempotent_key"}),
    ],
)
async def test_all_that_is_wrong_is_named_at_once(
    gateway: Gateway, fields: dict[str, Any], wrong: set[str]
) -> None:
    assert await named(gateway, **fields) == wrong
    batch = json.dumps({"jobs": [{"url": TARGET} | fields]})
    (answer,) = (await gateway.client.post(f"{JOBS}:batch", content=batch)).json()["answers"]
    assert {error["field"] for error in answer["errors"]} == wrong


async def test_of_a_thousand_errors_the_first_fifty_are_named(gateway: Gateway) -> None:
    assert len(await named(gateway, webhooks=[{"url": 1, "regions": 2}] * 300, priority=10)) == 50


@pytest.mark.parametrize(
    ("policy", "twin", "status"),
    [({}, 5, 202), ({}, [1], 202), (None, {"colour": 1}, 202), (5, {}, 422), ({"max_retries": 1}, {}, 202)],
)
async def test_of_a_field_and_its_twin_the_first_that_is_there_counts(
    gateway: Gateway, policy: object, twin: object, status: int
) -> None:
    response = await gateway.submit(retry_policy=policy, retryPolicy=twin)
    assert response.status_code == status
    ignored = response.json().get("warnings")
    assert ignored == (["unknown field 'retry_policy.colour' was ignored"] if twin == {"colour": 1} else None)


@pytest.mark.parametrize("trigger", [{"codes": [500]}, {"timeout_ms": 5}, {"type": "any", "codes": [500]}])
async def test_a_trigger_that_would_match_more_than_it_says_is_refused(
    gateway: Gateway, trigger: dict[str, Any]
) -> None:
    assert await named(gateway, fallback_job={"url": TARGET, "trigger": trigger}) == {
        "fallback_job.trigger.type"
    }


async def test_unknown_fields_of_a_trigger_are_named(gateway: Gateway) -> None:
    trigger = {"type": "on_error", "codes": [500], "code": 500}
    response = await gateway.submit(fallback_job={"url": TARGET, "trigger": trigger})
    assert response.status_code == 202
    assert response.json()["warnings"] == ["unknown field 'fallback_job.trigger.code' was ignored"]
