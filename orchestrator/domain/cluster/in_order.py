"""Numbered messages over a way that repeats and reorders: each is taken once, a topic's in their order.

Each names the one before it of its topic. What comes too early is held back until that has been taken; a
last word overtakes what is still under way, and that counts no more when it comes. Nothing is kept by time:
what is remembered is bounded by what is under way.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

from msgspec import Struct

_Topic = TypeVar("_Topic", bound=Hashable)
_What = TypeVar("_What")

FIRST = 0
"""In place of a number: there is none before this one."""


class Numbered(Struct, Generic[_Topic, _What], frozen=True):
    """A message. ``after`` is the number of the one before it of its topic, or ``FIRST``; ``last``: nothing
    that was sent about the topic before it counts any more.
    """

    number: int
    after: int
    topic: _Topic
    what: _What
    last: bool = False


class Numbering(Generic[_Topic]):
    """Numbers what is sent, from 1 on."""

    def __init__(self) -> None:
        self._sent = 0
        self._latest: dict[_Topic, int] = {}

    def next(self, topic: _Topic) -> tuple[int, int]:
        """Number the next message of a topic; give that number, and the one before it of the topic."""
        after = self._latest.get(topic, FIRST)
        self._sent += 1
        self._latest[topic] = self._sent
        return self._sent, after

    def forget(self, topic: _Topic) -> None:
        """Nothing more is sent about a topic."""
        self._latest.pop(topic, None)


class InOrder(Generic[_Topic, _What]):
    """Takes what another's ``Numbering`` has numbered."""

    def __init__(self) -> None:
        self._all_up_to = 0
        self._beyond: set[int] = set()
        self._held: dict[int, Numbered[_Topic, _What]] = {}
        """What came too early, by the number that it comes after."""
        self._tombstones: dict[_Topic, int] = {}
        """Topics whose last word has overtaken others, by its number."""

    def __len__(self) -> int:
        """Count what is remembered of messages that others have overtaken."""
        return len(self._beyond) + len(self._held) + len(self._tombstones)

    def take(self, message: Numbered[_Topic, _What]) -> list[_What]:
        """Take a message in; give what may be acted on now, in this order."""
        if self._is_done(message.number):
            return []
        if message.number < self._tombstones.get(message.topic, FIRST):
            self._done(message.number)
            return []
        if message.last:
            return self._take_last(message)
        if message.after != FIRST and not self._is_done(message.after):
            self._held[message.after] = message
            return []
        return self._take_with_those_behind(message)

    def _take_last(self, message: Numbered[_Topic, _What]) -> list[_What]:
        overtaken = [held for held in self._held.values() if held.topic == message.topic]
        for held in overtaken:
            if held.number < message.number:
                del self._held[held.after]
                self._done(held.number)
        self._tombstones[message.topic] = message.number
        return self._take_with_those_behind(message)

    def _take_with_those_behind(self, message: Numbered[_Topic, _What]) -> list[_What]:
        ready = [message.what]
        self._done(message.number)
        number = message.number
        while (following := self._held.pop(number, None)) is not None:
            ready.append(following.what)
            number = following.number
            self._done(number)
        return ready

    def _is_done(self, number: int) -> bool:
        return number <= self._all_up_to or number in self._beyond

    def _done(self, number: int) -> None:
        self._beyond.add(number)
        while self._all_up_to + 1 in self._beyond:
            self._all_up_to += 1
            self._beyond.discard(self._all_up_to)
        if self._tombstones:
            over = [topic for topic, last in self._tombstones.items() if last <= self._all_up_to]
            for topic in over:
                del self._tombstones[topic]
