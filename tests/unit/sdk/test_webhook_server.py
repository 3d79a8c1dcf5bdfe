import hashlib
import hmac
import http.client
import importlib.util
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from ezthrottle import EZThrottle, EZThrottleError, WebhookServer, create_webhook_server
from ezthrottle.webhook import FastAPIWebhookServer, FlaskWebhookServer

API_KEY = "ck_live_cust_acme_s3cr3t"
SECRET = "a_secret_of_16_or_more"
DELIVERY = {"job_id": "job_1_2", "status": "success", "response": {"status_code": 200, "body": "{}"}}


BACKENDS = {"fastapi": FastAPIWebhookServer, "flask": FlaskWebhookServer, "http": WebhookServer}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(backend: str) -> Iterator[WebhookServer]:
    with create_webhook_server(port=0, backend=backend) as started:
        yield started


def test_a_delivery_is_acknowledged_and_kept(server: WebhookServer) -> None:
    response = httpx.post(server.get_url(), json=DELIVERY)
    assert (response.status_code, response.json()) == (200, {"status": "received"})
    assert server.results["job_1_2"] == DELIVERY
    assert server.wait_for_result("job_1_2", timeout=0) == DELIVERY


def test_a_result_is_waited_for(server: WebhookServer) -> None:
    results: list[object] = []
    waiting = threading.Thread(target=lambda: results.append(server.wait_for_result("job_1_2", timeout=30)))
    waiting.start()
    httpx.post(server.get_url(), json={**DELIVERY, "job_id": "job_3_4"})
    httpx.post(server.get_url(), json=DELIVERY)
    waiting.join(timeout=20)
    assert results == [DELIVERY]


def test_a_result_that_does_not_come_is_none(server: WebhookServer) -> None:
    assert server.wait_for_result("job_1_2", timeout=0.01) is None


def test_the_callback_hears_of_every_delivery() -> None:
    heard: list[tuple[str, object]] = []
    both = threading.Barrier(3)

    def callback(job_id: str, data: dict[str, Any]) -> None:
        heard.append((job_id, data))
        both.wait(20)

    with create_webhook_server(callback, 0) as server:
        httpx.post(server.get_url(), json=DELIVERY)
        httpx.post(server.get_url(), json=DELIVERY)
        both.wait(20)
    assert heard == [("job_1_2", DELIVERY)] * 2


def test_a_callback_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    logged = threading.Event()

    class Signalling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.set()

    logger, handler = logging.getLogger("ezthrottle"), Signalling()
    logger.addHandler(handler)
    try:
        with create_webhook_server(lambda *_: 1 / 0, 0) as server:
            assert httpx.post(server.get_url(), json=DELIVERY).status_code == 200
            assert logged.wait(20)
    finally:
        logger.removeHandler(handler)
    assert "job_1_2" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"{}", b'{"job_id": 7, "status": "success"}', b'{"job_id": "a"}', b"\xff"],
)
def test_what_is_no_delivery_is_refused(server: WebhookServer, body: bytes) -> None:
    assert httpx.post(server.get_url(), content=body).status_code == 400
    assert server.results == {}


def test_other_paths_are_not_found(server: WebhookServer) -> None:
    assert httpx.post(f"http://127.0.0.1:{server.port}/other", json=DELIVERY).status_code == 404


def test_a_delivery_without_a_length_or_of_excessive_length_is_refused(server: WebhookServer) -> None:
    for headers, statuses in (
        ({}, {411}),
        # uvicorn refuses lengths that are none by itself, with 400.
        ({"Content-Length": "-1"}, {411, 400}),
        ({"Content-Length": "²"}, {411, 400}),
        ({"Content-Length": "99999999"}, {413}),
        ({"Content-Length": "9" * 5000}, {413, 400}),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.putrequest("POST", "/webhook")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status in statuses
        connection.close()


def test_with_a_secret_only_signed_deliveries_are_taken(backend: str) -> None:
    body = b'{"job_id": "job_1_2", "status": "success"}'
    now = int(time.time())
    signature = hmac.new(SECRET.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    with create_webhook_server(port=0, backend=backend, secret=SECRET) as server:
        assert httpx.post(server.get_url(), content=body).status_code == 401
        forged = {"X-EZThrottle-Signature": f"t={now},v1={'0' * 64}"}
        assert httpx.post(server.get_url(), content=body, headers=forged).status_code == 401
        assert server.results == {}
        signed = {"X-EZThrottle-Signature": f"t={now},v1={signature}"}
        assert httpx.post(server.get_url(), content=body, headers=signed).status_code == 200


def test_the_address_is_the_published_one_unless_another_is_given() -> None:
    assert WebhookServer().get_url() == "http://localhost:5000/webhook"
    assert WebhookServer(port=6000).get_url() == "http://localhost:6000/webhook"
    assert WebhookServer(host="192.0.2.7").get_url() == "http://192.0.2.7:5000/webhook"
    assert (
        WebhookServer(public_url="https://app.example.com/hook").get_url() == "https://app.example.com/hook"
    )


def test_a_backend_has_its_server(backend: str) -> None:
    assert type(create_webhook_server(port=0, backend=backend)) is BACKENDS[backend]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ([], FastAPIWebhookServer),
        (["fastapi"], FlaskWebhookServer),
        (["uvicorn"], FlaskWebhookServer),
        (["fastapi", "flask"], WebhookServer),
    ],
)
def test_without_a_choice_the_best_installed_backend_serves(
    missing: list[str], expected: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    assert type(create_webhook_server(port=0)) is expected


@pytest.mark.parametrize("kind", [FastAPIWebhookServer, FlaskWebhookServer])
def test_a_program_may_add_paths_of_its_own(kind: Any) -> None:
    server = kind(port=0)
    server.app.get("/health")(lambda: {"up": True})
    with server:
        assert httpx.get(f"http://127.0.0.1:{server.port}/health").json() == {"up": True}
        assert httpx.post(server.get_url(), json=DELIVERY).status_code == 200


def test_an_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'twisted'.*'auto', 'fastapi', 'flask', 'http'"):
        create_webhook_server(backend="twisted")


def test_starting_twice_and_stopping_twice_does_no_harm(backend: str) -> None:
    server = create_webhook_server(port=0, backend=backend)
    server.start()
    port = server.port
    server.start()
    assert server.port == port
    server.stop()
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.post(server.get_url(), json=DELIVERY)


def test_a_taken_port_is_named(server: WebhookServer, backend: str) -> None:
    with pytest.raises(EZThrottleError, match=str(server.port)):
        create_webhook_server(port=server.port, backend=backend).start()


def test_a_client_starts_and_stops_the_server_that_it_was_asked_for(service: Any) -> None:
    with EZThrottle(API_KEY, base_url=service.url, start_webhook_server=True, webhook_port=0) as client:
        url = client.webhook_server.get_url()
        assert urlsplit(url).path == "/webhook"
        assert httpx.post(url, json=DELIVERY).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.post(url, json=DELIVERY)


def test_a_client_leaves_a_server_that_it_was_given_alone(service: Any, server: WebhookServer) -> None:
    with EZThrottle(
        API_KEY, base_url=service.url, webhook_server=server, start_webhook_server=True
    ) as client:
        assert client.webhook_server is server
    assert httpx.post(server.get_url(), json=DELIVERY).status_code == 200


def test_only_the_newest_results_are_kept(server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ezthrottle.webhook.MOST_RESULTS", 2)
    for number in range(3):
        httpx.post(server.get_url(), json={**DELIVERY, "job_id": f"job_{number}"})
    assert list(server.results) == ["job_1", "job_2"]
