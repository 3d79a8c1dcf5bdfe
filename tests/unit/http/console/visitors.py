"""People before the console of the gateway in memory."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from orchestrator.adapters.http.app import make_app
from orchestrator.adapters.http.fast_lane import FastLane
from tests.unit.http.gateway import Gateway

_TOKEN = re.compile(r'name="token" value="([^"]+)"')


@dataclass
class Visitor:
    """A browser that has signed in."""

    http: httpx.AsyncClient

    async def open(self, path: str = "", **query: str) -> httpx.Response:
        """Open a page of the console."""
        return await self.http.get(f"/console{path}", params=query)

    async def page(self, path: str = "", **query: str) -> str:
        """Open a page that is there, and give its HTML."""
        answer = await self.open(path, **query)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.text

    async def token(self) -> str:
        """Read what the forms of this session carry."""
        found = _TOKEN.search(await self.page("/jobs"))
        assert found is not None
        return found[1]

    async def act(self, path: str, **fields: Any) -> httpx.Response:
        """Send a form of this session's."""
        return await self.http.post(f"/console{path}", data={"token": await self.token()} | fields)


@asynccontextmanager
async def browser(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """Open a browser: it keeps cookies, and has no key."""
    transport = httpx.ASGITransport(FastLane(make_app(gateway.backend), gateway.backend))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


@asynccontextmanager
async def visitor(gateway: Gateway, key: str) -> AsyncIterator[Visitor]:
    """Sign in with a key."""
    async with browser(gateway) as http:
        answer = await http.post("/console/sign-in", data={"key": key})
        assert answer.status_code == 303, answer.text
        yield Visitor(http)
