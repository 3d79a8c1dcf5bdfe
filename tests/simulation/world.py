"""One run: builds the stage, lets clients and faults loose, and waits until everything has come to rest."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from random import Random
from typing import Any
from unittest.mock import patch

from orchestrator.core.jobs import held_jobs, job_cache, large_bodies
from orchestrator.core.regions.peers import WEBHOOKS
from orchestrator.core.shard import Shard
from orchestrator.core.views import KnownAlready
from orchestrator.domain.errors import NotReady
from orchestrator.domain.health import breaker, outlier_detection
from orchestrator.domain.ids import JobId, RegionName, ShardName, TargetDomain, target_domain
from orchestrator.domain.webhooks.fanout import DeliveryState
from tests.simulation.actors import RegionProcess, ShardProcess, Stage
from tests.simulation.disk import Disk
from tests.simulation.faults import (
    Actor,
    Crash,
    CutFromStore,
    Fault,
    Partition,
    Restart,
    SlowDisk,
    Stall,
    StandBy,
)
from tests.simulation.history import Acknowledged, CancelAnswered, Frozen, History
from tests.simulation.legs import ENOUGH_JOBS
from tests.simulation.lessons import logged_lessons
from tests.simulation.network import CallError, Endpoint, Network
from tests.simulation.outside import Outside
from tests.simulation.queues import logged_queues
from tests.simulation.scenario import JobPlan, Scenario
from tests.support.virtual_loop import VirtualLoop

SETTLED_WITHIN_S = 900.0
"""After the last fault; the slowest target, at 0.5 rps, needs some 300 s for 40 jobs of three legs."""
LEAKS_GONE_WITHIN_S = 20.0
LOOK_EVERY_S = 0.5
SHORT_EVERY = 4
RESUBMIT_S = 0.3


def simulate(scenario: Scenario) -> History:
    """Run a scenario to its end."""
    loop = VirtualLoop(Random(f"order {scenario.seed}"))
    world = World(loop, scenario)
    history = world.history
    with (
        quick_to_judge(),
        short_of_memory(scenario.seed),
        logged_queues(history.queues, loop.time),
        logged_lessons(history.lessons, loop.time),
    ):
        loop.run(world.run())
    return history


@contextmanager
def quick_to_judge() -> Iterator[None]:
    """Let a few jobs and targets decide what in production takes more of them than a run has."""
    with (
        patch.object(breaker, "FAILURES_IN_A_ROW", ENOUGH_JOBS),
        patch.object(outlier_detection, "TARGETS_TO_DOUBT", 2),
    ):
        yield


@contextmanager
def short_of_memory(seed: int) -> Iterator[None]:
    """In many runs let every job that waits sleep on disk; in some of these let every body be large,
    and a few jobs fill what is held of them.
    """
    with ExitStack() as patches:
        if seed % SHORT_EVERY in (1, 3):
            patches.enter_context(patch.object(held_jobs, "HELD_BYTES", 0))
        if seed % SHORT_EVERY == 1:
            patches.enter_context(patch.object(large_bodies, "LARGE_BYTES", 0))
            patches.enter_context(patch.object(job_cache, "FRESH_BYTES", 4_000))
        yield


class World:
    """Starts, kills and restarts actors as the scenario says."""

    def __init__(self, loop: VirtualLoop, scenario: Scenario) -> None:
        self._loop = loop
        self._scenario = scenario
        self.history = History(calm_from=scenario.calm_s)
        self._lives: dict[str, int] = {}
        self._shards: dict[str, ShardProcess] = {}
        self._before: dict[str, ShardProcess] = {}
        """Who had a shard that another has taken over."""
        self._peers: dict[RegionName, RegionProcess] = {}
        seed = scenario.seed
        network = Network(loop, Random(f"network {seed}"), scenario, self.history.counts)
        self._network = network
        self._stage = Stage(
            loop=loop,
            scenario=scenario,
            history=self.history,
            network=network,
            outside=Outside(loop, Random(f"outside {seed}"), scenario, self.history),
            disk=Disk(loop, self.history, scenario.weights, _shared_out(scenario)),
            find_shard=self._find_shard,
            find_shard_heart=self._find_shard_heart,
            find_peer=self._find_peer,
            find_neighbour=self._find_neighbour,
        )
        self._clients = loop.process("clients")
        self._client_random = Random(f"clients {seed}")
        self._waiting: dict[asyncio.Future[Any], ShardName] = {}
        """Who asks something, and which shard."""
        self._open_submissions = 0
        self._job_ids: dict[int, JobId] = {}
        loop.set_exception_handler(self._exception)

    async def run(self) -> None:
        """Play the scenario and collect what is left."""
        for actor in (*self._scenario.shards, WEBHOOKS, *self._scenario.regions):
            self._start(actor)
        for plan in self._scenario.jobs:
            self._plan_submissions(plan)
        for fault in self._scenario.faults:
            self._plan_fault(fault)
        await self._until(self._settled, self._scenario.calm_s + SETTLED_WITHIN_S)
        self.history.leaks = self._leaks()
        await self._until(lambda: not self._leaks(), self._loop.time() + LEAKS_GONE_WITHIN_S)
        self.history.leaks = self._leaks()
        self._collect()

    async def _until(self, holds: Any, limit_s: float) -> None:
        while not holds() and self._loop.time() < limit_s:  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(LOOK_EVERY_S)

    def _plan_submissions(self, plan: JobPlan) -> None:
        for at_s in (*[plan.at_s] * plan.copies, *plan.again_s):
            self._open_submissions += 1
            self._clients.call_at(at_s, self._submit, plan)
        for at_s in plan.cancel_s:
            self._clients.call_at(at_s, self._cancel, plan)

    def _submit(self, plan: JobPlan) -> None:
        self._clients.spawn(self._submit_until_acknowledged(plan))

    def _cancel(self, plan: JobPlan) -> None:
        if (job_id := self._job_ids.get(id(plan))) is not None:
            self._clients.spawn(self._ask_to_cancel(job_id))

    async def _ask_to_cancel(self, job_id: JobId) -> None:
        with suppress(CallError, NotReady):
            domain = self.history.submitted[job_id].domain
            took = await self._ask(domain, lambda shard: shard.cancel(job_id))
            self.history.cancels.append(CancelAnswered(self._loop.time(), job_id, took))

    async def _submit_until_acknowledged(self, plan: JobPlan) -> None:
        while True:
            try:
                domain = target_domain(plan.spec.url)
                answer = await self._ask(domain, lambda shard: shard.submit(plan.customer, plan.spec))
            except (CallError, NotReady):
                await asyncio.sleep(RESUBMIT_S * (1 + self._client_random.random()))
                continue
            known = isinstance(answer, KnownAlready)
            job_id = answer.duplicate.job_id if isinstance(answer, KnownAlready) else answer.job_id
            self._open_submissions -= 1
            self._job_ids.setdefault(id(plan), job_id)
            self.history.acknowledged.append(
                Acknowledged(self._loop.time(), plan.customer, answer.idempotent_key, job_id, known)
            )
            return

    async def _ask(
        self, domain: TargetDomain, what: Callable[[ShardProcess], Coroutine[Any, Any, Any]]
    ) -> Any:
        name = self._scenario.owner(domain)
        shard = self._shards.get(name)
        if shard is None or not shard.serving:
            raise CallError
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[answer] = name
        work = shard.process.spawn(what(shard))
        work.add_done_callback(lambda done: self._clients.call_soon(_pass_on, done, answer))
        try:
            return await answer
        finally:
            del self._waiting[answer]

    def _plan_fault(self, fault: Fault) -> None:
        outside = self._loop.outside
        match fault:
            case Crash(actor, at_s, down_s):
                outside.call_at(at_s, self._crash, _named(actor), down_s)
            case Stall(actor, at_s, for_s):
                outside.call_at(at_s, self._stall, _named(actor), for_s)
            case Restart(at_s, drain_s, shard):
                outside.call_at(at_s, self._stop, shard, drain_s)
            case SlowDisk(at_s, for_s):
                outside.call_at(at_s, self._slow_down_the_disk, for_s)
            case CutFromStore(shard, at_s, for_s):
                outside.call_at(at_s, self._stage.disk.cut_off, ShardName(shard), for_s)
            case StandBy(shard, at_s):
                outside.call_at(at_s, self._begin_shard, shard)
            case Partition():
                self.history.counts["partition"] += 1

    def _start(self, actor: str) -> None:
        if actor in self._scenario.shards:
            self._begin_shard(actor)
        else:
            life = self._lives[actor] = self._lives.get(actor, 0) + 1
            self._peers[RegionName(actor)] = RegionProcess(self._stage, RegionName(actor), life)

    def _begin_shard(self, actor: str) -> None:
        """Start a process that wants a shard; it is where that shard is found once it has it."""
        life = self._lives[actor] = self._lives.get(actor, 0) + 1
        host = ShardProcess(self._stage, ShardName(actor), life, lambda: self._has_begun(actor, host))
        self._shards.setdefault(actor, host)

    def _has_begun(self, actor: str, host: ShardProcess) -> None:
        before, self._shards[actor] = self._shards.get(actor), host
        if before is not None and before is not host:
            self._before[actor] = before
            self.history.counts["taken over"] += 1
            self._break_off_all(actor)

    def _crash(self, actor: str, down_s: float) -> None:
        host = self._shards.pop(actor, None) or self._peers.pop(RegionName(actor), None)
        if host is None:
            return
        host.kill()
        self.history.crashes.append((self._loop.time(), actor))
        self._break_off_all(actor)
        self._loop.outside.call_at(self._loop.time() + down_s, self._start, actor)

    def _break_off_all(self, actor: str) -> None:
        """Whom clients have asked is not there any more, or not the one to ask."""
        for answer in [answer for answer, asked in self._waiting.items() if asked == actor]:
            self._clients.call_soon(_break_off, answer)

    def _stop(self, shard: str, drain_s: float) -> None:
        host = self._shards.get(shard)
        if host is not None and host.serving:
            self.history.counts["stopped"] += 1
            stopping = host.process.spawn(host.stop(drain_s))
            stopping.add_done_callback(lambda _: self._loop.outside.call_soon(self._stopped, shard, host))

    def _stopped(self, shard: str, host: ShardProcess) -> None:
        if self._shards.get(shard) is host:
            self._crash(shard, 0.1)

    def _slow_down_the_disk(self, for_s: float) -> None:
        self._stage.disk.slow_until = self._loop.time() + for_s

    def _stall(self, actor: str, for_s: float) -> None:
        host = self._shards.get(actor) or self._peers.get(RegionName(actor))
        if host is not None:
            now = self._loop.time()
            self.history.frozen.append(Frozen(actor, now, now + for_s))
            host.process.stall(for_s)

    def _found_by(self, region: RegionName, name: ShardName) -> ShardProcess | None:
        """Find whom a node works for: some keep to whoever was there first, for as long as that may act."""
        before = self._before.get(name)
        keeps = before is not None and region == self._scenario.regions[0] and before.may_act
        return before if keeps else self._shards.get(name)

    def _find_shard(self, name: ShardName, region: RegionName) -> Endpoint | None:
        host = self._found_by(region, name)
        return Endpoint(host.process, host.serve) if host is not None and host.serving else None

    def _find_shard_heart(self, name: ShardName, region: RegionName) -> Endpoint | None:
        host = self._found_by(region, name)
        return Endpoint(host.process, host.beat) if host is not None and host.serving else None

    def _find_peer(self, name: RegionName, shard: ShardName) -> Endpoint | None:
        host = self._peers.get(name)
        return None if host is None else Endpoint(host.process, partial(host.serve, shard))

    def _find_neighbour(self, sender: ShardName, to: ShardName, beats: bool) -> Endpoint | None:
        host = self._shards.get(to)
        if host is None or not host.serving:
            return None
        serve = host.beat_of_neighbour if beats else host.serve_neighbour
        return Endpoint(host.process, partial(serve, sender))

    def _settled(self) -> bool:
        return (
            self._loop.time() >= self._scenario.calm_s
            and not self._open_submissions
            and self._stage.disk.settled
        )

    def _leaks(self) -> list[str]:
        leaks: list[str] = []
        for name in self._scenario.shards:
            host = self._shards.get(name)
            leaks += [f"there is no {name}"] if host is None or host.shard is None else _left_in(host.shard)
        for peer in self._peers.values():
            left = sum(len(session.executor) for session in peer.sessions.values())
            leaks += [f"{left} attempts at the executor of {peer.name}"] if left else []
        return leaks

    def _collect(self) -> None:
        history, disk = self.history, self._stage.disk
        history.ended_at = self._loop.time()
        history.troubles += self._network.troubles
        history.unanswered = [f"{self._open_submissions} submissions"] if self._open_submissions else []
        for job_id in history.submitted:
            stored = disk.load(job_id)
            if stored is not None:
                history.final[job_id] = stored
                history.listed[job_id] = disk.tables.rows[job_id].delivery
                pending = sum(entry.state is DeliveryState.PENDING for entry in stored.deliveries)
                history.counts["delivery left pending"] += pending

    def _exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        what = context.get("exception") or context.get("message")
        self.history.troubles.append(f"unhandled at {self._loop.time():.3f} s: {what!r}")


def _left_in(shard: Shard) -> list[str]:
    left = {
        "attempts open at the dispatcher": len(shard.targets.dispatcher),
        "supervisors": len(shard.jobs.table),
        "supervisors of ended jobs": shard.jobs.table.closing,
        "steps at work at their targets": len(shard.targets.steps),
        "steps between two shards": len(shard.neighbours),
        "deliveries that wait": shard.webhooks.dispatcher.waiting,
        "timers of deliveries": len(shard.webhooks.outbox._timers),
        "bytes of deliveries that wait": shard.webhooks.dispatcher._queues._waiting_bytes,
        "deliveries in flight": len(shard.webhooks.dispatcher),
        "parked tickets": len(shard.targets.routes.parking),
        "repeats without a token": len(shard.targets.routes.retry_budgets),
    }
    for domain in shard.targets.domains.values():
        left[f"places in flight at {domain.name}"] = domain.in_flight
        left[f"tickets at {domain.name}"] = domain.waiting
        left[f"tickets in the queue of {domain.name}"] = int(bool(domain._queue))
    for peer in shard.peers.all():
        left[f"attempts counted at {peer.name}"] = peer.attempts_open
        left[f"bytes counted at {peer.name}"] = peer.bytes_open
    return [f"{count} {what}" for what, count in left.items() if count]


def _shared_out(scenario: Scenario) -> dict[int, ShardName]:
    """Say which shard has which slot, where there are several."""
    slots = {slot: ShardName(shard) for slot, shard in enumerate(scenario.slots)}
    return slots if len(scenario.shards) > 1 else {}


def _named(actor: str) -> str:
    return WEBHOOKS if actor == Actor.WEBHOOKS else actor


def _pass_on(done: "asyncio.Task[Any]", answer: "asyncio.Future[Any]") -> None:
    # Asked for where nobody waits any more, too: what is not asked for counts as unhandled.
    error = None if done.cancelled() else done.exception()
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())


def _break_off(answer: "asyncio.Future[Any]") -> None:
    if not answer.done():
        answer.set_exception(CallError("the shard is gone"))
