import gzip
import threading
from typing import Any

import httpx
import pytest

from ezthrottle import AsyncEZThrottle, EZThrottle

API_KEY = "ck_live_cust_acme_s3cr3t"


def test_a_direct_request_goes_past_the_service_and_without_the_key(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    target.on("PUT", "/a", answer(201, "made"))
    response = client.request(f"{target.url}/a", "put", {"X-A": "1"}, "text")

    assert isinstance(response, httpx.Response)
    assert (response.status_code, response.text, response.ok) == (201, "made", True)
    (seen,) = target.seen
    assert (seen.headers["x-a"], seen.body) == ("1", b"text")
    assert "authorization" not in seen.headers
    assert service.seen == []


@pytest.mark.parametrize(("status", "ok"), [(204, True), (304, True), (404, False), (500, False)])
def test_ok_means_a_status_below_400(
    client: EZThrottle, target: Any, answer: Any, status: int, ok: bool
) -> None:
    target.on("GET", "/", answer(status))
    assert client.request(f"{target.url}/").ok is ok


def test_a_compressed_answer_is_decoded_once(client: EZThrottle, target: Any, answer: Any) -> None:
    target.on("GET", "/", answer(200, gzip.compress(b'{"a": 1}'), {"Content-Encoding": "gzip"}))
    response = client.request(f"{target.url}/")
    assert response.json() == {"a": 1}


def test_redirects_are_followed(client: EZThrottle, target: Any, answer: Any) -> None:
    target.on("POST", "/old", answer(303, "", {"Location": "/new"}))
    target.on("GET", "/new", answer(200, "here"))
    response = client.request(f"{target.url}/old", "POST", body="text")
    assert response.text == "here"
    assert [past.status_code for past in response.history] == [303]


def test_the_head_of_a_redirect_is_the_redirects_own(client: EZThrottle, target: Any, answer: Any) -> None:
    target.on("HEAD", "/old", answer(302, "", {"Location": "/new"}))
    response = client.request(f"{target.url}/old", "head")
    assert (response.status_code, response.ok, response.headers["Location"]) == (302, True, "/new")


@pytest.mark.parametrize(("value", "sent"), [("Zoë", "Zoë".encode("latin-1")), ("雪", "雪".encode())])
def test_a_header_may_hold_letters_outside_ascii(
    client: EZThrottle, target: Any, answer: Any, value: str, sent: bytes
) -> None:
    target.on("GET", "/", answer(200))
    client.request(f"{target.url}/", headers={"X-Name": value})
    assert target.seen[0].headers["x-name"].encode("latin-1") == sent


def test_credentials_do_not_follow_a_redirect_to_another_host(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    target.on("GET", "/", answer(302, "", {"Location": f"{service.url}/new"}))
    service.on("GET", "/new", answer(200))
    client.request(f"{target.url}/", headers={"Authorization": "Bearer sk_live"})
    assert "authorization" not in service.seen[0].headers


def test_redirects_without_an_end_are_an_error(client: EZThrottle, target: Any, answer: Any) -> None:
    target.on("GET", "/", answer(302, "", {"Location": "/"}))
    with pytest.raises(httpx.TooManyRedirects):
        client.request(f"{target.url}/")


def test_a_cookie_goes_along_a_redirect_but_not_to_the_next_call(
    client: EZThrottle, target: Any, answer: Any
) -> None:
    target.on("GET", "/login", answer(302, "", {"Location": "/home", "Set-Cookie": "id=7; Path=/"}))
    target.on("GET", "/home", answer(200))
    client.request(f"{target.url}/login")
    client.request(f"{target.url}/home")
    assert [seen.headers.get("cookie") for seen in target.requests("GET", "/home")] == ["id=7", None]


def test_a_silent_server_is_given_up(client: EZThrottle, target: Any, answer: Any) -> None:
    given_up = threading.Event()

    def hold(_: object) -> Any:
        given_up.wait(20)
        return answer(200)

    target.on("GET", "/", hold)
    with pytest.raises(httpx.ReadTimeout):
        client.request(f"{target.url}/", timeout=0.05)
    given_up.set()


def test_a_dead_server_is_an_error_of_httpx(client: EZThrottle, dead_url: str) -> None:
    with pytest.raises(httpx.ConnectError):
        client.request(dead_url)


async def test_the_asyncio_client_asks_directly_too(service: Any, target: Any, answer: Any) -> None:
    target.on("GET", "/old", answer(302, "", {"Location": "/new", "Set-Cookie": "id=7; Path=/"}))
    target.on("GET", "/new", answer(200, "here"))
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        response = await client.request(f"{target.url}/old")
    assert (response.text, response.ok) == ("here", True)
    assert target.seen[-1].headers["cookie"] == "id=7"
