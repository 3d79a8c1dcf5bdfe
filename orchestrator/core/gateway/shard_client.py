"""What a gateway asks of the shard that owns a job or a target."""

from collections.abc import Awaitable
from contextlib import AbstractContextManager
from typing import Protocol

from orchestrator.core.jobs.job_notifier import Watch
from orchestrator.core.views import DomainView, Numbers, ReceiverView, Redelivered, RegionView, Totals
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.access.usage import DayUsage
from orchestrator.domain.execution.course import Course
from orchestrator.domain.ids import CustomerId, JobId, RegionName, TargetDomain
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.pace.overruling import SetPace
from orchestrator.domain.queueing.queue_position import QueuePosition
from orchestrator.ports.store import DeadFilter


class ShardClient(Protocol):
    """One shard, seen from a gateway. Records go in and come out, so that what is a call in this process may
    be a message to another one.
    """

    @property
    def epoch(self) -> int:
        """Which life of the shard answers; 0 before its first."""

    @property
    def accepting(self) -> bool:
        """Whether submissions are taken."""

    @property
    def why_not_ready(self) -> str:
        """Why no work can be taken and done, in words; empty where it can."""

    def reserve(self, customer: CustomerId, count: int, most: int) -> bool:
        """Keep places for jobs that are about to be stored, unless a customer then had more than ``most``."""

    def release(self, customer: CustomerId, count: int) -> None:
        """Give such places back."""

    def admit(self, job: Job) -> QueuePosition:
        """Queue a job that is on disk; say where it stands."""

    def count_duplicate(self) -> None:
        """Count a submission whose key was known."""

    def count_acknowledged(self, seconds: float) -> None:
        """Count how long it took until a submission was on disk."""

    def learn_secrets(self, customer: CustomerId) -> Awaitable[None]:
        """Know from here on whether a customer signs."""

    def signs(self, customer: CustomerId) -> bool:
        """Whether a customer's webhooks are signed, as far as is known."""

    def forget_secrets(self, customer: CustomerId) -> None:
        """A customer's secrets have changed."""

    def under_way(self, job_id: JobId) -> tuple[JobState, Course] | None:
        """Say how far a job is that is worked at: newer than what is on disk."""

    def place(self, job: Job) -> QueuePosition | None:
        """Say where a job waits; None where it does not."""

    def watch(self, job_id: JobId) -> AbstractContextManager[Watch]:
        """Look at a job: what happens from now on is noticed, for as long as this life of the shard lasts."""

    async def cancel(self, job_id: JobId) -> bool:
        """Cancel a job, and wait until that is on disk; say whether it was still open."""

    def receivers(self, customer: CustomerId, most: int) -> tuple[ReceiverView, ...]:
        """Show how a customer's receivers take webhooks, the worst first."""

    async def redeliver(self, job_id: JobId) -> int:
        """Send a finished job's webhooks again; say how many."""

    async def redeliver_dead(self, wanted: DeadFilter, most: int) -> Redelivered:
        """Make failed deliveries again, the newest first."""

    def domain(self, name: TargetDomain, caller: Caller) -> DomainView:
        """Show a target as a caller may see it."""

    async def reset(self, caller: Caller, domain: TargetDomain) -> None:
        """Forget what was learned of a target."""

    async def pause(self, caller: Caller, domain: TargetDomain) -> None:
        """Start nothing at a target."""

    async def resume(self, caller: Caller, domain: TargetDomain) -> None:
        """End a pause of the operator's."""

    async def set_pace(self, caller: Caller, domain: TargetDomain, pace: SetPace) -> None:
        """Set a target's pace; one that sets nothing lifts it."""

    async def drain(self, caller: Caller, region: RegionName) -> None:
        """Place nothing new in a region until ``undrain``."""

    async def undrain(self, caller: Caller, region: RegionName) -> None:
        """Let a region take work again."""

    def regions(self) -> tuple[RegionView, ...]:
        """Show every region."""

    def default_region(self) -> RegionName | None:
        """Name the region of jobs that name none, if there is one."""

    def regions_up(self) -> list[RegionName]:
        """Name the regions that take work."""

    def open_jobs(self, customer: CustomerId) -> int:
        """Count a customer's jobs that have not ended."""

    @property
    def plans(self) -> tuple[str, ...]:
        """The plans that the operator's table names, by name."""

    def unsaved_usage(self, customer: CustomerId) -> list[DayUsage]:
        """Give what a customer used and is not on disk yet."""

    def totals(self) -> Totals:
        """Give what is counted since the shard began, which is always at hand."""

    async def numbers(self) -> Numbers:
        """Count everything: how much there is now, too."""
