"""A region's node that works for two shards: what happens in one session disturbs nothing of the other."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

import pytest

from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.domain.health.routing import ATTEMPTS_CREDIT, SELF_FENCE_AFTER_S
from orchestrator.domain.ids import AttemptId, ShardName
from orchestrator.messages.codec import BatchReader, Header, decode_one, encode, encode_batch
from orchestrator.messages.types import (
    AttemptDone,
    Heartbeat,
    HeartbeatReply,
    Message,
    RunAttempt,
    SendAnswer,
)
from orchestrator.ports.egress import Egress, Gate, Timed
from orchestrator.ports.transport import Carrier
from regions.egress.answer_room import AnswerRoom
from regions.executor import ANSWERS_KEPT_S
from regions.node import RegionNode
from regions.session import NodeParts
from tests.support.virtual_loop import Process, VirtualClock, VirtualLoop

EAST, WEST = ShardName("shard-east"), ShardName("shard-west")
SAME_ID = AttemptId("1.1")
REQUEST = HttpRequest(method="GET", url="http://a.example/")
ANSWER_BYTES = 2 * LARGE_BYTES


class Endless:
    """A target that never answers."""

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        await gate()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def close(self) -> None:
        """Nothing is held."""


class Generous(Endless):
    """A target that answers more than is reported at once."""

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        await gate()
        return HttpResponse(status=200, headers={"x": "y"}, body=b"x" * ANSWER_BYTES)


class Shards:
    """Two shards and the way to them."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._clock = VirtualClock(loop, epoch_ms=0)
        self.epochs: dict[ShardName, int] = {EAST: 7, WEST: 7}
        self.silent: set[ShardName] = set()
        """Those that answer no heartbeat."""
        self.cut_off: set[ShardName] = set()
        """Those that no batch comes to."""
        self.round_trips_s: dict[ShardName, float] = {}
        self.leases_s: dict[ShardName, float] = {}
        self.beats: dict[ShardName, Heartbeat] = {}
        self.told: dict[ShardName, list[Message]] = {EAST: [], WEST: []}
        self._readers = {EAST: BatchReader(), WEST: BatchReader()}

    def carrier(self, to: ShardName) -> Carrier:
        async def carry(batch: bytes) -> None:
            if to in self.cut_off:
                raise ConnectionError
            self.told[to] += self._readers[to].read(batch)[1]

        return carry

    async def heartbeat(self, shard: ShardName, beat: bytes) -> bytes:
        message = decode_one(beat)
        assert isinstance(message, Heartbeat)
        self.beats[shard] = message
        if shard in self.silent:
            raise ConnectionError
        lease_s, one_way_s = self.leases_s.get(shard), self.round_trips_s.get(shard, 0.0) / 2
        await asyncio.sleep(one_way_s)
        reply = encode(HeartbeatReply(self.epochs[shard], self._clock.now(), "one machine", lease_s))
        await asyncio.sleep(one_way_s)
        return reply

    def ended(self, shard: ShardName) -> list[Fault | None]:
        """Say how the attempts of a shard ended, as it was told."""
        return [message.fault for message in self.told[shard] if isinstance(message, AttemptDone)]

    def bodies(self, shard: ShardName) -> list[int]:
        """Say how large the bodies of a shard's answers were, as it was told."""
        told = [message for message in self.told[shard] if isinstance(message, AttemptDone)]
        return [len(message.response.body) for message in told if message.response is not None]


class Bench:
    """A node with two shards in virtual time."""

    def __init__(self, loop: VirtualLoop, target: Egress) -> None:
        self.shards = Shards(loop)
        self.room = AnswerRoom()
        self.files_left = 10_000
        self._clock = VirtualClock(loop, epoch_ms=0)
        self._process: Process = loop.process("node")
        heart = loop.process("heart")
        node = RegionNode(
            NodeParts(
                incarnation="one",
                boot_id="one machine",
                clock=self._clock,
                transport=self.shards,
                targets=target,
                receivers=Endless(),
                room=self.room,
                count_files_left=lambda: self.files_left,
            )
        )
        self._sessions = {shard: self._process.context.run(node.join, shard) for shard in (EAST, WEST)}
        self._process.call_soon(node.start)
        for session in self._sessions.values():
            heart.spawn(session.beat_for_ever(partial(self._enter, heart)))

    def run(self, shard: ShardName, attempt: AttemptId = SAME_ID) -> None:
        """Send an attempt for a shard, under an id that the other one uses too."""
        header = Header(self.shards.epochs[shard], "one")
        batch = encode_batch(header, [encode(RunAttempt(attempt, self._clock.now(), REQUEST))])
        self._process.call_soon(self._sessions[shard].receive, batch)

    def ask_for_the_answer(self, shard: ShardName) -> None:
        """Have room for it, as the shard."""
        batch = encode_batch(Header(self.shards.epochs[shard], "one"), [encode(SendAnswer(SAME_ID))])
        self._process.call_soon(self._sessions[shard].receive, batch)

    def attempts(self) -> dict[ShardName, int]:
        """Count what is under way."""
        return {shard: len(session.executor) for shard, session in self._sessions.items()}

    async def _enter(self, heart: Process, act: Callable[[], bool]) -> bool:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._process.call_soon(lambda: heart.call_soon(done.set_result, act()))
        return await done


def play(story: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop(Random(1))

    async def both_under_way() -> None:
        bench = Bench(loop, Endless())
        await asyncio.sleep(1.0)
        bench.run(EAST)
        bench.run(WEST)
        await asyncio.sleep(1.0)
        assert bench.attempts() == {EAST: 1, WEST: 1}
        await story(bench)

    loop.run(both_under_way())


def test_a_shard_with_a_new_epoch_ends_its_own_attempts_and_none_of_the_others() -> None:
    async def story(bench: Bench) -> None:
        bench.shards.epochs[EAST] = 8
        await asyncio.sleep(2.0)
        assert bench.attempts() == {EAST: 0, WEST: 1}
        assert (bench.shards.beats[EAST].epoch, bench.shards.beats[WEST].epoch) == (8, 7)
        bench.run(EAST, AttemptId("8.1"))
        await asyncio.sleep(2.0)
        assert bench.attempts() == {EAST: 1, WEST: 1}

    play(story)


def test_a_shard_that_falls_silent_is_worked_for_no_more_and_the_other_still() -> None:
    async def story(bench: Bench) -> None:
        bench.shards.silent.add(EAST)
        await asyncio.sleep(SELF_FENCE_AFTER_S + 1.0)
        assert bench.attempts() == {EAST: 0, WEST: 1}
        assert (bench.shards.ended(EAST), bench.shards.ended(WEST)) == ([Fault.LOST], [])

    play(story)


def test_a_shard_whose_own_lease_is_almost_over_is_worked_for_no_longer_than_that() -> None:
    async def story(bench: Bench) -> None:
        bench.shards.leases_s |= {EAST: 0.1, WEST: 3.0}
        await asyncio.sleep(1.0)
        assert bench.attempts() == {EAST: 0, WEST: 1}
        assert bench.shards.ended(EAST) == [Fault.LOST]

    play(story)


def test_a_shard_with_a_long_lease_is_worked_for_no_longer_than_its_silence_lets() -> None:
    async def story(bench: Bench) -> None:
        bench.shards.leases_s[EAST] = 1_000.0
        await asyncio.sleep(1.0)
        bench.shards.silent.add(EAST)
        await asyncio.sleep(SELF_FENCE_AFTER_S + 1.0)
        assert bench.attempts() == {EAST: 0, WEST: 1}

    play(story)


@pytest.mark.parametrize(("round_trip_s", "kept"), [(0.95, 1), (1.1, 0)])
def test_a_round_trip_of_just_under_a_second_keeps_what_is_under_way_and_none_over_it_does(
    round_trip_s: float, kept: int
) -> None:
    # Half of the lease: a heartbeat waits for the reply to the one before it.
    async def story(bench: Bench) -> None:
        bench.shards.round_trips_s[EAST] = round_trip_s
        await asyncio.sleep(60.0)
        assert bench.attempts() == {EAST: kept, WEST: 1}

    play(story)


@pytest.mark.parametrize(("files_left", "places"), [(264, 1 + 132 - 64), (10_000, ATTEMPTS_CREDIT // 2)])
def test_the_shards_share_what_the_node_can_take(files_left: int, places: int) -> None:
    async def story(bench: Bench) -> None:
        bench.files_left = files_left
        await asyncio.sleep(1.0)
        for shard in (EAST, WEST):
            assert bench.shards.beats[shard].places == places

    play(story)


def play_with_answers(story: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop(Random(1))

    async def both_answered() -> None:
        bench = Bench(loop, Generous())
        await asyncio.sleep(1.0)
        bench.run(EAST)
        bench.run(WEST)
        await asyncio.sleep(1.0)
        assert bench.room.used > 2 * ANSWER_BYTES
        await story(bench)

    loop.run(both_answered())


@pytest.mark.parametrize("asked", [False, True])
def test_the_answers_of_a_shard_that_is_silent_for_long_leave_their_room_to_the_others(asked: bool) -> None:
    async def story(bench: Bench) -> None:
        one = bench.room.used / 2
        bench.shards.silent.add(EAST)
        bench.shards.cut_off.add(EAST)
        if asked:
            bench.ask_for_the_answer(EAST)
        await asyncio.sleep(SELF_FENCE_AFTER_S + ANSWERS_KEPT_S + 1.0)
        assert bench.room.used == one
        bench.ask_for_the_answer(WEST)
        await asyncio.sleep(1.0)
        assert bench.shards.bodies(WEST) == [ANSWER_BYTES]

    play_with_answers(story)


def test_that_there_was_an_answer_is_told_when_a_shard_that_was_silent_for_long_is_heard_again() -> None:
    async def story(bench: Bench) -> None:
        bench.shards.silent.add(EAST)
        bench.shards.cut_off.add(EAST)
        await asyncio.sleep(60.0)
        bench.shards.silent.clear()
        bench.shards.cut_off.clear()
        await asyncio.sleep(5.0)
        assert bench.shards.bodies(EAST) == [0]

    play_with_answers(story)


def test_an_answer_outlasts_a_cut_after_which_the_shard_may_still_want_it() -> None:
    async def story(bench: Bench) -> None:
        bench.shards.silent.add(EAST)
        bench.shards.cut_off.add(EAST)
        await asyncio.sleep(SELF_FENCE_AFTER_S + 1.0)
        bench.shards.silent.clear()
        bench.shards.cut_off.clear()
        await asyncio.sleep(1.0)
        bench.ask_for_the_answer(EAST)
        await asyncio.sleep(1.0)
        assert bench.shards.bodies(EAST) == [ANSWER_BYTES]

    play_with_answers(story)
