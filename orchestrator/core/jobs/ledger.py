"""What each customer has under way and has used."""

from collections import Counter, defaultdict

from msgspec.structs import replace

from orchestrator.domain.access.usage import DayUsage, day_of
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Ending, JobStore

SAVED_EVERY_S = 5.0


class Ledger:
    """Counts in memory and saves now and then: a crash costs a few seconds of statistics, never a job."""

    def __init__(self, store: JobStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._open: Counter[CustomerId] = Counter()
        self._reserved: Counter[CustomerId] = Counter()
        self._unsaved: dict[tuple[CustomerId, int], DayUsage] = {}
        self._called: defaultdict[CustomerId, set[TargetDomain]] = defaultdict(set)
        """On this day."""
        self._day = 0
        self._saving = False

    def open_jobs(self, customer: CustomerId) -> int:
        """Count a customer's jobs that have not ended."""
        return self._open[customer]

    def reserve(self, customer: CustomerId, count: int, most: int) -> bool:
        """Keep places for jobs that are about to be stored, unless a customer would then have more than
        ``most``.
        """
        if self._open[customer] + self._reserved[customer] + count > most:
            return False
        self._reserved[customer] += count
        return True

    def release(self, customer: CustomerId, count: int) -> None:
        """Give places back: the jobs were accepted, and count as open, or they were not stored."""
        self._reserved[customer] -= count
        if not self._reserved[customer]:
            del self._reserved[customer]

    @property
    def total_open(self) -> int:
        """Count all customers' jobs that have not ended."""
        return self._open.total()

    def unsaved(self, customer: CustomerId) -> list[DayUsage]:
        """Give what is not on disk yet."""
        return [usage for (owner, _), usage in self._unsaved.items() if owner == customer]

    def found(self, customer: CustomerId, domain: TargetDomain) -> None:
        """A restart found a job that has not ended."""
        self._open[customer] += 1
        self._note_call(customer, domain)

    def accepted(self, customer: CustomerId, domain: TargetDomain) -> None:
        """A job was taken."""
        self._open[customer] += 1
        self._note_call(customer, domain)
        usage = self._today(customer)
        self._keep(customer, replace(usage, accepted=usage.accepted + 1))

    def ended(self, ending: Ending) -> None:
        """A job has ended."""
        self._open[ending.customer] -= 1
        if not self._open[ending.customer]:
            del self._open[ending.customer]
        usage = self._today(ending.customer)
        counted = {
            JobState.SUCCESS: {"success": usage.success + 1},
            JobState.FAILED: {"failed": usage.failed + 1},
            JobState.CANCELLED: {"cancelled": usage.cancelled + 1},
        }[ending.state]
        self._keep(ending.customer, replace(usage, attempts=usage.attempts + ending.course.made, **counted))

    def save(self) -> None:
        """Give to the store what it has not got; rides the next commit."""
        self._saving = False
        unsaved, self._unsaved = self._unsaved, {}
        for (customer, _), usage in unsaved.items():
            self._store.note_usage(customer, usage)

    def _today(self, customer: CustomerId) -> DayUsage:
        day = day_of(self._clock.unix_ms())
        return self._unsaved.get((customer, day)) or DayUsage(day=day)

    def _keep(self, customer: CustomerId, usage: DayUsage) -> None:
        self._unsaved[customer, usage.day] = usage
        if not self._saving:
            self._saving = True
            self._clock.call_at(self._clock.now() + SAVED_EVERY_S, self.save)

    def _note_call(self, customer: CustomerId, domain: TargetDomain) -> None:
        day = day_of(self._clock.unix_ms())
        if day != self._day:
            self._day, self._called = day, defaultdict(set)
        called = self._called[customer]
        if domain not in called:
            called.add(domain)
            self._store.note_domain(customer, domain)
