"""The targets' sides that the conformance suite of ``Targets`` runs over, and jobs that do as told."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from msgspec import Struct

from orchestrator.core.shards.neighbours import Cluster, Neighbours
from orchestrator.core.shards.session_messages import Report, step_of_record
from orchestrator.domain.exchange import HttpRequest
from orchestrator.domain.execution.run import Leg, LegState
from orchestrator.domain.execution.step_plan import StepPlan
from orchestrator.domain.ids import CustomerId, JobId, RegionName, ShardName, target_domain
from orchestrator.domain.jobs.policies import ExecutionMode, RegionPolicy
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import PathClass
from orchestrator.messages.names import SHARD
from orchestrator.ports.targets import (
    AttemptEnded,
    Claim,
    Placed,
    RegionsGone,
    RunStep,
    SendAttempt,
    Shut,
    Started,
    Targets,
    Turn,
    Withdraw,
)
from tests.support.lossy_shards import Way
from tests.support.rig import FAST, IAD, URL, Reply, Rig
from tests.support.virtual_loop import VirtualLoop

NEAR, FAR = ShardName("near"), SHARD
"""Where the jobs are, and where the rig's targets are."""
WITHIN_S = 60.0
STEP = 1
DOMAIN = target_domain(URL)
PATH = PathClass("GET /")

_R = TypeVar("_R", bound=Report)


async def within(holds: Callable[[], bool]) -> None:
    """Wait until something holds that has no event."""
    async with asyncio.timeout(WITHIN_S):
        while not holds():  # noqa: ASYNC110  # said above
            await asyncio.sleep(0.1)


class Recorder:
    """``Jobs`` that only listen."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.news = asyncio.Event()

    def _note(self, report: Any) -> None:
        self.reports.append(report)
        self.news.set()

    turn = placed = started = ended = late = gone = _note

    def shut(self, shut: Shut) -> bool:
        """Go on elsewhere later, if at all."""
        self._note(shut)
        return False


class Side:
    """A jobs' side with targets, whose requests go out to the rig."""

    def __init__(self, rig: Rig, targets: Targets, jobs: Recorder, neighbours: list[Neighbours]) -> None:
        self.rig = rig
        self.targets = targets
        self.jobs = jobs
        self._neighbours = neighbours

    async def hears(self, kind: type[_R], job: str, leg: int | None = None) -> _R:
        """Wait until the targets have told something of a job's step, and give that."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for report in self.told(kind, job):
                    if leg is None or _leg(report) == leg:
                        return report
                self.jobs.news.clear()
                await self.jobs.news.wait()

    def told(self, kind: type[_R], job: str) -> list[_R]:
        """List what was told of a job's step."""
        of_kind = [report for report in self.jobs.reports if isinstance(report, kind)]
        return [report for report in of_kind if step_of_record(report) == (job, STEP)]

    async def take_turn(self, job: str, plan: StepPlan, leg: int = 0) -> Placed:
        """Line a leg up, use its turn, and see it placed."""
        self.targets.line_up(claim(job, leg, plan))
        turn = await self.hears(Turn, job, leg)
        self.targets.run(RunStep(turn, plan, PATH, may_leave=False))
        return await self.hears(Placed, job, leg)

    async def goes_on_until(self, job: str, of: StepPlan, *kinds: type[Report]) -> None:
        """Line a leg up, use all its turns and send whatever is placed, until something of these is told. A
        turn that comes later goes to others.
        """
        self.targets.line_up(claim(job, 0, of))
        done: list[Report] = []
        while not any(self.told(kind, job) for kind in kinds):
            for turn in [each for each in self.told(Turn, job) if each not in done]:
                self.targets.run(RunStep(turn, of, PATH, may_leave=True))
                done.append(turn)
            for placed in [each for each in self.told(Placed, job) if each not in done]:
                self.targets.send(send(placed))
                done.append(placed)
            await asyncio.sleep(0.1)
        for turn in [each for each in self.told(Turn, job) if each not in done]:
            self.targets.pass_up(turn)

    async def comes_to_rest(self) -> None:
        """Wait until nothing is left of any step, on either side."""
        await within(lambda: not any(self._left()))

    def _left(self) -> list[int]:
        shard = self.rig.shard
        domains = [domain.in_flight + domain.waiting for domain in shard.targets.domains.values()]
        return [
            len(shard.targets.steps),
            len(shard.targets.dispatcher),
            *map(len, self._neighbours),
            *domains,
        ]


class RemoteSide(Side):
    """Targets in another shard."""

    def __init__(self, rig: Rig, random: Random | None) -> None:
        self.way = Way(rig.loop, random)
        self.lease_left_s = {NEAR: math.inf, FAR: math.inf}
        self.far = self._neighbour(FAR, NEAR, rig, rig.shard.targets.steps)
        self.near = self._neighbour(NEAR, FAR, rig, rig.shard.targets.steps)
        super().__init__(rig, self.near.targets, Recorder(), [self.near, self.far])
        self.begin_far(1)
        self._begin_near(1)

    def begin_far(self, epoch: int) -> None:
        """Begin a life of the targets' shard."""
        self.rig.shard.targets.steps.begin(self.far.find_jobs(Nobody()))
        self.far.begin(epoch, Nobody(), self.rig.shard.jobs.newcomers)

    async def restart_far(self) -> None:
        """Let the targets' shard live on under another epoch: of what came before it knows nothing."""
        await self.far.close()
        for neighbour in self.far._neighbours.values():
            neighbour.incoming.jobs.end()
        self.far = self._neighbours[1] = self._neighbour(FAR, NEAR, self.rig, self.rig.shard.targets.steps)
        self.begin_far(2)

    async def restart_near(self) -> Recorder:
        """Let the jobs' shard live on under another epoch."""
        await self.near.close()
        self.near = self._neighbours[0] = self._neighbour(NEAR, FAR, self.rig, self.rig.shard.targets.steps)
        self.targets, self.jobs = self.near.targets, Recorder()
        self._begin_near(2)
        return self.jobs

    def _begin_near(self, epoch: int) -> None:
        self.near.begin(epoch, self.jobs, self.rig.shard.jobs.newcomers)

    def _neighbour(self, own: ShardName, other: ShardName, rig: Rig, targets: Targets) -> Neighbours:
        cluster = Cluster(others=(other,), owner=lambda _: FAR, transport=self.way.of(own))
        made = Neighbours(own, cluster, rig.clock, targets, lambda: self.lease_left_s[own])
        self.way.attach(own, made)
        return made


class Nobody:
    """``Jobs`` of a shard that has none: of what was taken back from others it may hear how that went on."""

    def _none(self, report: Any) -> Any:
        raise AssertionError(report)

    def _nothing_new(self, report: Any) -> None:
        assert isinstance(report, Started | AttemptEnded)

    turn = placed = late = gone = shut = _none
    started = ended = _nothing_new


Play = Callable[[Any], Coroutine[Any, Any, None]]


class Story(Struct, frozen=True):
    """What is to be played, at which pace the target is asked, and which regions are down."""

    play: Play
    pace: Pace = FAST
    reply: Reply = Reply()
    down: frozenset[RegionName] = frozenset()


def at_home(story: Story) -> None:
    """Play a story with targets in the jobs' own process."""

    def make(rig: Rig) -> Side:
        jobs = Recorder()
        rig.shard.targets.steps.begin(jobs)
        return Side(rig, rig.shard.targets.steps, jobs, [])

    _play(story, make)


def far_away(story: Story, seed: int | None = None) -> None:
    """Play a story with targets in another shard; with a seed the way there is bad."""
    _play(story, lambda rig: RemoteSide(rig, None if seed is None else Random(seed)))


def _play(story: Story, make: Callable[[Rig], Side]) -> None:
    loop = VirtualLoop(Random(1))
    rig = Rig(loop, story.pace)
    rig.alive -= story.down
    rig.answer = lambda call: story.reply

    wrong: list[Any] = []
    loop.set_exception_handler(lambda _, context: wrong.append(context.get("exception") or context))

    async def play() -> None:
        await rig.begin()
        await story.play(make(rig))
        assert not wrong

    loop.run(play())


def plan(
    *regions: RegionName,
    mode: ExecutionMode = ExecutionMode.RACE,
    policy: RegionPolicy = RegionPolicy.FALLBACK,
    sent: tuple[int, ...] = (),
) -> StepPlan:
    """Plan a step with a leg for each region."""
    listed = regions or (IAD,)
    own = listed[:1] if mode is ExecutionMode.HEDGE else listed
    legs = tuple(Leg(region=region, state=_STATES[leg in sent]) for leg, region in enumerate(own))
    return StepPlan(legs=legs, sent=sent, used=frozenset(), mode=mode, policy=policy, listed=listed)


def claim(job: str, leg: int, of: StepPlan) -> Claim:
    """Claim a permit."""
    ticket = Ticket(int(job, 36), JobId(job), leg, CustomerId("cust_acme"), STEP, path=PATH)
    return Claim(DOMAIN, ticket, of.is_spare(leg))


def send(placed: Placed) -> SendAttempt:
    """Send a placed attempt."""
    headers = (("X-EZThrottle-Job-Id", str(placed.job)),)
    request = HttpRequest(method="GET", url=URL, headers=headers, body=None, timeout_ms=30_000)
    return SendAttempt(placed.job, placed.step, placed.attempt, request)


def withdraw(job: str, of: StepPlan) -> Withdraw:
    """End a step."""
    return Withdraw(DOMAIN, JobId(job), STEP, of.listed)


def _leg(report: Report) -> int | None:
    match report:
        case Turn(_, ticket):
            return ticket.leg
        case Placed() | RegionsGone():
            return report.leg
        case _:
            return None


_STATES = {True: LegState.UNDER_WAY, False: LegState.WAITING}
