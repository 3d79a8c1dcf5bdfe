"""Chains of which the client's webhook server runs the FRUGAL steps, and the service the rest."""

import asyncio
import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ezthrottle import AsyncEZThrottle, EZThrottle, InvalidJobError, Step, StepType, WebhookServer

API_KEY = "ck_live_cust_acme_s3cr3t"
JOB_ID = "job_1763674210055_853341"
JOBS = "/api/v1/jobs"
URL = "https://api.example.com"


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with WebhookServer(port=0) as started:
        yield started


@pytest.fixture
def receiving(service: Any, server: WebhookServer) -> Iterator[EZThrottle]:
    with EZThrottle(API_KEY, base_url=service.url, webhook_server=server) as made:
        yield made


@pytest.fixture
def ok_target(target: Any, answer: Any) -> Any:
    for path in ("/success", "/failure", "/grandchild"):
        target.on("GET", path, answer(200))
    return target


def _frugal(url: str) -> Step:
    return Step().url(url).type(StepType.FRUGAL)


def _deliver(url: str, status: str = "success", **more: Any) -> None:
    assert httpx.post(url, json={"job_id": JOB_ID, "status": status, **more}).status_code == 200


def test_a_frugal_child_is_left_out_and_run_here_when_the_job_has_succeeded(
    receiving: EZThrottle, server: WebhookServer, service: Any, ok_target: Any
) -> None:
    step = Step().url(URL).webhooks([{"url": "https://app.example.com"}])
    step.on_success(_frugal(f"{ok_target.url}/success")).on_failure(_frugal(f"{ok_target.url}/failure"))
    step.execute(receiving)

    assert service.seen[0].json() == {
        "url": URL,
        "method": "GET",
        "webhooks": [
            {"url": "https://app.example.com"},
            {"url": server.get_url(), "has_quorum_vote": True},
        ],
    }
    assert ok_target.seen == []
    _deliver(server.get_url())
    ok_target.wait_for("GET", "/success")
    assert [seen.path for seen in ok_target.seen] == ["/success"]


def test_a_failed_job_starts_the_other_child(
    receiving: EZThrottle, server: WebhookServer, ok_target: Any
) -> None:
    step = Step().url(URL).on_success(_frugal(f"{ok_target.url}/success"))
    step.on_failure(_frugal(f"{ok_target.url}/failure")).execute(receiving)
    _deliver(server.get_url(), "failed")
    ok_target.wait_for("GET", "/failure")
    assert [seen.path for seen in ok_target.seen] == ["/failure"]


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [("https://app.example.com/hook", ""), ("https://app.example.com/hook?key=a%26b", "key=a%26b&")],
)
def test_the_token_of_a_later_job_keeps_the_query_of_the_public_url(
    service: Any, public_url: str, expected: str
) -> None:
    middle = Step().url(f"{URL}/middle").on_success(_frugal(f"{URL}/here"))
    with (
        WebhookServer(port=0, public_url=public_url) as server,
        EZThrottle(API_KEY, base_url=service.url, webhook_server=server) as client,
    ):
        Step().url(URL).on_success(middle).execute(client)
    (webhook,) = service.seen[0].json()["on_success"]["webhooks"]
    assert re.fullmatch(f"https://app.example.com/hook\\?{expected}workflow=[0-9a-f]{{32}}", webhook["url"])


def test_a_cancelled_job_starts_nothing(receiving: EZThrottle, server: WebhookServer, ok_target: Any) -> None:
    step = Step().url(URL).on_failure(_frugal(f"{ok_target.url}/failure"))
    step.execute(receiving)
    _deliver(server.get_url(), "failed", error={"code": "cancelled", "message": "cancelled"})
    assert [record["status"] for record in step.get_execution_history()] == ["failed"]
    _settle(receiving, server, ok_target)
    assert ok_target.requests("GET", "/failure") == []


def test_a_child_starts_once_however_often_the_webhook_is_delivered(
    receiving: EZThrottle, server: WebhookServer, ok_target: Any, service: Any
) -> None:
    step = Step().url(URL).on_success(_frugal(f"{ok_target.url}/success"))
    step.execute(receiving)
    deliveries = [threading.Thread(target=_deliver, args=(server.get_url(),)) for _ in range(5)]
    for delivery in deliveries:
        delivery.start()
    for delivery in deliveries:
        delivery.join()
    ok_target.wait_for("GET", "/success")
    server.results.clear()  # as they go when many others come
    step.execute(receiving)  # answered with the same job, as a duplicate is
    assert server.event_store.pending_count() == 0
    _deliver(server.get_url())
    _settle(receiving, server, ok_target)
    assert len(ok_target.requests("GET", "/success")) == 1


def _settle(client: EZThrottle, server: WebhookServer, target: Any) -> None:
    """Run one more continuation, started after all others."""
    server.register_workflow("job_9_9", on_success=_frugal(f"{target.url}/grandchild"), client=client)
    _deliver(server.get_url(), job_id="job_9_9")
    target.wait_for("GET", "/grandchild")


def test_a_webhook_that_comes_before_the_registration_counts(
    receiving: EZThrottle, server: WebhookServer, service: Any, ok_target: Any, answer: Any
) -> None:
    def deliver_first(_: object) -> Any:
        _deliver(server.get_url())
        return answer(202, {"job_id": JOB_ID})

    service.on("POST", JOBS, deliver_first)
    Step().url(URL).on_success(_frugal(f"{ok_target.url}/success")).execute(receiving)
    ok_target.wait_for("GET", "/success")


def test_a_performance_child_is_the_services(
    receiving: EZThrottle, server: WebhookServer, service: Any
) -> None:
    Step().url(URL).on_success(Step().url(f"{URL}/s")).on_failure(Step().url(f"{URL}/f")).execute(receiving)
    sent = service.seen[0].json()
    assert (sent["on_success"]["url"], sent["on_failure"]["url"]) == (f"{URL}/s", f"{URL}/f")
    _deliver(server.get_url())
    assert len(service.requests("POST", JOBS)) == 1


def test_a_frugal_grandchild_runs_here_when_its_own_parent_has_ended(
    receiving: EZThrottle, server: WebhookServer, service: Any, ok_target: Any
) -> None:
    child = Step().url(f"{URL}/s").on_success(_frugal(f"{ok_target.url}/grandchild"))
    Step().url(URL).on_success(child).execute(receiving)

    sent = service.seen[0].json()["on_success"]
    assert "on_success" not in sent
    (webhook,) = sent["webhooks"]
    _deliver(server.get_url())
    assert ok_target.seen == []
    _deliver(webhook["url"], job_id="job_5_6")
    _deliver(webhook["url"], job_id="job_5_6")
    ok_target.wait_for("GET", "/grandchild")
    assert len(ok_target.seen) == 1


def test_a_forwarded_frugal_step_keeps_its_frugal_child_here(
    receiving: EZThrottle, server: WebhookServer, service: Any, ok_target: Any, dead_url: str
) -> None:
    _frugal(dead_url).on_success(_frugal(f"{ok_target.url}/success")).execute(receiving)
    assert "on_success" not in service.seen[0].json()
    _deliver(server.get_url())
    ok_target.wait_for("GET", "/success")


def test_a_submission_that_is_refused_leaves_nothing_registered(
    receiving: EZThrottle, server: WebhookServer, service: Any, ok_target: Any, answer: Any
) -> None:
    service.on("POST", JOBS, answer(422))
    child = Step().url(f"{URL}/s").on_success(_frugal(f"{ok_target.url}/grandchild"))
    with pytest.raises(InvalidJobError):
        Step().url(URL).on_success(child).execute(receiving)
    assert server.event_store.pending_count() == 0


@pytest.mark.parametrize(
    ("status", "error", "left"),
    [("success", None, 1), ("failed", None, 1), ("failed", {"code": "cancelled", "message": ""}, 0)],
)
def test_what_can_begin_no_more_is_forgotten(
    receiving: EZThrottle, server: WebhookServer, ok_target: Any, status: str, error: Any, left: int
) -> None:
    def child() -> Step:
        return Step().url(f"{URL}/child").on_success(_frugal(f"{ok_target.url}/grandchild"))

    Step().url(URL).on_success(child()).on_failure(child()).execute(receiving)
    assert server.event_store.pending_count() == 3
    _deliver(server.get_url(), status, error=error)
    assert server.event_store.pending_count() == left


def test_executing_twice_adds_our_webhook_once_to_each_submission(
    receiving: EZThrottle, service: Any, ok_target: Any
) -> None:
    webhooks = [{"url": "https://app.example.com"}]
    step = Step().url(URL).webhooks(webhooks).on_success(_frugal(f"{ok_target.url}/success"))
    step.execute(receiving)
    step.execute(receiving)
    assert [len(seen.json()["webhooks"]) for seen in service.seen] == [2, 2]
    assert webhooks == [{"url": "https://app.example.com"}]


def test_without_a_webhook_server_the_service_runs_the_whole_chain(client: EZThrottle, service: Any) -> None:
    Step().url(URL).on_success(_frugal(f"{URL}/s")).execute(client)
    assert service.seen[0].json() == {
        "url": URL,
        "method": "GET",
        "on_success": {"url": f"{URL}/s", "method": "GET"},
    }


def test_without_children_no_webhook_is_added(receiving: EZThrottle, service: Any) -> None:
    Step().url(URL).execute(receiving)
    assert service.seen[0].json() == {"url": URL, "method": "GET"}


def test_a_jobs_end_is_added_to_its_steps_history(receiving: EZThrottle, server: WebhookServer) -> None:
    step = Step().url(URL).description("Charge").on_success(Step().url(f"{URL}/s"))
    step.execute(receiving)
    _deliver(server.get_url(), response={"status_code": 200, "body": "paid"}, error=None)
    _deliver(server.get_url(), response={"status_code": 200, "body": "paid"}, error=None)
    assert step.execution_trace() == "1. [SUCCESS] Charge\n   Response: paid"


def test_a_jobs_failure_is_added_with_its_reason(receiving: EZThrottle, server: WebhookServer) -> None:
    step = Step().url(URL).on_failure(Step().url(f"{URL}/f"))
    step.execute(receiving)
    _deliver(server.get_url(), "failed", response=None, error={"code": "timeout", "message": "too slow"})
    assert step.execution_trace() == f"1. [FAILED] GET {URL}\n   Error: too slow"


def test_a_child_that_fails_is_logged(
    receiving: EZThrottle, server: WebhookServer, service: Any, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    logged = threading.Event()
    caplog.handler.addFilter(lambda record: logged.set() or True)
    service.on("POST", JOBS, answer(202, {"job_id": JOB_ID}), answer(422, {"error": "no"}))
    Step().url(URL).on_success(_frugal("ftp://api.example.com")).execute(receiving)
    _deliver(server.get_url())
    service.wait_for("POST", JOBS, 2)
    while "InvalidJobError" not in caplog.text:
        assert logged.wait(20)
        logged.clear()


async def test_the_asyncio_client_runs_a_frugal_child_on_its_loop(
    service: Any, server: WebhookServer, ok_target: Any
) -> None:
    async with AsyncEZThrottle(API_KEY, base_url=service.url, webhook_server=server) as client:
        await Step().url(URL).on_success(_frugal(f"{ok_target.url}/success")).execute_async(client)
        await asyncio.to_thread(_deliver, server.get_url())
        await asyncio.to_thread(ok_target.wait_for, "GET", "/success")


def test_a_child_of_an_asyncio_client_whose_loop_has_ended_is_reported(
    service: Any, server: WebhookServer, ok_target: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def submit() -> None:
        async with AsyncEZThrottle(API_KEY, base_url=service.url, webhook_server=server) as client:
            await Step().url(URL).on_success(_frugal(f"{ok_target.url}/success")).execute_async(client)

    asyncio.run(submit())
    _deliver(server.get_url())
    assert "event loop is closed" in caplog.text
    assert ok_target.seen == []
