"""The payloads are literally those of the published client for the same chains."""

import json
import uuid
from typing import Any

import pytest

from ezthrottle import EZThrottle, IdempotentStrategy, Step, StepType

URL = "https://api.example.com"


def test_a_bare_step_is_its_url_and_method() -> None:
    assert Step().url(URL)._build_job_payload() == {"url": URL, "method": "GET"}


EVERYTHING = {
    "url": URL,
    "method": "POST",
    "headers": {"X-A": "1"},
    "body": "text",
    "metadata": {"order": "42"},
    "webhooks": [{"url": "https://app.example.com", "has_quorum_vote": True}],
    "webhook_quorum": 2,
    "regions": ["iad", "lax"],
    "region_policy": "strict",
    "execution_mode": "fanout",
    "retry_policy": {"max_retries": 5},
    "retry_at": 1763674210055,
    "idempotent_key": "order_42",
}


def test_everything_set_is_in_the_payload() -> None:
    step = (
        Step()
        .url(URL)
        .method("post")
        .type(StepType.PERFORMANCE)
        .headers({"X-A": "1"})
        .body("text")
        .metadata({"order": "42"})
        .webhooks([{"url": "https://app.example.com", "has_quorum_vote": True}])
        .webhook_quorum(2)
        .regions(["iad", "lax"])
        .region_policy("strict")
        .execution_mode("fanout")
        .retry_policy({"max_retries": 5})
        .retry_at(1763674210055)
        .idempotent_key("order_42")
        .idempotent_strategy(IdempotentStrategy.UNIQUE)
        .fallback_on_error([429])
        .local_timeout(5)
        .description("charge")
        .response_description("receipt")
    )
    assert step._build_job_payload() == EVERYTHING


def test_what_the_service_assumes_is_left_out() -> None:
    step = (
        Step()
        .url(URL)
        .headers({})
        .body("")
        .metadata({})
        .webhooks([])
        .webhook_quorum(1)
        .regions([])
        .region_policy("fallback")
        .execution_mode("race")
        .retry_policy({})
    )
    assert step._build_job_payload() == {"url": URL, "method": "GET"}


def test_fallbacks_nest_in_the_order_in_which_they_were_added() -> None:
    step = (
        Step()
        .url(URL)
        .fallback(Step().url(f"{URL}/a"), trigger_on_error=[500, 502])
        .fallback(Step().url(f"{URL}/b").method("POST"), trigger_on_timeout=800)
        .fallback(Step().url(f"{URL}/c"))
    )
    assert step._build_job_payload() == {
        "url": URL,
        "method": "GET",
        "fallback_job": {
            "url": f"{URL}/a",
            "method": "GET",
            "trigger": {"type": "on_error", "codes": [500, 502]},
            "fallback_job": {
                "url": f"{URL}/b",
                "method": "POST",
                "trigger": {"type": "on_timeout", "timeout_ms": 800},
                "fallback_job": {"url": f"{URL}/c", "method": "GET", "trigger": {}},
            },
        },
    }


def test_statuses_win_over_a_time_as_a_trigger() -> None:
    step = Step().url(URL).fallback(Step().url(URL), trigger_on_error=[500], trigger_on_timeout=800)
    assert step._build_job_payload()["fallback_job"]["trigger"] == {"type": "on_error", "codes": [500]}


def test_children_are_jobs_within_the_job() -> None:
    step = (
        Step()
        .url(URL)
        .on_success(Step().url(f"{URL}/s").type(StepType.FRUGAL).on_success(Step().url(f"{URL}/ss")))
        .on_failure(Step().url(f"{URL}/f"), timeout_ms=60000)
    )
    assert step._build_job_payload() == {
        "url": URL,
        "method": "GET",
        "on_success": {
            "url": f"{URL}/s",
            "method": "GET",
            "on_success": {"url": f"{URL}/ss", "method": "GET"},
        },
        "on_failure": {"url": f"{URL}/f", "method": "GET"},
        "on_failure_timeout_ms": 60000,
    }


def test_what_follows_a_fallback_is_said_not_to_be_run_by_the_service() -> None:
    fallback = Step().url(f"{URL}/b").on_success(Step().url(f"{URL}/never"))
    step = (
        Step().url(URL).on_success(Step().url(f"{URL}/s")).fallback(Step().url(f"{URL}/c").fallback(fallback))
    )
    with pytest.warns(UserWarning, match=rf"does not start what follows the fallback GET {URL}/b"):
        step.spec.payload()


def test_a_child_may_be_set_up_after_it_was_chained() -> None:
    child = Step()
    step = Step().url(URL).on_success(child)
    child.url(f"{URL}/late")
    assert step._build_job_payload()["on_success"]["url"] == f"{URL}/late"


def test_unique_makes_a_new_key_each_time() -> None:
    step = Step().url(URL).idempotent_strategy(IdempotentStrategy.UNIQUE)
    keys = {step._build_job_payload()["idempotent_key"] for _ in range(3)}
    assert len(keys) == 3
    assert all(str(uuid.UUID(key)) == key for key in keys)


def test_hash_leaves_the_key_to_the_service() -> None:
    step = Step().url(URL).idempotent_strategy(IdempotentStrategy.HASH)
    assert "idempotent_key" not in step._build_job_payload()


def test_what_the_service_offers_beyond_the_published_client_can_be_set() -> None:
    step = Step().url(URL).priority(0).timeout_ms(500).deadline_ms(9000).guarantee("at_most_once")
    assert step.cost(0.5).account("team-a")._build_job_payload() == {
        "url": URL,
        "method": "GET",
        "priority": 0,
        "timeout_ms": 500,
        "deadline_ms": 9000,
        "guarantee": "at_most_once",
        "cost": 0.5,
        "account": "team-a",
    }


def test_a_step_without_a_url_is_refused(client: EZThrottle, service: Any) -> None:
    with pytest.raises(ValueError, match="url"):
        Step(client).execute()
    with pytest.raises(ValueError, match="url"):
        Step(client).type(StepType.FRUGAL).execute()
    assert service.seen == []


def test_what_is_built_is_what_is_sent(client: EZThrottle, service: Any) -> None:
    step = Step(client).url(URL).regions(["iad"]).on_success(Step().url(f"{URL}/s"))
    step.execute()
    assert json.loads(service.seen[0].body) == step._build_job_payload()


def test_a_hedge_names_its_quantile_and_its_budget() -> None:
    payload = Step().url(URL).regions(["iad", "lax"]).hedge(budget=0.2)._build_job_payload()
    assert (payload["execution_mode"], payload["hedge"]) == ("hedge", {"quantile": 0.95, "budget": 0.2})
