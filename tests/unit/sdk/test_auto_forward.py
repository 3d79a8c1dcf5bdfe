import socket
import sys
import types
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import urllib3

import ezthrottle
from ezthrottle import AsyncEZThrottle, EZThrottle, ForwardToEZThrottle, auto_forward

API_KEY = "ck_live_cust_acme_s3cr3t"
JOB_ID = "job_1763674210055_853341"
JOBS = "/api/v1/jobs"
QUEUED = {"job_id": JOB_ID, "status": "queued"}


def _post_with_requests(url: str, content: Any = None, **arguments: Any) -> Any:
    with requests.Session() as session:
        response = session.post(url, content, timeout=10, **arguments)
        response.raise_for_status()
        return response.json()


def _post_with_httpx(url: str, content: Any = None, **arguments: Any) -> Any:
    with httpx.Client(timeout=10) as http:
        return http.post(url, content=content, **arguments).raise_for_status().json()


@pytest.fixture(params=[_post_with_requests, _post_with_httpx])
def post(request: pytest.FixtureRequest) -> Iterator[Any]:
    return request.param


def test_a_function_that_succeeds_is_left_alone(client: EZThrottle, service: Any) -> None:
    @auto_forward(client)
    def add(a: int, b: int = 2) -> int:
        """Add two numbers."""
        return a + b

    assert add(1, b=4) == 5
    assert (add.__name__, add.__doc__) == ("add", "Add two numbers.")
    assert service.seen == []


def test_what_the_exception_describes_is_submitted(client: EZThrottle, service: Any) -> None:
    @ezthrottle.auto_forward(client)
    def charge() -> None:
        raise ForwardToEZThrottle(
            url="https://api.example.com/charge",
            method="POST",
            headers={"Authorization": "Bearer sk_live"},
            body='{"amount": 1000}',
            idempotent_key="order_42",
            metadata={"order": "42"},
            webhooks=[{"url": "https://app.example.com"}],
            regions=["iad"],
        )

    assert charge() == QUEUED
    assert service.seen[0].json() == {
        "url": "https://api.example.com/charge",
        "method": "POST",
        "headers": {"Authorization": "Bearer sk_live"},
        "body": '{"amount": 1000}',
        "idempotent_key": "order_42",
        "metadata": {"order": "42"},
        "webhooks": [{"url": "https://app.example.com"}],
        "regions": ["iad"],
    }


def test_without_a_key_each_forwarding_is_a_job_of_its_own(client: EZThrottle, service: Any) -> None:
    @auto_forward(client)
    def poll() -> None:
        raise ForwardToEZThrottle(url="https://api.example.com")

    poll()
    poll()
    keys = [seen.json()["idempotent_key"] for seen in service.seen]
    assert len({uuid.UUID(key) for key in keys}) == 2


def test_an_exception_without_a_url_is_refused(client: EZThrottle, service: Any) -> None:
    @auto_forward(client)
    def forget() -> None:
        raise ForwardToEZThrottle

    with pytest.raises(ValueError, match="url"):
        forget()
    assert service.seen == []


def test_an_error_status_is_forwarded_as_it_was_requested(
    client: EZThrottle, service: Any, target: Any, answer: Any, post: Any
) -> None:
    target.on("POST", "/charge", answer(429))
    charge = auto_forward(client, fallback_on_error=[429, 500])(post)
    headers = {"Authorization": "Bearer sk_live", "X-A": "1", "Connection": "close, X-Hop", "X-Hop": "1"}

    assert charge(f"{target.url}/charge?dry=1", json={"amount": 1000}, headers=headers) == QUEUED
    job = service.seen[0].json()
    assert (job["url"], job["method"]) == (f"{target.url}/charge?dry=1", "POST")
    assert job["body"].replace(" ", "") == '{"amount":1000}'
    sent = {name.lower(): value for name, value in job["headers"].items()}
    assert (sent["authorization"], sent["x-a"], sent["content-type"]) == (
        "Bearer sk_live",
        "1",
        "application/json",
    )
    assert not {"host", "content-length", "connection", "x-hop", "transfer-encoding"} & set(sent)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_the_usual_errors_are_forwarded_unless_others_are_given(
    client: EZThrottle, target: Any, answer: Any, post: Any, status: int
) -> None:
    target.on("POST", "/charge", answer(status))
    assert auto_forward(client)(post)(f"{target.url}/charge") == QUEUED


def test_another_error_status_is_raised_as_before(
    client: EZThrottle, service: Any, target: Any, answer: Any, post: Any
) -> None:
    target.on("POST", "/charge", answer(404))
    with pytest.raises((requests.HTTPError, httpx.HTTPStatusError)):
        auto_forward(client)(post)(f"{target.url}/charge")
    target.on("POST", "/charge", answer(503))
    with pytest.raises((requests.HTTPError, httpx.HTTPStatusError)):
        auto_forward(client, fallback_on_error=[429])(post)(f"{target.url}/charge")
    assert service.seen == []


def test_a_connection_error_is_forwarded(client: EZThrottle, service: Any, dead_url: str, post: Any) -> None:
    assert auto_forward(client)(post)(f"{dead_url}/charge", content=b"text") == QUEUED
    assert (service.seen[0].json()["url"], service.seen[0].json()["body"]) == (f"{dead_url}/charge", "text")


def test_a_dropped_connection_is_forwarded(client: EZThrottle, target: Any, answer: Any, post: Any) -> None:
    target.on("POST", "/charge", answer(drop=True))
    assert auto_forward(client)(post)(f"{target.url}/charge") == QUEUED


def test_an_error_of_another_kind_is_raised_as_before(client: EZThrottle, service: Any) -> None:
    @auto_forward(client)
    def fail(error: Exception) -> None:
        raise error

    for error in (
        KeyError("no"),
        ConnectionRefusedError("no request in it"),
        requests.ConnectionError("no request in it"),
        httpx.ConnectError("no request in it"),
        httpx.UnsupportedProtocol("no connection", request=httpx.Request("GET", "ftp://api.example.com")),
    ):
        with pytest.raises(type(error)) as caught:
            fail(error)
        assert caught.value is error
    assert service.seen == []


def test_a_body_that_is_not_text_is_forwarded_as_base64(
    client: EZThrottle, service: Any, dead_url: str, post: Any
) -> None:
    assert auto_forward(client)(post)(dead_url, content=b"\xff\xfe") == QUEUED
    assert (service.seen[0].json()["body"], service.seen[0].json()["body_encoding"]) == ("//4=", "base64")


def test_a_body_that_is_a_stream_stays_failed_and_says_so(
    client: EZThrottle, service: Any, dead_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(requests.ConnectionError):
        auto_forward(client)(_post_with_requests)(dead_url, content=iter([b"a"]))
    with pytest.raises(httpx.ConnectError):
        auto_forward(client)(_post_with_httpx)(dead_url, content=iter([b"a"]))
    assert "cannot be forwarded" in caplog.text
    assert service.seen == []


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The address of a server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def _with_requests(method: str, url: str) -> Any:
    with requests.Session() as session:
        return session.request(method, url, data="text", timeout=0.05)


def _with_httpx(method: str, url: str) -> Any:
    with httpx.Client(timeout=0.05, trust_env=False) as http:
        return http.request(method, url, content="text")


def _with_urllib3(method: str, url: str) -> Any:
    with urllib3.PoolManager(timeout=0.05, retries=False) as pool:
        return pool.request(method, url, body=b"text", headers={"X-A": "1"})


def _as_openai_does(method: str, url: str) -> Any:
    try:
        return _with_httpx(method, url)
    except httpx.HTTPError as error:
        raise WrappingError(error.request) from error


class WrappingError(Exception):
    """As libraries made by the same generator as openai's have it: the request, and no response."""

    def __init__(self, request: httpx.Request) -> None:
        super().__init__("Connection error.")
        self.request = request


LIBRARIES = [_with_requests, _with_httpx, _with_urllib3, _as_openai_does]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_without_a_connection_is_forwarded(
    client: EZThrottle, service: Any, dead_url: str, library: Any, method: str
) -> None:
    assert auto_forward(client)(library)(method, f"{dead_url}/charge?dry=1") == QUEUED
    job = service.seen[0].json()
    assert (job["url"], job["method"], job["body"]) == (f"{dead_url}/charge?dry=1", method, "text")


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_post_that_timed_out_is_forwarded_only_where_that_is_wanted(
    client: EZThrottle, service: Any, silent_url: str, caplog: pytest.LogCaptureFixture, library: Any
) -> None:
    for method in ("POST", "PATCH"):
        with pytest.raises(
            (requests.Timeout, httpx.TimeoutException, urllib3.exceptions.TimeoutError, WrappingError)
        ):
            auto_forward(client)(library)(method, silent_url)
    assert service.seen == []
    assert "forward_timeouts=True" in caplog.text
    assert auto_forward(client, forward_timeouts=True)(library)("POST", silent_url) == QUEUED
    assert auto_forward(client)(library)("PUT", silent_url) == QUEUED


def test_the_successor_of_httpx_is_known_too(
    client: EZThrottle, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As that library has them, which is not installed here: classes of the same names and ancestors.
    successor = types.ModuleType("httpx2")
    for name in ("NetworkError", "TimeoutException", "RemoteProtocolError", "ProxyError"):
        setattr(successor, name, type(name, (Exception,), {}))
    for name in ("ConnectTimeout", "PoolTimeout"):
        setattr(successor, name, type(name, (successor.TimeoutException,), {}))
    monkeypatch.setitem(sys.modules, "httpx2", successor)

    def fail(cause: type[Exception]) -> None:
        raise WrappingError(httpx.Request("POST", "https://api.example.com", content="text")) from cause()

    for kind in ("NetworkError", "ConnectTimeout", "ProxyError"):
        assert auto_forward(client)(fail)(getattr(successor, kind)) == QUEUED
    with pytest.raises(WrappingError):
        auto_forward(client)(fail)(successor.TimeoutException)
    assert len(service.seen) == 3


def test_the_last_of_several_attempts_of_urllib3_is_read(
    client: EZThrottle, service: Any, dead_url: str
) -> None:
    @auto_forward(client)
    def post() -> Any:
        with urllib3.PoolManager(retries=urllib3.Retry(2, backoff_factor=0)) as pool:
            return pool.request(
                "POST", f"{dead_url}/a", body="text", headers={"X-A": "1", "Connection": "close"}
            )

    assert post() == QUEUED
    job = service.seen[0].json()
    assert (job["url"], job["body"], job["headers"]) == (f"{dead_url}/a", "text", {"X-A": "1"})


def test_the_decorators_fields_are_the_jobs_but_for_those_that_it_names(
    client: EZThrottle, service: Any, dead_url: str, post: Any
) -> None:
    hook = {"url": "https://app.example.com/hook"}
    forwards = auto_forward(
        client,
        webhooks=[hook],
        regions=["iad"],
        retry_policy={"max_retries": 5},
        metadata={"by": "decorator"},
    )

    def fail() -> None:
        raise ForwardToEZThrottle(
            url="https://api.example.com", metadata={"by": "exception"}, regions=["lax"]
        )

    forwards(post)(dead_url)
    forwards(fail)()
    first, second = (seen.json() for seen in service.seen)
    for job in (first, second):
        assert (job["webhooks"], job["retry_policy"]) == ([hook], {"max_retries": 5})
    assert (first["regions"], first["metadata"]) == (["iad"], {"by": "decorator"})
    assert (second["regions"], second["metadata"]) == (["lax"], {"by": "exception"})


async def test_coroutine_functions_are_forwarded_by_either_client(service: Any, client: EZThrottle) -> None:
    async def charge() -> str:
        raise ForwardToEZThrottle(url="https://api.example.com")

    async def succeed() -> str:
        return "done"

    async with AsyncEZThrottle(API_KEY, base_url=service.url) as asynchronous:
        assert await auto_forward(asynchronous)(charge)() == QUEUED
    assert await auto_forward(client)(charge)() == QUEUED
    assert await auto_forward(client)(succeed)() == "done"


async def test_an_error_of_a_coroutine_is_raised_as_before(client: EZThrottle) -> None:
    @auto_forward(client)
    async def fail() -> None:
        raise KeyError("no")

    with pytest.raises(KeyError):
        await fail()


async def test_the_asyncio_client_is_refused_for_a_plain_function(service: Any) -> None:
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        with pytest.raises(TypeError, match="coroutine"):
            auto_forward(client)(lambda: None)
