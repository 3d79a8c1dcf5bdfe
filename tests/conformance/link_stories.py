"""What every transport has to stand: the stories of the conformance suite, by what they show."""

import asyncio
from collections.abc import Sequence
from functools import partial

from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import AttemptId
from orchestrator.messages.codec import Header
from orchestrator.messages.types import AttemptDone, CancelAttempt, Message
from tests.conformance.lines import ONE_LIFE, SENDERS, Line, Side, Story

COMES_WITHIN_S = 30.0
A_WHILE_S = 0.2
ANOTHER_LIFE = Header(ONE_LIFE.epoch, "another life")
BODY = bytes(range(256)) * 8_000
LARGE = AttemptDone(AttemptId("large"), 1.0, HttpResponse(status=200, headers={}, body=BODY))


def notes(word: str, count: int) -> list[Message]:
    return [CancelAttempt(AttemptId(f"{word} {number}")) for number in range(count)]


async def come(line: Line, side: Side, wanted: list[Message]) -> None:
    """Wait until all of these have come to a side, each from the other one."""
    end, sender = line.ends[side], SENDERS[side.other]
    async with asyncio.timeout(COMES_WITHIN_S):
        while not all((sender, message) in end.came for message in wanted):
            end.news.clear()
            await end.news.wait()
    assert {who for who, _ in end.came} == {sender}


async def a_side_knows_what_came_from_whom(line: Line, side: Side) -> None:
    line.post(side, *notes("first", 3))
    await come(line, side.other, notes("first", 3))
    assert line.ends[side].came == []


async def a_large_message_comes_whole_and_holds_up_nobody(line: Line, side: Side) -> None:
    line.post(side, LARGE, *notes("behind it", 50))
    await come(line, side.other, notes("behind it", 50))
    await come(line, side.other, [LARGE])


async def what_fails_on_the_way_comes_at_least_once(line: Line, side: Side) -> None:
    async with line.trouble():
        for turn in range(20):
            line.post(side, *notes(f"turn {turn}", 10))
            await asyncio.sleep(0.01)
    for turn in range(20):
        await come(line, side.other, notes(f"turn {turn}", 10))


async def a_cut_holds_back_and_loses_nothing(line: Line, deaf: Sequence[Side]) -> None:
    for side in Side:
        line.post(side, *notes("before", 1))
        await come(line, side.other, notes("before", 1))
    async with line.cut(*deaf):
        for side in Side:
            line.post(side, *notes("during", 1))
        # The other way stays open.
        for side in set(Side) - set(deaf):
            await come(line, side, notes("during", 1))
        await asyncio.sleep(A_WHILE_S)
        for side in deaf:
            assert not [message for _, message in line.ends[side].came if message in notes("during", 1)]
    for side in deaf:
        await come(line, side, notes("during", 1))


async def what_was_meant_for_one_life_comes_to_no_other(line: Line) -> None:
    line.post(Side.SHARD, *notes("before", 1))
    await come(line, Side.NODE, notes("before", 1))
    async with line.cut(*Side):
        line.post(Side.SHARD, LARGE, *notes("for the old life", 5))
        await asyncio.sleep(A_WHILE_S)
    await line.begin_life(ANOTHER_LIFE)
    line.post(Side.SHARD, *notes("for the new life", 5))
    await come(line, Side.NODE, notes("for the new life", 5))
    assert {message for _, message in line.ends[Side.NODE].came} == {*notes("for the new life", 5)}


STORIES: dict[str, Story] = {
    f"{story.__name__} ({side.name.lower()})": partial(story, side=side)
    for story in (
        a_side_knows_what_came_from_whom,
        a_large_message_comes_whole_and_holds_up_nobody,
        what_fails_on_the_way_comes_at_least_once,
    )
    for side in Side
} | {
    "a_cut_holds_back_and_loses_nothing": partial(a_cut_holds_back_and_loses_nothing, deaf=[*Side]),
    "what_was_meant_for_one_life_comes_to_no_other": what_was_meant_for_one_life_comes_to_no_other,
}
ONE_WAY: dict[str, Story] = {
    f"a_cut_one_way_leaves_the_other_open ({side.name.lower()})": partial(
        a_cut_holds_back_and_loses_nothing, deaf=[side]
    )
    for side in Side
}
"""Where a transport can be cut so."""
