"""Fields that are wrong are named, each with what would be right."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.http.gateway import BOUNDS, TARGET, Gateway, running_gateway

YEAR_MS = 366 * 24 * 3600 * 1000
HOOK = {"url": "http://203.0.113.9/hook"}

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"url": 7}, "url"),
    ({"url": ["http://203.0.113.7/"]}, "url"),
    ({"url": ""}, "url"),
    ({"url": "203.0.113.7"}, "url"),
    ({"url": "ftp://203.0.113.7/"}, "url"),
    ({"url": "http:///nowhere"}, "url"),
    ({"url": "http://203.0.113.7:99999/"}, "url"),
    ({"url": "http://203.0.113.7/a b"}, "url"),
    ({"url": "http://203.0.113.7/\r\nX: y"}, "url"),
    ({"url": "http://203.0.113.7/ä"}, "url"),
    ({"url": "http://[::1"}, "url"),
    ({"method": "BREW"}, "method"),
    ({"method": ""}, "method"),
    ({"method": "CONNECT"}, "method"),
    ({"method": "TRACE"}, "method"),
    ({"method": "GET /"}, "method"),
    ({"method": 1}, "method"),
    ({"headers": []}, "headers"),
    ({"headers": {"a": 1}}, "headers.a"),
    ({"headers": {"a": None}}, "headers.a"),
    ({"headers": {"Host": "x"}}, "headers.Host"),
    ({"headers": {"content-LENGTH": "1"}}, "headers.content-LENGTH"),
    ({"headers": {"Transfer-Encoding": "chunked"}}, "headers.Transfer-Encoding"),
    ({"headers": {"Connection": "close"}}, "headers.Connection"),
    ({"headers": {"X-A": "a\r\nX-B: c"}}, "headers.X-A"),
    ({"headers": {"X-A": "a\nb"}}, "headers.X-A"),
    ({"headers": {"X A": "a"}}, "headers.X A"),
    ({"headers": {"X-A": "ä"}}, "headers.X-A"),
    ({"headers": {f"x-{n}": "" for n in range(101)}}, "headers"),
    ({"headers": {"x": "a" * 16_384}}, "headers"),
    ({"headers": {f"x-{n}": 1 for n in range(2_000)}}, "headers"),
    ({"body": 1}, "body"),
    ({"body": {"json": True}}, "body"),
    ({"metadata": []}, "metadata"),
    ({"metadata": "x"}, "metadata"),
    ({"webhooks": {}}, "webhooks"),
    ({"webhooks": ["http://203.0.113.9/"]}, "webhooks.0"),
    ({"webhooks": [{}]}, "webhooks.0.url"),
    ({"webhooks": [HOOK, {"url": "nonsense"}]}, "webhooks.1.url"),
    ({"webhooks": [HOOK | {"has_quorum_vote": "yes"}]}, "webhooks.0.has_quorum_vote"),
    ({"webhooks": [HOOK | {"regions": ["mars"]}]}, "webhooks.0.regions"),
    ({"webhooks": [HOOK] * 21}, "webhooks"),
    ({"webhooks": [{}] * 2_000}, "webhooks"),
    ({"webhook_quorum": 0}, "webhook_quorum"),
    ({"webhook_quorum": "1"}, "webhook_quorum"),
    ({"webhook_quorum": 2, "webhooks": [HOOK]}, "webhook_quorum"),
    ({"webhook_quorum": 2, "webhooks": [HOOK, HOOK | {"has_quorum_vote": False}]}, "webhook_quorum"),
    ({"regions": "iad"}, "regions"),
    ({"regions": ["mars"]}, "regions"),
    ({"regions": [""]}, "regions"),
    ({"regions": [1]}, "regions.0"),
    ({"regions": [f"r{n}" for n in range(2_000)]}, "regions"),
    ({"region_policy": "loose"}, "region_policy"),
    ({"region_policy": 1}, "region_policy"),
    ({"execution_mode": "relay"}, "execution_mode"),
    ({"retry_policy": []}, "retry_policy"),
    ({"retry_policy": {"max_retries": 101}}, "retry_policy.max_retries"),
    ({"retry_policy": {"max_retries": -1}}, "retry_policy.max_retries"),
    ({"retry_policy": {"max_reroutes": 1.5}}, "retry_policy.max_reroutes"),
    ({"retry_policy": {"max_reroutes": True}}, "retry_policy.max_reroutes"),
    ({"retry_policy": {"retry_codes": [99]}}, "retry_policy.retry_codes.0"),
    ({"retry_policy": {"reroute_codes": [500, 1000]}}, "retry_policy.reroute_codes.1"),
    ({"retry_policy": {"retry_codes": ["429"]}}, "retry_policy.retry_codes.0"),
    ({"on_failure_timeout_ms": 0}, "on_failure_timeout_ms"),
    ({"idempotent_key": ""}, "idempotent_key"),
    ({"idempotent_key": "k" * 513}, "idempotent_key"),
    ({"idempotent_key": "a\x00"}, "idempotent_key"),
    ({"retry_at": -1}, "retry_at"),
    ({"retry_at": 0}, "retry_at"),
    ({"retry_at": 1_763_674_210}, "retry_at"),
    ({"retry_at": "tomorrow"}, "retry_at"),
    ({"retry_at": 2**60}, "retry_at"),
    ({"priority": -1}, "priority"),
    ({"priority": 10}, "priority"),
    ({"priority": True}, "priority"),
    ({"priority": 5.5}, "priority"),
    ({"timeout_ms": 0}, "timeout_ms"),
    ({"timeout_ms": 600_001}, "timeout_ms"),
    ({"deadline_ms": 0}, "deadline_ms"),
    ({"guarantee": "exactly_once"}, "guarantee"),
    ({"guarantee": "at_most_once", "regions": ["iad", "lax"]}, "regions"),
    ({"cost": -1}, "cost"),
    ({"cost": "1"}, "cost"),
    ({"account": "a" * 257}, "account"),
    ({"hedge": 0.95}, "hedge"),
    ({"hedge": {"quantile": 0}}, "hedge.quantile"),
    ({"hedge": {"quantile": 1}}, "hedge.quantile"),
    ({"hedge": {"quantile": "0.95"}}, "hedge.quantile"),
    ({"hedge": {"budget": -0.1}}, "hedge.budget"),
    ({"hedge": {"budget": 1.1}}, "hedge.budget"),
]


async def refused(gateway: Gateway, **fields: Any) -> list[dict[str, str]]:
    response = await gateway.submit(**fields)
    assert response.status_code == 422, response.text
    problem = response.json()
    assert problem["type"] == "/problems/invalid-fields"
    assert "\n" not in problem["error"]
    errors: list[dict[str, str]] = problem["errors"]
    return errors


@pytest.mark.parametrize(("fields", "named"), WRONG, ids=[named for _, named in WRONG])
async def test_a_wrong_field_is_422_and_named(gateway: Gateway, fields: dict[str, Any], named: str) -> None:
    errors = await refused(gateway, **fields)
    assert [error["field"] for error in errors] == [named]
    assert errors[0]["message"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"url": None}, "is required"),
        ({"url": 1}, "should be a string"),
        ({"metadata": []}, "should be an object"),
        ({"webhooks": ["x"]}, "should be an object"),
        ({"webhooks": {}}, "should be a list"),
        ({"priority": True}, "should be a whole number"),
        ({"account": "x" * 300}, "should have at most 256 characters"),
        ({"webhooks": [HOOK | {"has_quorum_vote": "yes"}]}, "should be true or false"),
    ],
)
async def test_what_is_wrong_is_said_in_words_of_json(
    gateway: Gateway, wrong: dict[str, Any], message: str
) -> None:
    response = await gateway.submit(**wrong)
    assert [error["message"] for error in response.json()["errors"]] == [message]


async def test_a_submission_without_a_target_names_it(gateway: Gateway) -> None:
    response = await gateway.post("{}")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "url")


async def test_every_wrong_field_is_named_at_once(gateway: Gateway) -> None:
    errors = await refused(gateway, url=1, priority=99, timeout_ms="x", webhooks=[{}])
    assert {error["field"] for error in errors} == {"url", "priority", "timeout_ms", "webhooks.0.url"}


async def test_an_unknown_region_is_refused_by_naming_the_known_ones(gateway: Gateway) -> None:
    (error,) = await refused(gateway, regions=["iad", "mars"])
    assert "mars" in error["message"]
    assert "iad, lax, ord" in error["message"]


async def test_a_camel_case_field_that_is_wrong_is_named_too(gateway: Gateway) -> None:
    (error,) = await refused(gateway, timeoutMs=-1)
    assert error["field"] in {"timeout_ms", "timeoutMs"}


async def test_metadata_is_bounded() -> None:
    async for gateway in running_gateway(bounds=replace(BOUNDS, metadata_bytes=1_000)):
        assert (await gateway.submit(metadata={"a": "ä" * 490})).status_code == 202
        response = await gateway.submit(metadata={"a": "ä" * 500})
        assert response.status_code == 422
        assert [error["field"] for error in response.json()["errors"]] == ["metadata"]


async def test_a_start_more_than_a_year_ahead_is_refused(gateway: Gateway) -> None:
    (error,) = await refused(gateway, retry_at=gateway.clock.unix_ms() + YEAR_MS + 60_000)
    assert error["field"] == "retry_at"


async def test_hundreds_of_wrong_fields_do_not_make_a_long_answer(gateway: Gateway) -> None:
    response = await gateway.submit(headers={f"x-{n}": n for n in range(400)})
    assert response.status_code == 422
    assert len(response.json()["errors"]) == 50
    assert len(response.content) < 20_000


async def test_a_refused_submission_leaves_nothing_behind(gateway: Gateway) -> None:
    await refused(gateway, webhook_quorum=2, idempotent_key="mine")
    assert await gateway.store.jobs.waiting() == []
    assert (await gateway.submit(idempotent_key="mine")).status_code == 202


CHAINS = [
    (name, form) for name in ("fallback_job", "on_success", "on_failure") for form in ("snake", "camel")
]


@pytest.mark.parametrize(("name", "form"), CHAINS)
async def test_what_is_wrong_in_a_nested_job_is_named_from_the_top(
    gateway: Gateway, name: str, form: str
) -> None:
    head, *rest = name.split("_")
    given = name if form == "snake" else head + "".join(word.title() for word in rest)
    (error,) = await refused(gateway, **{given: {"url": "ftp://example.com"}})
    assert error["field"] == f"{name}.url"


@pytest.mark.parametrize(
    ("trigger", "field"),
    [
        ({"type": "on_error"}, "codes"),
        ({"type": "on_error", "codes": [42]}, "codes.0"),
        ({"type": "on_timeout"}, "timeout_ms"),
        ({"type": "on_tuesdays"}, "type"),
    ],
)
async def test_a_trigger_that_could_never_match_is_refused(
    gateway: Gateway, trigger: dict[str, Any], field: str
) -> None:
    (error,) = await refused(gateway, fallback_job={"url": TARGET, "trigger": trigger})
    assert error["field"] == f"fallback_job.trigger.{field}"


async def test_a_chain_is_bounded_in_depth_and_in_jobs(gateway: Gateway) -> None:
    def chain(depth: int) -> dict[str, Any]:
        return {"url": TARGET} | ({"on_success": chain(depth - 1)} if depth else {})

    assert (await gateway.submit(on_success=chain(14))).status_code == 202
    assert "deeper than 16" in (await refused(gateway, on_success=chain(15)))[0]["message"]
    assert await refused(gateway, on_success=chain(200))


def tree(levels: int) -> dict[str, Any]:
    names = ("fallback_job", "on_success", "on_failure") if levels else ()
    return {"url": TARGET} | {name: tree(levels - 1) for name in names}


async def test_a_submission_holds_64_jobs_at_most(gateway: Gateway) -> None:
    assert len(tree(3)) == 4
    response = await gateway.submit(**tree(3), body="40 jobs")
    assert response.status_code == 202
    (error,) = await refused(gateway, on_success=tree(3), on_failure=tree(3))
    assert "more than 64 jobs" in error["message"]


async def test_a_tree_of_jobs_is_refused_before_it_is_read_whole(gateway: Gateway) -> None:
    (error,) = await refused(gateway, on_success=tree(6))
    assert "too many" in error["message"]


async def test_receivers_are_counted_over_the_whole_submission(gateway: Gateway) -> None:
    ten = {"webhooks": [HOOK] * 10}
    twenty = ten | {"on_success": {"url": TARGET} | ten}
    assert (await gateway.submit(**twenty)).status_code == 202
    (error,) = await refused(gateway, **twenty, on_failure={"url": TARGET, "webhooks": [HOOK]})
    assert error["field"] == "webhooks"


async def test_metadata_of_a_nested_job_may_be_as_deep_as_that_of_the_first(gateway: Gateway) -> None:
    deep: Any = 1
    for _ in range(28):
        deep = [deep]
    child = {"url": TARGET, "metadata": {"deep": deep}}
    response = await gateway.submit(on_success=child | {"on_failure": child}, metadata={"deep": deep})
    assert response.status_code == 202, response.text


async def test_unknown_fields_of_nested_jobs_are_named_from_the_top(gateway: Gateway) -> None:
    response = await gateway.submit(
        on_success={"url": TARGET, "on_failure": {"url": TARGET, "colour": "red"}}
    )
    assert response.json()["warnings"] == ["unknown field 'on_success.on_failure.colour' was ignored"]


async def test_at_most_once_has_no_fallback_that_runs_beside_it(gateway: Gateway) -> None:
    late = {"url": TARGET, "trigger": {"type": "on_timeout", "timeout_ms": 5}}
    assert await refused(gateway, guarantee="at_most_once", fallback_job=late)
    after = {"url": TARGET, "trigger": {"type": "on_error", "codes": [404]}}
    assert (await gateway.submit(guarantee="at_most_once", fallback_job=after)).status_code == 202


async def test_a_forbidden_region_in_a_child_is_refused_before_anything_is_stored(gateway: Gateway) -> None:
    await refused(gateway, on_success={"url": TARGET, "regions": ["mars"]})
    assert await gateway.store.jobs.waiting() == []


async def test_a_hedge_of_a_method_that_is_not_idempotent_is_warned_of_as_a_race_is(gateway: Gateway) -> None:
    response = await gateway.submit(method="POST", execution_mode="hedge", regions=["iad", "lax"])
    assert response.status_code == 202
    assert response.json()["status"] == "queued"
    assert "may execute once per region" in response.json()["warnings"][0]


async def test_hedging_of_what_is_no_hedge_is_warned_of(gateway: Gateway) -> None:
    ignored = "hedge says nothing where execution_mode is not hedge, or there is one region"
    for mode, regions, warned in (
        ("race", ["iad", "lax"], True),
        ("hedge", ["iad"], True),
        ("hedge", ["iad", "lax"], False),
    ):
        response = await gateway.submit(execution_mode=mode, regions=regions, hedge={"budget": 0.2})
        assert (ignored in response.json().get("warnings", [])) is warned
