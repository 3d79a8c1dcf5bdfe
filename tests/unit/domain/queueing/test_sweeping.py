"""What is dead in a heap goes while nobody takes from its front."""

import heapq
from random import Random

from orchestrator.domain.queueing.sweeping import LOOKS, sweep


def test_a_heap_that_is_swept_gives_what_is_left_in_order() -> None:
    random, looked = Random(5), 0
    heap = [random.randrange(1_000) for _ in range(500)]
    heapq.heapify(heap)
    left = sorted(item for item in heap if item % 3)
    # What takes the place of another may come where was looked already: the next round finds it.
    for _ in range(2 * 500 // LOOKS):
        looked = sweep(heap, looked, lambda item: item % 3 == 0)
    assert [heapq.heappop(heap) for _ in range(len(heap))] == left


def test_one_sweep_looks_at_a_few_however_many_there_are() -> None:
    asked: list[int] = []

    def dead(item: int) -> bool:
        asked.append(item)
        return False

    heap = list(range(1_000))
    looked = sweep(heap, 0, dead)
    assert asked == [999, 998, 997, 996]
    sweep(heap, looked, dead)
    assert asked[4:] == [995, 994, 993, 992]


def test_a_heap_of_nothing_but_dead_ends_empty() -> None:
    heap = [1, 2, 3]
    sweep(heap, 0, lambda _: True)
    assert heap == []
    assert sweep(heap, 0, lambda _: True) == 0
