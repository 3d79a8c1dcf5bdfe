import asyncio
import threading
from typing import Any

import httpx
import pytest

from ezthrottle import AsyncEZThrottle, EZThrottle, InvalidJobError, ServiceUnreachableError

API_KEY = "ck_live_cust_acme_s3cr3t"
JOB_ID = "job_1763674210055_853341"
JOBS = "/api/v1/jobs"


async def test_a_job_is_submitted_as_by_the_blocking_client(service: Any, client: EZThrottle) -> None:
    arguments: dict[str, Any] = {"method": "POST", "body": "{}", "regions": ["iad", "lax"], "priority": 9}
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as asynchronous:
        answer = await asynchronous.submit_job("https://api.example.com", **arguments)
    assert answer == client.submit_job("https://api.example.com", **arguments)
    first, second = service.requests("POST", JOBS)
    assert first.json() == second.json()
    assert first.headers["authorization"] == second.headers["authorization"]


async def test_a_lost_submission_is_repeated(service: Any, answer: Any) -> None:
    service.on("POST", JOBS, answer(drop=True), answer(503), answer(202, {"job_id": JOB_ID}))
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        assert (await client.submit_job("https://api.example.com"))["job_id"] == JOB_ID


async def test_a_refusal_is_the_same_error(service: Any, answer: Any) -> None:
    service.on("POST", JOBS, answer(422, {"errors": [{"field": "url", "message": "no host"}]}))
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        with pytest.raises(InvalidJobError, match="url: no host"):
            await client.submit_job("https://")


async def test_submissions_run_side_by_side(service: Any, answer: Any) -> None:
    together = threading.Barrier(5)

    def meet(_: object) -> Any:
        together.wait(20)
        return answer(202, {"job_id": JOB_ID})

    service.on("POST", JOBS, meet)
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        answers = await asyncio.gather(*(client.submit_job("https://api.example.com") for _ in range(5)))
    assert [each["job_id"] for each in answers] == [JOB_ID] * 5


async def test_a_cancelled_submission_stops(service: Any, answer: Any) -> None:
    released = threading.Event()

    def hold(_: object) -> Any:
        released.wait(20)
        return answer(202, {"job_id": JOB_ID})

    service.on("POST", JOBS, hold)
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        task = asyncio.create_task(client.submit_job("https://api.example.com"))
        await asyncio.to_thread(service.wait_for, "POST", JOBS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        released.set()
    assert len(service.seen) == 1


async def test_a_coroutine_can_be_the_fallback(dead_url: str) -> None:
    async def direct() -> str:
        return "direct"

    async with AsyncEZThrottle(API_KEY, base_url=dead_url, max_attempts=1) as client:
        assert await client.forward_or_fallback(direct, "https://api.example.com") == "direct"
        assert await client.forward_or_fallback(lambda: "plain", "https://api.example.com") == "plain"


async def test_an_unreachable_service_is_the_same_error(dead_url: str) -> None:
    async with AsyncEZThrottle(API_KEY, base_url=dead_url, max_attempts=2) as client:
        with pytest.raises(ServiceUnreachableError, match="2 attempt"):
            await client.submit_job("https://api.example.com")


async def test_queue_request_warns_its_caller(service: Any) -> None:
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        with pytest.warns(DeprecationWarning, match="submit_job") as caught:
            await client.queue_request("https://api.example.com", "https://app.example.com")
    assert caught[0].filename == __file__


async def test_the_callers_own_http_client_is_left_open(service: Any) -> None:
    async with httpx.AsyncClient() as http:
        async with AsyncEZThrottle(API_KEY, base_url=service.url, http_client=http) as client:
            await client.submit_job("https://api.example.com")
        assert not http.is_closed
