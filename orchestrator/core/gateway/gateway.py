"""The gateway: all that HTTP, telemetry, the console and the command see of the core."""

from collections.abc import Sequence
from random import Random

from msgspec.structs import replace

from orchestrator.core.gateway.administration import Administration
from orchestrator.core.gateway.customers import Customers
from orchestrator.core.gateway.deliveries import Deliveries
from orchestrator.core.gateway.jobs import Jobs
from orchestrator.core.gateway.shard_client import ShardClient
from orchestrator.core.gateway.targets import Targets
from orchestrator.core.submissions.intake import Intake
from orchestrator.core.submissions.many_jobs import ManyJobs
from orchestrator.core.submissions.submission_checks import SubmissionChecks
from orchestrator.core.views import Numbers, RegionView, Totals
from orchestrator.domain.ids import RegionName
from orchestrator.domain.jobs.submission_bounds import MANY_JOBS_RPS, SubmissionBounds
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Store
from orchestrator.ports.target_guard import TargetGuard

NO_REGION_YET = RegionName("(default)")
"""Stands where a region is to, while there is none: a job that names none is refused as if it named this."""


class Gateway:
    """Commands and queries that take and return records; it makes no JSON.

    Args:
        shard: The shard that owns every job and target.
        store: Where jobs and customers' things lie.
        clock: Time.
        guard: Which targets may be called.
        random: For ids, not for secrets.
        bounds: What a submission may be.
        regions: Where jobs may run; it may change, and be empty for a while.
        many_jobs_rps: Most jobs of one customer that acts on many begin with in a second.
    """

    def __init__(
        self,
        shard: ShardClient,
        store: Store,
        clock: Clock,
        *,
        guard: TargetGuard,
        random: Random,
        bounds: SubmissionBounds,
        regions: Sequence[RegionName],
        many_jobs_rps: float = MANY_JOBS_RPS,
    ) -> None:
        self._shard = shard
        self._store = store
        self.clock = clock
        checks = SubmissionChecks(clock, guard=guard, bounds=bounds, regions=regions)
        intake = Intake(shard, store.jobs, clock, random, checks)
        many = ManyJobs(shard, store.history, clock, intake, per_s=many_jobs_rps)
        self.jobs = Jobs(shard, store.history, clock, intake=intake, many=many)
        self.deliveries = Deliveries(shard, store.history)
        self.customers = Customers(shard, store.history, store.customers, clock)
        self.targets = Targets(shard, store.history, clock)
        self.administration = Administration(shard, store, clock)

    @property
    def default_region(self) -> RegionName:
        """Where a job runs that names no region."""
        return self._shard.default_region() or NO_REGION_YET

    @property
    def why_not_ready(self) -> str:
        """Why no work can be taken and done, in words; empty where it can."""
        return self._shard.why_not_ready

    def regions_up(self) -> list[RegionName]:
        """Name the regions that take work."""
        return self._shard.regions_up()

    def regions(self) -> tuple[RegionView, ...]:
        """Show every region: its health, what it has under way, and how long its attempts take."""
        return self._shard.regions()

    def totals(self) -> Totals:
        """Give what is counted since the shard began, which is always at hand."""
        return self._shard.totals()

    async def numbers(self) -> Numbers:
        """Count everything: how much there is now, too."""
        numbers = await self._shard.numbers()
        return replace(numbers, store=self._store.numbers(), ready=not self._shard.why_not_ready)
