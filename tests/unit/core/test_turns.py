"""Owners take turns, in their own order."""

import asyncio

from orchestrator.core.turns import Turns
from orchestrator.runtime.byte_room import ByteRoom


async def test_owners_go_round_robin() -> None:
    turns, order = Turns(), list[str]()

    async def go(owner: str) -> None:
        async with turns.turn(owner):
            order.append(owner)
            await asyncio.sleep(0)

    await asyncio.gather(*(go(owner) for owner in ["a", "a", "a", "b", "c", "b"]))

    assert order == ["a", "a", "b", "c", "a", "b"]


async def test_who_leaves_the_line_holds_nobody_up() -> None:
    turns = Turns()
    async with turns.turn("a"):
        leaving = asyncio.ensure_future(turns.take("b"))
        staying = asyncio.ensure_future(turns.take("c"))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
    await asyncio.wait_for(staying, 10)


async def test_room_is_given_to_owners_in_turn_as_it_comes_back() -> None:
    room, order = ByteRoom(100), list[str]()
    await room.take("full", 50)
    await room.take("more", 40)

    async def take(owner: str) -> None:
        await room.take(owner, 20)
        order.append(owner)

    tasks = [asyncio.ensure_future(take(owner)) for owner in ["a", "a", "b", "c"]]
    await asyncio.sleep(0)
    assert order == []
    room.give_back("full", 50)
    await asyncio.wait_for(asyncio.gather(tasks[0], *tasks[2:]), 10)
    assert order == ["a", "b", "c"]
    assert room.budget.used <= 100
    tasks[1].cancel()


async def test_who_stops_waiting_for_room_lets_a_smaller_wish_through() -> None:
    room = ByteRoom(100)
    await room.take("a", 40)
    large = asyncio.ensure_future(room.take("a", 40))
    await asyncio.sleep(0)
    small = asyncio.ensure_future(room.take("a", 10))
    await asyncio.sleep(0)
    assert not small.done()
    large.cancel()
    await asyncio.wait_for(small, 10)
    assert room.budget.held_by("a") == 50
    assert room.waiting("a") == 0


async def test_who_is_cancelled_just_as_room_comes_keeps_none() -> None:
    room = ByteRoom(100)
    await room.take("a", 50)
    waiting = asyncio.ensure_future(room.take("a", 50))
    await asyncio.sleep(0)
    room.give_back("a", 50)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert room.budget.used == 0
