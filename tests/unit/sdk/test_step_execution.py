import asyncio
import threading
from typing import Any

import pytest

from ezthrottle import AsyncEZThrottle, EZThrottle, InvalidJobError, Step, StepType

API_KEY = "ck_live_cust_acme_s3cr3t"
JOB_ID = "job_1763674210055_853341"
JOBS = "/api/v1/jobs"


def _frugal(url: str) -> Step:
    return Step().url(url).type(StepType.FRUGAL)


def test_a_performance_step_is_submitted(client: EZThrottle, service: Any, target: Any) -> None:
    assert Step(client).url(f"{target.url}/a").execute() == {"job_id": JOB_ID, "status": "queued"}
    assert target.seen == []
    assert service.seen[0].json() == {"url": f"{target.url}/a", "method": "GET"}


def test_a_client_given_to_execute_is_used(client: EZThrottle) -> None:
    assert Step().url("https://api.example.com").execute(client)["job_id"] == JOB_ID


def test_without_a_client_execute_says_where_to_pass_one() -> None:
    with pytest.raises(ValueError, match="client"):
        Step().url("https://api.example.com").execute()


def test_a_subclass_that_overrides_submit_job_is_asked(service: Any) -> None:
    class Counting(EZThrottle):
        count = 0

        def submit_job(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            self.count += 1
            return super().submit_job(*args, **kwargs)

    with Counting(API_KEY, base_url=service.url) as client:
        Step(client).url("https://api.example.com").execute()
        assert client.count == 1


def test_a_frugal_step_that_succeeds_here_never_reaches_the_service(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    target.on("POST", "/a", answer(201, "made"))
    result = _frugal(f"{target.url}/a").method("POST").headers({"X-A": "1"}).body("text").execute(client)

    assert result == {"status": "success", "executed_locally": True, "status_code": 201, "response": "made"}
    assert (target.seen[0].headers["x-a"], target.seen[0].body) == ("1", b"text")
    assert service.seen == []


def test_a_frugal_step_follows_redirects(client: EZThrottle, target: Any, answer: Any) -> None:
    target.on("GET", "/old", answer(301, "", {"Location": "/new"}))
    target.on("GET", "/new", answer(200, "here"))
    assert _frugal(f"{target.url}/old").execute(client)["response"] == "here"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_frugal_step_is_forwarded_on_the_usual_errors(
    client: EZThrottle, service: Any, target: Any, answer: Any, status: int
) -> None:
    target.on("GET", "/a", answer(status))
    assert _frugal(f"{target.url}/a").execute(client)["job_id"] == JOB_ID
    assert len(target.seen) == 1


def test_another_error_is_returned_and_not_forwarded(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    target.on("GET", "/a", answer(404))
    result = _frugal(f"{target.url}/a").execute(client)
    assert result == {
        "status": "failed",
        "executed_locally": True,
        "status_code": 404,
        "error": "Request failed: 404",
    }
    assert service.seen == []


def test_the_codes_that_forward_can_be_chosen(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    target.on("GET", "/a", answer(404), answer(500))
    step = _frugal(f"{target.url}/a").fallback_on_error([404])
    assert step.execute(client)["job_id"] == JOB_ID
    assert step.execute(client)["status"] == "failed"


def test_a_dead_target_is_forwarded(client: EZThrottle, service: Any, dead_url: str) -> None:
    assert _frugal(dead_url).execute(client)["job_id"] == JOB_ID


def test_a_target_slower_than_the_local_timeout_is_forwarded(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    forwarded = threading.Event()

    def hold(_: object) -> Any:
        forwarded.wait(20)
        return answer(200)

    target.on("GET", "/a", hold)
    assert _frugal(f"{target.url}/a").local_timeout(0.05).execute(client)["job_id"] == JOB_ID
    forwarded.set()


def test_a_url_that_only_the_service_can_judge_is_forwarded(client: EZThrottle, service: Any) -> None:
    assert _frugal("http://127.0.0.1:port").execute(client)["job_id"] == JOB_ID
    assert _frugal("ftp://api.example.com").execute(client)["job_id"] == JOB_ID


def test_a_local_fallback_is_tried_before_the_service(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    target.on("GET", "/a", answer(500))
    target.on("GET", "/b", answer(200, "spare"))
    result = _frugal(f"{target.url}/a").fallback(_frugal(f"{target.url}/b"), [500]).execute(client)
    assert result["response"] == "spare"
    assert service.seen == []


def test_only_fallbacks_whose_trigger_matches_are_tried_here(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    target.on("GET", "/a", answer(503))
    target.on("GET", "/c", answer(200, "third"))
    step = (
        _frugal(f"{target.url}/a")
        .fallback(_frugal(f"{target.url}/wrong-code"), trigger_on_error=[500])
        .fallback(Step().url(f"{target.url}/not-frugal"))
        .fallback(_frugal(f"{target.url}/c"), trigger_on_timeout=800)
    )
    assert step.execute(client)["response"] == "third"
    assert [seen.path for seen in target.seen] == ["/a", "/c"]


def test_a_connection_error_matches_no_code(
    client: EZThrottle, service: Any, target: Any, dead_url: str, answer: Any
) -> None:
    target.on("GET", "/any", answer(200, "any"))
    step = _frugal(dead_url).fallback(_frugal(f"{target.url}/coded"), trigger_on_error=[500])
    assert step.execute(client)["job_id"] == JOB_ID
    assert step.fallback(_frugal(f"{target.url}/any")).execute(client)["response"] == "any"
    assert [seen.path for seen in target.seen] == ["/any"]


def test_when_local_fallbacks_fail_the_chain_is_forwarded_once_and_whole(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    target.on("GET", "/a", answer(500))
    target.on("GET", "/b", answer(500))
    result = _frugal(f"{target.url}/a").fallback(_frugal(f"{target.url}/b"), [500]).execute(client)
    assert result["job_id"] == JOB_ID
    (forwarded,) = service.requests("POST", JOBS)
    assert forwarded.json()["url"] == f"{target.url}/a"
    assert forwarded.json()["fallback_job"]["url"] == f"{target.url}/b"


def test_fallbacks_of_fallbacks_are_tried_here_too(client: EZThrottle, target: Any, answer: Any) -> None:
    target.on("GET", "/a", answer(500))
    target.on("GET", "/b", answer(429))
    target.on("GET", "/c", answer(200, "third"))
    second = _frugal(f"{target.url}/b").fallback(_frugal(f"{target.url}/c"), [429])
    assert _frugal(f"{target.url}/a").fallback(second, [500]).execute(client)["response"] == "third"


def test_what_follows_a_frugal_success_starts_from_here(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    for path in ("/a", "/b"):
        target.on("GET", path, answer(200))
    last = Step().url(f"{target.url}/c").regions(["iad"])
    second = _frugal(f"{target.url}/b").on_success(last)
    assert _frugal(f"{target.url}/a").on_success(second).execute(client)["executed_locally"] is True

    assert [seen.path for seen in target.seen] == ["/a", "/b"]
    assert [seen.json()["url"] for seen in service.requests("POST", JOBS)] == [f"{target.url}/c"]


def test_a_child_that_cannot_be_submitted_does_not_forward_its_parent(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    target.on("GET", "/a", answer(200))
    service.on("POST", JOBS, answer(422, {"errors": [{"field": "url", "message": "no host"}]}))
    with pytest.raises(InvalidJobError, match="no host"):
        _frugal(f"{target.url}/a").on_success(Step().url("https://")).execute(client)
    assert len(service.seen) == 1


def test_what_follows_a_step_starts_also_where_a_fallback_saved_it_here(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    target.on("GET", "/a", answer(500))
    target.on("GET", "/b", answer(500))
    target.on("GET", "/c", answer(200, "third"))
    second = _frugal(f"{target.url}/b").fallback(_frugal(f"{target.url}/c"), [500])
    step = _frugal(f"{target.url}/a").fallback(second, [500]).on_success(Step().url(f"{target.url}/next"))

    assert step.execute(client)["response"] == "third"
    assert [seen.json()["url"] for seen in service.requests("POST", JOBS)] == [f"{target.url}/next"]


def test_what_follows_a_fallback_and_a_step_starts_once_each(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    target.on("GET", "/a", answer(500))
    target.on("GET", "/b", answer(200))
    saving = _frugal(f"{target.url}/b").on_success(Step().url(f"{target.url}/of-the-fallback"))
    step = _frugal(f"{target.url}/a").fallback(saving).on_success(Step().url(f"{target.url}/of-the-step"))

    step.execute(client)
    started = [seen.json()["url"] for seen in service.requests("POST", JOBS)]
    assert started == [f"{target.url}/of-the-fallback", f"{target.url}/of-the-step"]


async def test_execute_async_uses_the_asyncio_client(service: Any, target: Any, answer: Any) -> None:
    target.on("GET", "/a", answer(500))
    target.on("GET", "/b", answer(200, "spare"))
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        assert (await Step(client).url(f"{target.url}/a").execute_async())["job_id"] == JOB_ID
        frugal = _frugal(f"{target.url}/a")
        assert (await frugal.execute_async(client))["job_id"] == JOB_ID
        frugal.fallback(_frugal(f"{target.url}/b"), [500])
        assert (await frugal.execute_async(client))["response"] == "spare"


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_execute_async_leaves_the_loop_free(
    service: Any, answer: Any, client: EZThrottle, asynchronous: bool
) -> None:
    loop = asyncio.get_running_loop()
    ticked = asyncio.Event()

    def answer_after_a_tick(_: object) -> Any:
        asyncio.run_coroutine_threadsafe(_tick(ticked), loop).result(20)
        return answer(202, {"job_id": JOB_ID})

    service.on("POST", JOBS, answer_after_a_tick)
    step = Step().url("https://api.example.com")
    if asynchronous:
        async with AsyncEZThrottle(API_KEY, base_url=service.url) as other:
            await step.execute_async(other)
    else:
        await step.execute_async(client)
    assert ticked.is_set()


async def _tick(ticked: asyncio.Event) -> None:
    ticked.set()


async def test_execute_refuses_the_asyncio_client(service: Any) -> None:
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        with pytest.raises(TypeError, match="execute_async"):
            Step(client).url("https://api.example.com").execute()
