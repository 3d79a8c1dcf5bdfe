"""The courtesy check of targets at submission."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.adapters.target_guard import ResolvingGuard
from orchestrator.ports.clock import SystemClock
from regions.egress.dns import Lookup


class Names:
    """Resolves every name to a private address, once its neighbours have asked too; notes each."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        await asyncio.sleep(0)
        return ["10.0.0.1"]


@pytest.fixture
def names() -> Names:
    return Names()


def a_guard(lookup: Lookup | None = None) -> ResolvingGuard:
    return ResolvingGuard(allow_private=False, allow_targets="", clock=SystemClock(), lookup=lookup)


async def test_many_jobs_for_one_name_ask_for_it_once(names: Names) -> None:
    guard = a_guard(names)
    urls = [f"http://a.example/{n}" for n in range(50)]
    answers = await asyncio.gather(*(guard.refusals([url]) for url in urls), guard.refusals(urls))
    assert names.asked == ["a.example"]
    assert list(answers[-1]) == urls
    assert len({refusal for answer in answers for refusal in answer.values()}) == 1


async def test_a_url_that_may_be_called_is_not_among_the_refused(names: Names) -> None:
    refused = await a_guard(names).refusals(["http://8.8.8.8/", "http://a.example/", "http://a.example/"])
    assert list(refused) == ["http://a.example/"]
    assert names.asked == ["a.example"]


async def test_who_gives_up_takes_the_answer_from_nobody(names: Names) -> None:
    guard = a_guard(names)
    first = asyncio.ensure_future(guard.refusals(["http://a.example/"]))
    second = asyncio.ensure_future(guard.refusals(["http://a.example/2"]))
    await asyncio.sleep(0)
    first.cancel()
    assert await second
    assert names.asked == ["a.example"]


@pytest.fixture
def hanging_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Name servers that never answer, until the test is over."""
    over = threading.Event()

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        over.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    over.set()


@pytest.mark.usefixtures("hanging_names")
async def test_names_that_hang_hold_up_nothing_else() -> None:
    urls = [f"http://{number}.example/" for number in range(100)]
    assert await a_guard().refusals(urls) == {}
    # Their threads hang on. The loop's own pool, which others use, is free.
    async with asyncio.timeout(10):
        assert await asyncio.to_thread(lambda: "free") == "free"
