import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import ezthrottle
from ezthrottle import (
    AsyncEZThrottle,
    EZThrottle,
    EZThrottleError,
    NotFoundError,
    ServiceUnreachableError,
)

API_KEY = "ck_live_cust_acme_s3cr3t"
JOB_ID = "job_1763674210055_853341"
JOB = f"/api/v1/jobs/{JOB_ID}"
RUNNING = {"job_id": JOB_ID, "state": "running"}
ENDED = {"job_id": JOB_ID, "state": "success", "result": {"response": {"status_code": 200}}}


def test_get_job_returns_what_the_service_keeps(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", JOB, answer(200, RUNNING))
    assert client.get_job(JOB_ID) == RUNNING


def test_a_job_that_is_not_ours_is_not_found(client: EZThrottle) -> None:
    with pytest.raises(NotFoundError):
        client.get_job("job_1_2")


def test_a_job_id_cannot_lead_to_another_path(client: EZThrottle, service: Any) -> None:
    with pytest.raises(NotFoundError):
        client.get_job("../webhook-secrets?x=1")
    assert service.seen[0].path == "/api/v1/jobs/..%2Fwebhook-secrets%3Fx%3D1"


@pytest.mark.parametrize("state", ["success", "failed", "cancelled"])
def test_wait_returns_the_job_once_it_has_ended(
    client: EZThrottle, service: Any, answer: Any, state: str
) -> None:
    ended = {**ENDED, "state": state}
    service.on("GET", JOB, answer(200, RUNNING), answer(200, RUNNING), answer(200, ended))
    assert client.wait(JOB_ID, poll_interval=0.01) == ended
    assert len(service.requests("GET", JOB)) == 3


def test_wait_has_the_service_hold_the_question(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", JOB, answer(200, ENDED))
    client.wait(JOB_ID, timeout=300)
    client.wait(JOB_ID, timeout=7.9)
    assert [seen.query["wait"] for seen in service.seen] == ["30", "7"]


def test_wait_gives_up_in_time_while_the_job_goes_on(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", JOB, answer(200, RUNNING))
    start = time.monotonic()
    with pytest.raises(ezthrottle.TimeoutError, match=r"goes on.*get_job") as caught:
        client.wait(JOB_ID, timeout=0.2, poll_interval=60)
    assert time.monotonic() - start < 30
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, EZThrottleError)


def test_wait_outlasts_a_service_that_is_away_for_a_while(service: Any, answer: Any) -> None:
    gone = [answer(drop=True)] * 3
    service.on("GET", JOB, *gone, answer(503), answer(200, ENDED))
    with EZThrottle(API_KEY, base_url=service.url, max_attempts=2) as client:
        assert client.wait(JOB_ID, poll_interval=0.01) == ENDED


def test_wait_says_that_the_service_is_gone_rather_than_that_the_job_is_slow(dead_url: str) -> None:
    with (
        EZThrottle(API_KEY, base_url=dead_url, max_attempts=1) as client,
        pytest.raises(ServiceUnreachableError),
    ):
        client.wait(JOB_ID, timeout=0.1, poll_interval=0.01)


def test_wait_does_not_ask_again_for_an_unknown_job(client: EZThrottle, service: Any) -> None:
    with pytest.raises(NotFoundError):
        client.wait(JOB_ID)
    assert len(service.seen) == 1


def test_queue_and_wait_returns_the_ended_job(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", JOB, answer(200, RUNNING), answer(200, ENDED))
    job = client.queue_and_wait(
        "https://api.example.com", "https://app.example.com/hook", timeout=30, poll_interval=0.01
    )
    assert job == ENDED
    (submitted,) = service.requests("POST", "/api/v1/jobs")
    assert submitted.json()["webhooks"] == [{"url": "https://app.example.com/hook", "has_quorum_vote": True}]


async def test_the_asyncio_client_waits_too(service: Any, answer: Any) -> None:
    service.on("GET", JOB, answer(200, RUNNING), answer(200, ENDED))
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        assert await client.wait(JOB_ID, poll_interval=0.01) == ENDED


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The address of a server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_wait_gives_a_silent_service_no_more_time_than_was_asked_for(silent_url: str) -> None:
    start = time.monotonic()
    with EZThrottle(API_KEY, base_url=silent_url) as client, pytest.raises(ezthrottle.TimeoutError) as caught:
        client.wait(JOB_ID, timeout=0.5)
    assert time.monotonic() - start < 3
    assert isinstance(caught.value.__cause__, ServiceUnreachableError)


def test_queue_and_wait_gives_a_service_that_falls_silent_no_more_time(service: Any, answer: Any) -> None:
    given_up = threading.Event()

    def hold(_: object) -> Any:
        given_up.wait(20)
        return answer(200, ENDED)

    service.on("GET", JOB, hold)
    start = time.monotonic()
    with EZThrottle(API_KEY, base_url=service.url) as client, pytest.raises(ezthrottle.TimeoutError):
        client.queue_and_wait("https://api.example.com", "", timeout=0.5)
    assert time.monotonic() - start < 3
    given_up.set()
