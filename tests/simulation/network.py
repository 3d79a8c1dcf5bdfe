"""The simulated carrier between shard and executors: late, lost, doubled, reordered, cut.

A call to a cut-off peer hangs, as Ray's do; what it carried may still arrive when the cut is mended.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random

from msgspec import Struct

from orchestrator.domain.ids import RegionName, ShardName
from orchestrator.messages.codec import LaterLifeError
from tests.simulation.faults import Actor, Partition
from tests.simulation.scenario import NetworkPlan, Scenario
from tests.support.virtual_loop import Process, VirtualLoop

FIRST = ShardName(Actor.SHARD)
SHARDS_APART_S = 0.0005
"""One way from shard to shard, at least."""
NOBODY_S = 0.002
"""How long it takes to learn that the receiver is dead."""

Answer = bytes | None
Serve = Callable[[RegionName, bytes], Answer]
"""What the receiver does with a call that travels to or from a region, in its own process; it may answer."""


class CallError(Exception):
    """A call failed, or may have."""


class Endpoint(Struct, frozen=True):
    """Somebody who takes calls."""

    process: Process
    serve: Serve


Find = Callable[[], Endpoint | None]
"""Looks a receiver up when the call arrives; None while it is dead."""


class Call(Struct, frozen=True):
    """One call: who waits for it, for whom it is, and between which region and which shard it travels."""

    sender: Process
    find: Find
    region: RegionName
    to_shard: bool
    shard: ShardName
    payload: bytes
    done: "asyncio.Future[Answer]"


class Network:
    """Carries calls; their fates are drawn when they are made."""

    def __init__(self, loop: VirtualLoop, random: Random, scenario: Scenario, counts: Counter[str]) -> None:
        self._loop = loop
        self._random = random
        self._plan: NetworkPlan = scenario.network
        self._base_s = dict(scenario.network.base_s)
        self._calm_s = scenario.calm_s
        self._cuts = [fault for fault in scenario.faults if isinstance(fault, Partition)]
        self._wires = loop.process("network")
        self._counts = counts
        self.troubles: list[str] = []

    async def call(
        self,
        sender: Process,
        find: Find,
        region: RegionName,
        payload: bytes,
        *,
        to_shard: bool,
        shard: ShardName = FIRST,
    ) -> Answer:
        """Carry a call there and its answer back.

        Raises:
            CallError: It failed, or may have.
        """
        done: asyncio.Future[Answer] = self._loop.create_future()
        call = Call(sender, find, region, to_shard, shard, payload, done)
        if self._strikes(self._plan.lost):
            self._counts["call lost"] += 1
            self._fail(call, self._loop.time() + self._delay(region))
        else:
            self._send(call)
        return await done

    def _send(self, call: Call) -> None:
        delay = self._delay(call.region)
        if self._strikes(self._plan.late):
            self._counts["call late"] += 1
            delay += self._random.uniform(0, self._plan.late_most_s)
        self._wires.call_at(self._loop.time() + delay, self._arrive, call)
        if self._strikes(self._plan.doubled):
            self._counts["call doubled"] += 1
            again = delay + self._random.uniform(0, 0.3)
            self._wires.call_at(self._loop.time() + again, self._arrive, call)

    def _arrive(self, call: Call) -> None:
        mended_s = self._cut_until(call, to_shard=call.to_shard, answer=False)
        if mended_s is not None:
            self._hang(call, mended_s)
            return
        endpoint = call.find()
        if endpoint is None:
            self._fail(call, self._loop.time() + NOBODY_S)
            return
        endpoint.process.call_soon(self._serve, call, endpoint)

    def _hang(self, call: Call, mended_s: float) -> None:
        fate = self._random.random()
        if fate < 0.6:
            self._counts["call delivered after a cut"] += 1
            late_s = self._random.choice([0.0, self._random.uniform(0.0, 2.0)])
            self._wires.call_at(mended_s + late_s + self._delay(call.region), self._arrive, call)
        elif fate < 0.8:
            self._fail(call, self._loop.time() + self._random.uniform(0.1, 3.0))
        else:
            self._fail(call, mended_s + self._random.uniform(0.0, 4.0))

    def _serve(self, call: Call, endpoint: Endpoint) -> None:
        try:
            answer = endpoint.serve(call.region, call.payload)
        except LaterLifeError:
            self._fail(call, self._loop.time() + self._delay(call.region))
            return
        except Exception as error:  # noqa: BLE001  # a receiver that raises is a finding, whatever it raises
            self.troubles.append(f"{endpoint.process.name} raised {error!r}")
            return
        self._wires.call_soon(self._answer, call, answer)

    def _answer(self, call: Call, answer: Answer) -> None:
        at = self._loop.time() + self._delay(call.region)
        if self._strikes(self._plan.unsure):
            self._counts["call unsure"] += 1
            self._fail(call, at)
            return
        mended_s = self._cut_until(call, to_shard=not call.to_shard, answer=True)
        if mended_s is not None:
            self._fail(call, mended_s + self._random.uniform(0.0, 4.0))
            return
        call.sender.call_at(at, _resolve, call.done, answer)

    def _fail(self, call: Call, at: float) -> None:
        call.sender.call_at(at, _reject, call.done)

    def _delay(self, region: RegionName) -> float:
        return self._base_s.get(region, SHARDS_APART_S) + self._random.uniform(0, self._plan.jitter_s)

    def _strikes(self, share: float) -> bool:
        return self._loop.time() < self._calm_s and self._random.random() < share

    def _cut_until(self, call: Call, *, to_shard: bool, answer: bool) -> float | None:
        now, ways = self._loop.time(), (None, call.shard)
        cuts = [
            c for c in self._cuts if c.region == call.region and c.shard in ways and c.at_s <= now < c.until_s
        ]
        stopping = [c for c in cuts if c.direction.stops(to_shard=to_shard, answer=answer)]
        return max((c.until_s for c in stopping), default=None)


def _resolve(done: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not done.done():
        done.set_result(answer)


def _reject(done: "asyncio.Future[Answer]") -> None:
    if not done.done():
        done.set_exception(CallError("the call failed, or may have"))
