"""Heaps of which some items are dead: these are found a few at a time, and not only at the front."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

LOOKS = 4
"""Items that are looked at in one go. Where each go makes one more dead, fewer of them are than live."""


class Ordered(Protocol):
    """What can lie in a heap."""

    def __lt__(self, other: Any, /) -> bool:
        """Whether it goes first."""


Item = TypeVar("Item", bound=Ordered)


def sweep(heap: list[Item], looked: int, dead: Callable[[Item], bool]) -> int:
    """Drop what is dead of the next few items of a heap, in O(log n), and say how far the looks went: they go
    round from the back to the front. ``looked`` is what the call before said, 0 at first.
    """
    for _ in range(min(LOOKS, len(heap))):
        looked = (min(looked, len(heap)) or len(heap)) - 1
        if dead(heap[looked]):
            _remove(heap, looked)
    return looked


def _remove(heap: list[Item], index: int) -> None:
    last = heap.pop()
    if index == len(heap):
        return
    while index and last < heap[parent := (index - 1) // 2]:
        heap[index] = heap[parent]
        index = parent
    while (child := _lower_child(heap, index)) is not None and heap[child] < last:
        heap[index] = heap[child]
        index = child
    heap[index] = last


def _lower_child(heap: list[Item], index: int) -> int | None:
    left, right = 2 * index + 1, 2 * index + 2
    if left >= len(heap):
        return None
    return right if right < len(heap) and heap[right] < heap[left] else left
