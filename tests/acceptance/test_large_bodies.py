"""A hundred megabytes for which there is no room, sent by clients of several kinds: each reads why."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.service import Service
    from tests.acceptance.conftest import Api

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

MIB = 1024 * 1024
LARGE = 100 * MIB
PATHS = ["/api/v1/jobs", "/api/v1/jobs:batch", "/api/v1/proxy"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("key", "status"), [(True, 413), (False, 401)], ids=["with a key", "without a key"])
def test_httpx_reads_the_refusal(api: Api, service: Service, path: str, *, key: bool, status: int) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(LARGE // MIB):
            yield b"x" * MIB

    headers = {"content-length": str(LARGE)} | ({"authorization": f"Bearer {api.api_key}"} if key else {})
    with httpx.Client(trust_env=False, timeout=60) as client:
        assert client.post(service.base_url + path, content=parts(), headers=headers).status_code == status


@pytest.mark.parametrize("path", PATHS)
def test_who_reads_when_all_is_sent_finds_the_answer(api: Api, service: Service, path: str) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as line:
        key = f"authorization: Bearer {api.api_key}\r\ncontent-length: {LARGE}\r\n\r\n"
        line.sendall(f"POST {path} HTTP/1.1\r\nhost: a\r\n{key}".encode())
        with pytest.raises(ConnectionError):
            line.sendall(b"x" * LARGE)
        assert line.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_the_standard_library_reads_it_where_the_body_is_within_what_is_dropped(
    api: Api, service: Service
) -> None:
    headers = {"Authorization": f"Bearer {api.api_key}"}
    request = urllib.request.Request(f"{service.base_url}/api/v1/jobs", b"x" * (15 * MIB), headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    with refused.value:
        assert refused.value.code == httpx.codes.REQUEST_ENTITY_TOO_LARGE


def test_others_are_served_meanwhile(api: Api, service: Service) -> None:
    lines = [socket.create_connection(("127.0.0.1", service.port), timeout=60) for _ in range(20)]
    for line in lines:
        line.sendall(f"POST /api/v1/jobs HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\n\r\n".encode())
        line.sendall(b"x" * MIB)
    assert api.http.get("/healthz").status_code == httpx.codes.OK
    for line in lines:
        with line:
            assert line.recv(65_536).startswith(b"HTTP/1.1 401 ")
