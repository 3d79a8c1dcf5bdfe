"""Plays a story of the conformance suite's over calls of Ray's actors, in the cluster that RAY_ADDRESS names.

A program of its own: Ray reads how it is to show who it is when it is imported.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import ray

from orchestrator.messages import names
from orchestrator.messages.codec import Header, decode_one, encode
from orchestrator.messages.types import Message
from regions.ray_transport import RemoteActor
from tests.conformance.lines import SENDERS, End, Side, Story
from tests.conformance.link_stories import STORIES

LOOKS_EVERY_S = 0.02


class RayEnd:
    """An end in a process of its own."""

    async def __init__(self, own: str, other: str) -> None:  # type: ignore[misc]  # Ray awaits it
        self._end = End(RemoteActor(other, own).deliver)

    async def deliver(self, sender: str, batch: bytes) -> None:
        self._end.take(sender, batch)

    async def post(self, *encoded: bytes) -> None:
        for message in encoded:
            self._end.mailbox.post(decode_one(message))

    async def begin_life(self, header: Header) -> None:
        self._end.begin_life(header)

    async def readdress(self, header: Header) -> None:
        self._end.mailbox.readdress(header)

    async def came(self) -> list[tuple[str, bytes]]:
        return [(sender, encode(message)) for sender, message in self._end.came]

    async def pid(self) -> int:
        return os.getpid()


class Seen:
    """What came to an end, as it was when it was last asked."""

    def __init__(self) -> None:
        self.came: list[tuple[str, Message]] = []
        self.news = asyncio.Event()


class RayLine:
    """Two actors that call each other."""

    def __init__(self, actors: dict[Side, Any]) -> None:
        self._actors = actors
        self.ends: dict[Side, Any] = {side: Seen() for side in Side}

    def post(self, side: Side, *messages: Message) -> None:
        self._actors[side].post.remote(*map(encode, messages))

    async def begin_life(self, header: Header) -> None:
        await self._actors[Side.NODE].begin_life.remote(header)
        await self._actors[Side.SHARD].readdress.remote(header)

    @asynccontextmanager
    async def cut(self, *deaf: Side) -> AsyncIterator[None]:
        """Stop the node: nothing reaches it, and nothing comes from there."""
        assert {*deaf} == {*Side}
        pid = await self._actors[Side.NODE].pid.remote()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @asynccontextmanager
    async def trouble(self) -> AsyncIterator[None]:
        """Calls to an actor that is there do not fail."""
        yield

    async def look(self, side: Side) -> None:
        """Keep asking what came to an end."""
        while True:
            came = await self._actors[side].came.remote()
            self.ends[side].came = [(sender, decode_one(encoded)) for sender, encoded in came]
            self.ends[side].news.set()
            await asyncio.sleep(LOOKS_EVERY_S)


async def _play(story: Story) -> None:
    remote: Any = ray.remote
    actors = {
        side: remote(RayEnd)
        .options(name=SENDERS[side].replace("iad/", ""), num_cpus=0, max_concurrency=100)
        .remote(SENDERS[side], SENDERS[side.other].replace("iad/", ""))
        for side in Side
    }
    line = RayLine(actors)
    looking = [asyncio.create_task(line.look(side)) for side in Side]
    try:
        await story(line)
    finally:
        for task in looking:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for actor in actors.values():
            ray.kill(actor)


def main(name: str) -> None:
    """Play the story of that name, and raise what fails in it."""
    ray.init(namespace=names.NAMESPACE, log_to_driver=False, logging_level="warning")
    asyncio.run(_play(STORIES[name]))


if __name__ == "__main__":
    main(sys.argv[1])
