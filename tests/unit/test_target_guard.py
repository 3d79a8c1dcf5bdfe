"""The courtesy check of targets at submission."""

import asyncio
import socket
from typing import Any

import pytest

from orchestrator.adapters.target_guard import ResolvingGuard
from orchestrator.ports.clock import SystemClock


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names that were resolved; each resolves to a private address once its neighbours have asked too."""
    names: list[str] = []

    async def getaddrinfo(self: Any, host: str, *args: Any, **kwargs: Any) -> list[Any]:
        names.append(host)
        await asyncio.sleep(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 0))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return names


def a_guard() -> ResolvingGuard:
    return ResolvingGuard(allow_private=False, allow_targets="", clock=SystemClock())


async def test_many_jobs_for_one_name_ask_for_it_once(asked: list[str]) -> None:
    guard = a_guard()
    urls = [f"http://a.example/{n}" for n in range(50)]
    answers = await asyncio.gather(*(guard.refusals([url]) for url in urls), guard.refusals(urls))
    assert asked == ["a.example"]
    assert list(answers[-1]) == urls
    assert len({refusal for answer in answers for refusal in answer.values()}) == 1


async def test_a_url_that_may_be_called_is_not_among_the_refused(asked: list[str]) -> None:
    refused = await a_guard().refusals(["http://8.8.8.8/", "http://a.example/", "http://a.example/"])
    assert list(refused) == ["http://a.example/"]
    assert asked == ["a.example"]


async def test_who_gives_up_takes_the_answer_from_nobody(asked: list[str]) -> None:
    guard = a_guard()
    first = asyncio.ensure_future(guard.refusals(["http://a.example/"]))
    second = asyncio.ensure_future(guard.refusals(["http://a.example/2"]))
    await asyncio.sleep(0)
    first.cancel()
    assert await second
    assert asked == ["a.example"]
