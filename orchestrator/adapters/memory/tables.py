"""The rows that the stores in memory share."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from msgspec.structs import replace

from orchestrator.adapters.memory.transactions import Transactions
from orchestrator.domain.access.audit import AuditEntry
from orchestrator.domain.access.usage import DayUsage
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.cluster.draining import Drain
from orchestrator.domain.cluster.lease import Beat
from orchestrator.domain.cluster.slots import slot_of
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.course_answers import without_answers
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.ids import CustomerId, JobId, RegionName, ShardName, TargetDomain
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.pace.overruling import Overruling
from orchestrator.domain.steering.learned import Learned
from orchestrator.domain.webhooks.fanout import JobDelivery
from orchestrator.ports.store import OutboxEntry, StoredJob

FIRST_SHARD = ShardName("shard-0")
"""Which has every slot, where nothing else is said."""


@dataclass(slots=True)
class Row:
    """A job, and what became of it."""

    job: Job
    state: JobState
    course: Course | None = None
    result: bytes | None = None
    ended_ms: int | None = None
    forgotten: bool = False
    """Its payload is past its keeping."""
    delivery: JobDelivery = JobDelivery.NONE
    """How its deliveries stand together, or had ended when they were forgotten."""
    code: str | None = None
    inserted_by: int = 0
    """The number of the transaction that did."""
    ended_by: int = 0
    """The same, of its end and its deliveries."""


class Tables:
    """Rows in dictionaries. What a commit changes it changes without a pause.

    Args:
        slots: Which shard has which slot; where nothing is said, whoever asks has them all.
    """

    def __init__(self, slots: Mapping[int, ShardName] = MappingProxyType({})) -> None:
        self.slots = slots
        self.transactions = Transactions()
        self.beats: dict[ShardName, Beat] = {}
        self.rows: dict[JobId, Row] = {}
        self.keys: dict[tuple[CustomerId, str], JobId] = {}
        self.outbox: dict[JobId, list[OutboxEntry]] = {}
        self.domains: set[tuple[CustomerId, TargetDomain]] = set()
        self.usage: dict[tuple[CustomerId, int], DayUsage] = {}
        self.marks: dict[JobId, Mark] = {}
        self.paces: dict[TargetDomain, Learned] = {}
        self.overrulings: dict[TargetDomain, Overruling] = {}
        self.audit: list[AuditEntry] = []
        self.drains: dict[RegionName, Drain] = {}

    def has(self, shard: ShardName, domain: TargetDomain) -> bool:
        """Whether a shard has a target's slot, or a receiver's."""
        return not self.slots or self.slots[slot_of(domain)] == shard

    def overrule(self, domain: TargetDomain, overruling: Overruling, learned: Learned | None) -> None:
        """Keep what an operator says of a domain, and what is taken as learned there, where that is given."""
        self.overrulings.pop(domain, None)
        if overruling:
            self.overrulings[domain] = overruling
        if learned is not None:
            self.paces[domain] = learned

    def drain(self, region: RegionName, drain: Drain | None) -> None:
        """Keep that a region drains, or (None) does so no longer."""
        self.drains.pop(region, None)
        if drain is not None:
            self.drains[region] = drain

    def load(self, job_id: JobId) -> StoredJob | None:
        """Read one job whole."""
        row = self.rows.get(job_id)
        if row is None or row.forgotten:
            return None
        return StoredJob(
            job=row.job,
            state=row.state,
            course=row.course,
            result=row.result,
            ended_ms=row.ended_ms,
            deliveries=tuple(self.outbox.get(job_id, ())),
            result_bytes=len(row.result or b""),
        )

    def look(self, job_id: JobId) -> StoredJob | None:
        """Read one job without what may be large."""
        stored = self.load(job_id)
        if stored is None:
            return None
        course = stored.course and without_answers(stored.course)
        small = stored.result_bytes <= LARGE_BYTES
        return replace(stored, course=course, result=stored.result if small else None)

    def result(self, job_id: JobId) -> bytes | None:
        """Read a job's result."""
        row = self.rows.get(job_id)
        return row.result if row is not None and not row.forgotten else None
