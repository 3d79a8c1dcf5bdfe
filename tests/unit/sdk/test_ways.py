"""The way to the service: proxies and certificates of the environment, and servers that are others."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ezthrottle import (
    AuthenticationError,
    EZThrottle,
    EZThrottleError,
    InvalidJobError,
    ServiceUnreachableError,
)
from ezthrottle._http.ways import Ways, _authorities, is_loopback

API_KEY = "ck_live_cust_acme_s3cr3t"
JOBS = "/api/v1/jobs"
URL = "https://api.example.com"
_SELF_SIGNED = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
NOWHERE = "http://ezthrottle.example.invalid:8080"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("http", "https", "all", "no"):
        for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    _authorities.cache_clear()


DESKTOPS = [
    ("no_proxy", "localhost,[::1]"),
    ("NO_PROXY", "fd07:b51a::/64"),
    ("ALL_PROXY", "socks://127.0.0.1:9"),
    ("all_proxy", "socks5://127.0.0.1:9"),
    ("http_proxy", "http://127.0.0.1:9"),
    ("HTTP_PROXY", "127.0.0.1:9"),
    ("HTTPS_PROXY", "not a proxy at all"),
    ("SSL_CERT_FILE", "/nonexistent.pem"),
    ("SSL_CERT_DIR", "/nonexistent"),
]


@pytest.mark.parametrize(("name", "value"), DESKTOPS)
def test_what_a_shell_sets_is_nothing_to_a_service_on_this_machine(
    service: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with EZThrottle(API_KEY, base_url=service.url) as client:
        assert client.submit_job(URL)["status"] == "queued"
        assert client.request(service.url).status_code == 404


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:9"),
        ("all_proxy", "socks5://127.0.0.1:9"),
        ("http_proxy", "http://127.0.0.1:port"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with (
        EZThrottle(API_KEY, base_url=NOWHERE) as client,
        pytest.raises(EZThrottleError, match=rf"^{name} names"),
    ):
        client.usage()


def test_a_proxy_that_does_not_answer_is_named(dead_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", dead_url)
    with (
        EZThrottle(API_KEY, base_url=NOWHERE, max_attempts=1) as client,
        pytest.raises(ServiceUnreachableError, match=r"through the proxy of HTTP_PROXY.*NO_PROXY"),
    ):
        client.usage()


@pytest.mark.parametrize("status", [403, 407, 404])
def test_a_proxy_that_answers_itself_is_named(
    target: Any, answer: Any, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    target.on("GET", "/api/v1/usage", answer(status, "<html>Forbidden</html>"))
    monkeypatch.setenv("http_proxy", target.url)
    with (
        EZThrottle(API_KEY, base_url=NOWHERE) as client,
        pytest.raises(EZThrottleError, match="http_proxy") as told,
    ):
        client.usage()
    assert "target that the service may reach" not in str(told.value)


def test_a_host_of_no_proxy_goes_without_one() -> None:
    ways = Ways({"http": "http://proxy.example.com:3128"})
    assert ways.to(httpx.URL("http://api.example.com")).proxy == "http://proxy.example.com:3128"
    assert ways.to(httpx.URL("https://api.example.com")).proxy is None
    for host in ("localhost", "[::1]", "127.0.0.1", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0", "a.localhost."):
        assert ways.to(httpx.URL(f"http://{host}:8080")).proxy is None


def test_no_proxy_is_read_as_the_environment_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", "internal.example.com,[::1],fd07:b51a::/64")
    assert Ways().to(httpx.URL("http://ez.internal.example.com")).proxy is None
    way = Ways().to(httpx.URL("http://api.example.com"))
    assert (way.proxy, way.variable) == ("http://proxy.example.com:3128", "HTTP_PROXY")


@pytest.mark.parametrize("host", ["example.com", "10.0.0.1", "localhost.example.com", "128.1", "127"])
def test_other_hosts_are_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE"])
def test_certificates_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/nonexistent.pem")
    with (
        EZThrottle(API_KEY, base_url="https://127.0.0.1:9") as client,
        pytest.raises(EZThrottleError, match=name),
    ):
        client.usage()


@pytest.fixture
def strange_tls(tmp_path: Path) -> Iterator[tuple[str, list[int]]]:
    """A TLS server whose certificate nobody has signed; counts who comes."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", *_SELF_SIGNED.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    came: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                came.append(1)
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}", came
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.submit_job(URL),
        lambda client: client.wait("job_1_2", timeout=30),
        lambda client: list(client.stream("job_1_2", timeout=30)),
    ],
)
def test_a_certificate_that_is_not_trusted_is_tried_once(strange_tls: Any, call: Any) -> None:
    url, came = strange_tls
    with (
        EZThrottle(API_KEY, base_url=url) as client,
        pytest.raises(ServiceUnreachableError, match="SSL_CERT_FILE"),
    ):
        call(client)
    assert len(came) == 1


def test_a_server_without_tls_is_tried_once_with_it(service: Any) -> None:
    with (
        EZThrottle(API_KEY, base_url=service.url.replace("http:", "https:")) as client,
        pytest.raises(ServiceUnreachableError, match=r"1 attempt.*base_url"),
    ):
        client.usage()


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("said", [{"status": "ok"}, {"id": 7}, {}, [], "<html>"])
def test_an_acknowledgement_of_another_server_is_none(
    client: EZThrottle, service: Any, answer: Any, status: int, said: Any
) -> None:
    service.on("POST", JOBS, answer(status, said))
    with pytest.raises(EZThrottleError, match=re.escape("base_url (or EZTHROTTLE_URL)")):
        client.submit_job(URL)


def test_a_job_of_another_server_is_not_waited_for(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", f"{JOBS}/job_1_2", answer(200, {"job": "of another kind"}))
    for call in (client.wait, client.get_job):
        with pytest.raises(EZThrottleError, match="no 'state' in it"):
            call("job_1_2")


@pytest.mark.parametrize(
    ("status", "error"), [(400, InvalidJobError), (401, AuthenticationError), (404, EZThrottleError)]
)
def test_a_refusal_of_another_server_says_so(
    client: EZThrottle, service: Any, answer: Any, status: int, error: type[Exception]
) -> None:
    service.on("POST", JOBS, answer(status, {"detail": "Not Found"}))
    with pytest.raises(error, match="answers otherwise: check base_url"):
        client.submit_job(URL)


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/", "/behind/api/v1", "/api/v1/jobs"])
def test_an_address_with_the_calls_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="without /api/v1"):
        EZThrottle(API_KEY, base_url=f"http://127.0.0.1:8080{path}")
