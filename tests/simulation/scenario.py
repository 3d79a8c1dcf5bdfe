"""What one seed asks for: targets and receivers and their moods, jobs, and faults."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from random import Random

from msgspec import Struct, field
from msgspec.structs import replace

from orchestrator.domain.cluster.lease import BEAT_EVERY_S, WATCH_S
from orchestrator.domain.cluster.slots import SLOTS, slot_of
from orchestrator.domain.ids import CustomerId, RegionName, ShardName, TargetDomain, target_domain
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.domain.pace.pacing import Pace
from tests.simulation.faults import (
    BETWEEN_SHARDS,
    Actor,
    Crash,
    CutFromStore,
    Direction,
    Fault,
    Partition,
    Restart,
    SlowDisk,
    Stall,
    StandBy,
)
from tests.simulation.specs import METHODS, REGIONS, SpecDraw, with_credentials

CUSTOMERS = (CustomerId("cust_a"), CustomerId("cust_b"), CustomerId("cust_c"))
CROWD = tuple(CustomerId(f"cust_{letter}") for letter in "abcdefgh")
CROWDS = 0.3
BROKEN = 0.2
QUOTAS = ((4.0, 5, 40.0), (8.0, 4, 60.0), (10.0, 12, 40.0))


class Mood(StrEnum):
    """How a target or a receiver meets one request."""

    OK = "200"
    NOT_FOUND = "404"
    GONE = "410"
    TOO_MANY = "429"
    ERROR = "500"
    UNAVAILABLE = "503"
    REFUSED = "refused"
    BROKEN = "broken"
    HANGS = "hangs"
    CLOSED_EARLY = "closed early"
    """The idle connection is closed by the server just before the first byte."""

    @property
    def status(self) -> int | None:
        """The status code, where it is an answer."""
        return int(self.value) if self.value.isdigit() else None


class Temper(Struct, frozen=True, kw_only=True):
    """How somebody answers: moods with weights, and latency in s."""

    moods: tuple[tuple[Mood, float], ...] = ((Mood.OK, 1.0),)
    latency_s: tuple[float, float] = (0.005, 0.05)


CALM = Temper()


class QuotaPlan(Struct, frozen=True):
    """What each account with credentials may use of a target in ``window_s``, counted from its first
    request; told in each answer.
    """

    window_s: float
    requests: int
    tokens: float


class TargetPlan(Struct, frozen=True, kw_only=True):
    """A target. ``slow_connect`` is the share of connections that take long to make; ``signals`` the share
    of answers with pacing headers. ``account_queues``: it asks for them. ``broken``: methods that it refuses
    until the run is calm.
    """

    host: str
    temper: Temper
    slow_connect: float
    signals: float
    paces: tuple[tuple[float | None, int | None], ...]
    quota: QuotaPlan | None = None
    account_queues: bool = False
    broken: tuple[str, ...] = ()


class ReceiverPlan(Struct, frozen=True, kw_only=True):
    """A webhook receiver; ``mends`` says whether it answers 200 once the run is calm."""

    host: str
    temper: Temper
    mends: bool = True


class JobPlan(Struct, frozen=True, kw_only=True):
    """A submission: when, by whom, how many more times at once or later, and when its owner cancels it."""

    at_s: float
    customer: CustomerId
    spec: JobSpec
    copies: int = 1
    again_s: tuple[float, ...] = ()
    cancel_s: tuple[float, ...] = ()


class NetworkPlan(Struct, frozen=True, kw_only=True):
    """One-way delays per region in s, and shares of calls that go wrong until the run is calm.

    ``lost``: never arrives, the call raises. ``unsure``: arrives, the call raises all the same.
    ``doubled``: arrives twice. ``late``: arrives up to ``late_most_s`` later.
    """

    base_s: tuple[tuple[RegionName, float], ...]
    jitter_s: float = 0.002
    lost: float = 0.0
    unsure: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    late_most_s: float = 0.0


class Scenario(Struct, frozen=True, kw_only=True):
    """Everything that a seed decides beforehand. ``calm_s`` is when the last fault is over."""

    seed: int
    pace: Pace
    targets: tuple[TargetPlan, ...]
    receivers: tuple[ReceiverPlan, ...]
    jobs: tuple[JobPlan, ...]
    network: NetworkPlan
    faults: tuple[Fault, ...] = ()
    disk_s: tuple[float, float] = (0.0005, 0.004)
    skews_s: tuple[float, ...] = field(default=(0.0, 0.0, 0.0, 0.0))
    calm_s: float = 0.0
    weights: tuple[tuple[CustomerId, int], ...] = ()
    regions: tuple[RegionName, ...] = REGIONS
    only_named: tuple[RegionName, ...] = ()
    """Regions whose nodes take only jobs that name them."""
    slots: tuple[Actor, ...] = (Actor.SHARD,) * SLOTS
    """Whose each slot of targets is."""

    @property
    def shards(self) -> tuple[Actor, ...]:
        """List the shards, each with some of the slots."""
        return tuple(shard for shard in (Actor.SHARD, Actor.OTHER_SHARD) if shard in self.slots)

    def owner(self, domain: TargetDomain) -> ShardName:
        """Say which shard a target is at."""
        return ShardName(self.slots[slot_of(domain)])

    @property
    def faultless(self) -> bool:
        """Whether nothing but targets and receivers misbehaves."""
        network = self.network
        return not (self.faults or network.lost or network.unsure or network.doubled or network.late)

    @property
    def one_shard(self) -> bool:
        """Whether one shard, or all of them, live and hear each other from the beginning to the end."""
        lives = not any(
            isinstance(fault, Restart | StandBy) or (isinstance(fault, Crash) and fault.actor in self.shards)
            for fault in self.faults
        )
        return lives and (len(self.shards) == 1 or self.faultless)


FALLBACKS_ELSEWHERE = 0.5
TAKEN_OVER = 0.5
TWO_SHARDS = 2
"""Of each three seeds, the one that has two shards."""
PACES = (Pace(), Pace(5, 3), Pace(10, 4), Pace(20, 8), Pace(4, 1), Pace(0.8, 2), Pace(300, 30))


def scenario(seed: int) -> Scenario:
    """Draw a scenario. Each fifth seed has no faults; the others mix them more or less."""
    random = Random(f"scenario {seed}")
    targets = tuple(_target(random, index) for index in range(random.choice([1, 1, 2, 3, 4])))
    receivers = tuple(_receiver(random, index) for index in range(3))
    jobs = tuple(_jobs(random, targets, receivers))
    storm_s = max(job.at_s for job in jobs) + random.uniform(2, 10)
    faults = () if seed % 5 == 0 else tuple(_faults(random, storm_s))
    plan = Scenario(
        seed=seed,
        pace=random.choice(
            [Pace(), Pace(5, 3), Pace(10, 4), Pace(20, 8), Pace(4, 1), Pace(0.8, 2), Pace(300, 30)]
        ),
        targets=targets,
        receivers=receivers,
        jobs=jobs,
        network=_network(random, faulty=seed % 5 > 1),
        faults=faults,
        disk_s=random.choice([(0.0005, 0.004), (0.0005, 0.004), (0.005, 0.06)]),
        skews_s=tuple(random.choice([0.0, random.uniform(-50, 50)]) for _ in range(4)),
    )
    plan = replace(plan, calm_s=max([storm_s, *(_over(fault) for fault in faults)]))
    plan = with_broken_methods(plan, Random(f"broken {seed}"))
    plan = with_a_region_for_its_own(plan, Random(f"only named {seed}"))
    plan = with_accounts(plan, Random(f"accounts {seed}")) if seed % 2 else plan
    return with_two_shards(plan, Random(f"shards {seed}")) if seed % 3 == TWO_SHARDS else plan


def with_two_shards(plan: Scenario, random: Random) -> Scenario:
    """Share the targets out between two shards; what struck the one strikes either, and the ways between them
    and from each to the regions are cut too.
    """
    faults = [_at_either(fault, random) for fault in plan.faults]
    if faults:
        until_s = max(map(_over, faults))
        faults += _cuts_of_shards(random, until_s)
        faults += _take_overs(random, until_s)
    first, *others = (replace(target, temper=_slowed(target.temper, random)) for target in plan.targets)
    targets = (first, *(others or [replace(first, host="target-1.test")]))
    return replace(
        plan,
        targets=targets,
        slots=_slots(targets, random),
        jobs=tuple(_with_fallback_elsewhere(job, targets, random) for job in plan.jobs),
        faults=tuple(faults),
        calm_s=max([plan.calm_s, *map(_taken_again, faults)]),
    )


def _taken_again(fault: Fault) -> float:
    """Say when a fault is over, and the shard that it struck down is had by somebody again."""
    dies = isinstance(fault, Restart | StandBy) or (isinstance(fault, Crash) and fault.actor in tuple(Actor))
    return _over(fault) + (WATCH_S + 2 * BEAT_EVERY_S if dies else 0.0)


def _slots(targets: Sequence[TargetPlan], random: Random) -> tuple[Actor, ...]:
    """Share slots out at random, but so that each shard has a target."""
    shards = [Actor.SHARD, Actor.OTHER_SHARD]
    slots = random.choices(shards, k=SLOTS)
    random.shuffle(shards)
    for target, shard in zip(targets, shards, strict=False):
        slots[slot_of(target_domain(f"http://{target.host}"))] = shard
    return tuple(slots)


def _slowed(temper: Temper, random: Random) -> Temper:
    least_s, most_s = temper.latency_s
    return replace(temper, latency_s=(least_s, max(most_s, random.choice([0.1, 1.0, 3.0]))))


def _with_fallback_elsewhere(job: JobPlan, targets: Sequence[TargetPlan], random: Random) -> JobPlan:
    hosts = [target.host for target in targets if f"//{target.host}/" not in job.spec.url]
    if random.random() < FALLBACKS_ELSEWHERE:
        return replace(job, spec=SpecDraw(random, hosts, ()).with_fallback(job.spec))
    return job


def _at_either(fault: Fault, random: Random) -> Fault:
    shard = random.choice([Actor.SHARD, Actor.OTHER_SHARD])
    if isinstance(fault, Crash | Stall):
        return replace(fault, actor=shard) if fault.actor == Actor.SHARD else fault
    if isinstance(fault, Restart):
        return replace(fault, shard=shard)
    if isinstance(fault, Partition):
        return replace(fault, shard=random.choice([None, shard]))
    return fault


def _cuts_of_shards(random: Random, until_s: float) -> Iterator[Partition]:
    for _ in range(random.choice([0, 1, 2, 4])):
        cut = _partition(random, random.uniform(1, until_s))
        yield replace(cut, region=BETWEEN_SHARDS)


def _take_overs(random: Random, until_s: float) -> Iterator[Fault]:
    """Let a shard be stopped, or cut off from its store alone, for so long that another process takes it
    over; or for less.
    """
    if random.random() < TAKEN_OVER:
        shard, at_s = random.choice([Actor.SHARD, Actor.OTHER_SHARD]), random.uniform(1, until_s)
        for_s = random.uniform(2, 14)
        yield StandBy(shard, at_s)
        yield random.choice([Stall(shard, at_s, for_s), CutFromStore(shard, at_s, for_s)])


def with_accounts(plan: Scenario, random: Random) -> Scenario:
    """Give jobs credentials and costs, customers weights, and some targets quotas; or bring a crowd."""
    customers = CROWD if random.random() < CROWDS else CUSTOMERS
    jobs = tuple(
        replace(
            job,
            spec=with_credentials(job.spec, random),
            customer=random.choice(customers) if customers is CROWD else job.customer,
        )
        for job in plan.jobs
    )
    targets = tuple(
        replace(
            target,
            quota=random.choice([None, QuotaPlan(*random.choice(QUOTAS))]),
            account_queues=random.random() < 0.3,
        )
        for target in plan.targets
    )
    weights = tuple((customer, random.choice([1, 1, 2, 5])) for customer in customers)
    return replace(plan, jobs=jobs, targets=targets, weights=weights)


def with_a_region_for_its_own(plan: Scenario, random: Random, share: float = 0.25) -> Scenario:
    """Let the nodes of one region take only jobs that name it, in some runs."""
    return replace(plan, only_named=(random.choice(REGIONS),) if random.random() < share else ())


def with_broken_methods(plan: Scenario, random: Random) -> Scenario:
    """Let some targets refuse whatever is asked by one method, until the run is calm."""
    targets = tuple(
        replace(target, broken=(random.choice(METHODS),)) if random.random() < BROKEN else target
        for target in plan.targets
    )
    return replace(plan, targets=targets)


def _over(fault: Fault) -> float:
    match fault:
        case Crash(_, at_s, down_s):
            return at_s + down_s
        case Stall(_, at_s, for_s) | SlowDisk(at_s, for_s) | CutFromStore(_, at_s, for_s):
            return at_s + for_s
        case StandBy(_, at_s):
            return at_s
        case Restart(at_s, drain_s):
            return at_s + drain_s
        case Partition(_, _, until_s):
            return until_s


def _target(random: Random, index: int) -> TargetPlan:
    bad = random.choice([0.0, 0.1, 0.3, 0.6])
    weights = [(mood, bad * random.random()) for mood in Mood if mood not in (Mood.OK, Mood.GONE)]
    slow = random.choice([0.02, 0.1, 0.4, 1.2])
    paces = tuple(
        (random.choice([None, 0.5, 1.0, 1.5, 3.0, 8.0, 30.0]), random.choice([None, None, 1, 2, 5, 20]))
        for _ in range(3)
    )
    return TargetPlan(
        host=f"target-{index}.test",
        temper=Temper(moods=((Mood.OK, 1.0), *weights), latency_s=(0.002, slow)),
        slow_connect=random.choice([0.0, 0.05, 0.5]),
        signals=random.choice([0.0, 0.0, 0.2]),
        paces=paces,
    )


def _receiver(random: Random, index: int) -> ReceiverPlan:
    bad = random.choice([0.0, 0.3, 0.8])
    moods = (Mood.ERROR, Mood.HANGS, Mood.REFUSED, Mood.TOO_MANY)
    weights = [(mood, bad * random.random()) for mood in moods]
    if random.random() < 0.1:
        weights.append((Mood.GONE, 0.3))
    hopeless = random.random() < 0.08
    return ReceiverPlan(
        host=f"hook-{index}.test",
        temper=Temper(moods=((Mood.ERROR, 1.0),) if hopeless else ((Mood.OK, 1.0), *weights)),
        mends=not hopeless,
    )


def _jobs(
    random: Random, targets: Sequence[TargetPlan], receivers: Sequence[ReceiverPlan]
) -> Iterator[JobPlan]:
    over_s = random.uniform(0.5, 12)
    draw = SpecDraw(random, [target.host for target in targets], [receiver.host for receiver in receivers])
    for index in range(random.randint(5, 35)):
        at_s = 1.0 + random.uniform(0, over_s)
        again = random.random() < 0.1
        cancelled = random.random() < 0.08
        yield JobPlan(
            at_s=at_s,
            customer=random.choice(CUSTOMERS),
            spec=draw.spec(str(index), at_s),
            copies=random.choice([1] * 8 + [2, 3]),
            again_s=(at_s + random.uniform(0, 8),) if again else (),
            cancel_s=(at_s + random.choice([0.01, 0.2, 3.0]),) if cancelled else (),
        )


def _network(random: Random, *, faulty: bool) -> NetworkPlan:
    base_s = tuple((region, random.choice([0.0005, 0.005, 0.03])) for region in REGIONS)
    jitter_s = random.choice([0.0005, 0.005, 0.02])
    if not faulty:
        return NetworkPlan(base_s=base_s, jitter_s=jitter_s)
    return NetworkPlan(
        base_s=base_s,
        jitter_s=jitter_s,
        lost=random.choice([0.0, 0.02, 0.15]),
        unsure=random.choice([0.0, 0.02, 0.15]),
        doubled=random.choice([0.0, 0.05, 0.3]),
        late=random.choice([0.0, 0.05, 0.2]),
        late_most_s=random.choice([0.1, 1.0, 3.0]),
    )


def _faults(random: Random, until_s: float) -> Iterator[Fault]:
    """Draw how often each kind of fault strikes. Half of what strikes an actor strikes the weakest one."""
    weak = random.choice([*REGIONS, Actor.SHARD, Actor.SHARD, Actor.WEBHOOKS])

    def actor() -> str:
        return weak if random.random() < 0.5 else random.choice([*REGIONS, Actor.SHARD, Actor.WEBHOOKS])

    def at_s() -> float:
        return random.uniform(1, until_s)

    for _ in range(random.choice([0, 0, 0, 1])):
        yield Restart(at_s(), random.choice([0.1, 2.0]))
    for _ in range(random.choice([0, 0, 0, 1])):
        yield SlowDisk(at_s(), random.choice([0.3, 1.5]))
    for _ in range(random.choice([0, 1, 2, 4, 8])):
        yield Crash(actor(), at_s(), random.choice([0.05, 0.05, 0.5, 2.0, 5.0]))
    for _ in range(random.choice([0, 0, 1, 2, 4])):
        yield _partition(random, at_s())
    for _ in range(random.choice([0, 0, 1, 3])):
        yield Stall(actor(), at_s(), random.choice([0.06, 0.2, 1.0, 3.5]))


def _partition(random: Random, at_s: float) -> Partition:
    lasts_s = random.choice([0.5, 1.8, 2.6, 4.0, 8.0])
    direction = random.choice([Direction.BOTH] * 3 + [Direction.TO_SHARD, Direction.FROM_SHARD])
    return Partition(random.choice(REGIONS), at_s, at_s + lasts_s, direction)
