from typing import Any

import pytest

from ezthrottle import (
    AsyncEZThrottle,
    EZThrottle,
    EZThrottleError,
    JobEvent,
    NotFoundError,
    ServiceUnavailableError,
    ServiceUnreachableError,
    TimeoutError,  # noqa: A004 - the published name
)
from ezthrottle._http.blocking_runtime import Blocking

API_KEY = "ck_live_cust_acme_s3cr3t"
JOB_ID = "job_1763674210055_853341"
PATH = f"/api/v1/jobs/{JOB_ID}/stream"

QUEUED = b'id: 1\nevent: queued\ndata: {"position": 3}\n\n'
ATTEMPT = b'id: 2\nevent: attempt\ndata: {"region": "iad",\ndata: "attempt": 1}\n\n'
COMPLETED = b'id: 3\nevent: completed\ndata: {"state": "success"}\n\n'
NAMES = ["queued", "attempt", "completed"]


def _stream_of(answer: Any, *parts: bytes, **headers: str) -> Any:
    return answer(200, b"".join(parts), {"Content-Type": "text/event-stream; charset=utf-8", **headers})


def _cut(answer: Any, *parts: bytes) -> Any:
    # More is announced than comes, so that the stream is seen to break and not to end.
    return _stream_of(answer, *parts, **{"Content-Length": "9999", "Connection": "close"})


def _silent(answer: Any, *parts: bytes) -> Any:
    return _stream_of(answer, *parts, **{"Content-Length": "9999"})


def test_events_come_in_order_until_the_jobs_end(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", PATH, _stream_of(answer, b": hello\n\n", QUEUED, ATTEMPT, COMPLETED, QUEUED))
    assert list(client.stream(JOB_ID)) == [
        JobEvent("queued", {"position": 3}, "1"),
        JobEvent("attempt", {"region": "iad", "attempt": 1}, "2"),
        JobEvent("completed", {"state": "success"}, "3"),
    ]
    (asked,) = service.seen
    assert asked.headers["accept"] == "text/event-stream"
    assert asked.headers["authorization"] == f"Bearer {API_KEY}"
    assert "last-event-id" not in asked.headers


def test_a_failure_is_an_end_too(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", PATH, _stream_of(answer, b'event: failed\ndata: {"code": "timeout"}\n\n'))
    assert [event.ends for event in client.stream(JOB_ID)] == [True]


@pytest.mark.parametrize("dropped", [_stream_of, _cut])
def test_a_dropped_stream_goes_on_after_the_last_event(
    client: EZThrottle, service: Any, answer: Any, dropped: Any
) -> None:
    service.on("GET", PATH, dropped(answer, QUEUED, ATTEMPT[:-1]), _stream_of(answer, ATTEMPT, COMPLETED))
    assert [event.name for event in client.stream(JOB_ID)] == NAMES
    assert [seen.headers.get("last-event-id") for seen in service.seen] == [None, "1"]


def test_a_stream_that_was_never_made_is_asked_for_again(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    service.on("GET", PATH, answer(drop=True), answer(503), _stream_of(answer, COMPLETED))
    assert [event.name for event in client.stream(JOB_ID)] == ["completed"]


def test_drops_are_not_counted_against_a_stream_that_goes_on(service: Any, answer: Any) -> None:
    drops = [_cut(answer, QUEUED)] * 6
    service.on("GET", PATH, *drops, _stream_of(answer, COMPLETED))
    with EZThrottle(API_KEY, base_url=service.url, max_attempts=2) as client:
        assert len(list(client.stream(JOB_ID))) == 7


def test_a_silent_stream_is_asked_for_again(
    service: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ezthrottle._operations.streams._HELD_S", 0.05)
    service.on("GET", PATH, _silent(answer), _silent(answer), _stream_of(answer, COMPLETED))
    with EZThrottle(API_KEY, base_url=service.url, timeout=0.3, max_attempts=2) as client:
        assert [event.name for event in client.stream(JOB_ID)] == ["completed"]


def test_a_service_that_stays_away_is_named(dead_url: str) -> None:
    with (
        EZThrottle(API_KEY, base_url=dead_url, timeout=0.2) as client,
        pytest.raises(ServiceUnreachableError, match="attempt"),
    ):
        list(client.stream(JOB_ID))


def test_streams_that_end_at_once_are_given_up_in_time(service: Any, answer: Any) -> None:
    service.on("GET", PATH, _stream_of(answer))
    with (
        EZThrottle(API_KEY, base_url=service.url, timeout=0.3) as client,
        pytest.raises(ServiceUnreachableError, match="ends before the job"),
    ):
        list(client.stream(JOB_ID))


def test_a_service_that_restarts_is_waited_for(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", PATH, *[answer(503)] * 8, _stream_of(answer, COMPLETED))
    assert [event.name for event in client.stream(JOB_ID)] == ["completed"]


def test_the_pause_that_the_service_asks_for_is_made(
    client: EZThrottle, service: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def sleep(_: Blocking, seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(Blocking, "sleep", sleep)
    service.on("GET", PATH, _stream_of(answer, b"retry: 2000\n\n"), _stream_of(answer, COMPLETED))
    assert len(list(client.stream(JOB_ID))) == 1
    assert pauses == [2.0]


@pytest.mark.parametrize(("status", "error"), [(404, NotFoundError), (500, ServiceUnavailableError)])
def test_a_refusal_is_raised(
    client: EZThrottle, service: Any, answer: Any, status: int, error: type[EZThrottleError]
) -> None:
    service.on("GET", PATH, answer(status, {"error": "no such job"}))
    with pytest.raises(error, match="no such job"):
        list(client.stream(JOB_ID))


def test_what_is_no_stream_is_named(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", PATH, answer(200, "<html>", {"Content-Type": "text/html"}))
    with pytest.raises(EZThrottleError, match="no event stream"):
        list(client.stream(JOB_ID))


def test_a_stream_ends_when_its_time_is_over(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", PATH, _silent(answer, QUEUED))
    stream = client.stream(JOB_ID, timeout=0.3)
    assert next(stream).name == "queued"
    with pytest.raises(TimeoutError, match=r"0\.3 s"):
        next(stream)


def test_leaving_a_stream_early_leaves_the_client_usable(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    service.on("GET", PATH, _silent(answer, QUEUED))
    for event in client.stream(JOB_ID):
        assert event.name == "queued"
        break
    assert client.submit_job("https://api.example.com")["status"] == "queued"


async def test_the_asyncio_client_streams_across_drops(service: Any, answer: Any) -> None:
    service.on(
        "GET",
        PATH,
        answer(503),
        _cut(answer, QUEUED),
        answer(drop=True),
        _stream_of(answer, ATTEMPT, COMPLETED),
    )
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        assert [event.name async for event in client.stream(JOB_ID)] == NAMES
    assert [seen.headers.get("last-event-id") for seen in service.seen] == [None, None, "1", "1"]


async def test_the_asyncio_client_raises_a_refusal(service: Any, answer: Any) -> None:
    service.on("GET", PATH, answer(404, {"error": "no such job"}))
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        with pytest.raises(NotFoundError, match="no such job"):
            [event async for event in client.stream(JOB_ID)]
