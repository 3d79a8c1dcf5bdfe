"""What the limiters of a run made of each answer, written down as it happened."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.targets import limiter_registry
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import AccountId, JobId, TargetDomain
from orchestrator.domain.pace.active_limits import ActiveLimit, ActiveLimitKind
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import PathClass
from orchestrator.domain.steering.heard import REFUSALS

TOO_MANY, UNAVAILABLE = 429, 503
DOMAIN_KEY = None
"""Of the domain's own rate, among those of its accounts and customers."""
Cuts = dict[str | None, Counter[JobId]]
"""By whose rate it is: the jobs whose refusals lowered it, and how often each."""
TroubledClass = tuple[AccountId | None, PathClass]
"""A path class that is in trouble for one account, or for everybody."""


class Held(Struct, frozen=True):
    """What holds at a target at one moment."""

    limits: frozenset[ActiveLimit]
    """Besides classes in trouble and rates found by trying."""
    cuts: Cuts
    in_trouble: frozenset[TroubledClass]


class Lesson(Struct, frozen=True):
    """An answer that a limiter heard, and what held before and after. Times are virtual s."""

    at: float
    started_at: float
    ticket: Ticket
    status: int
    probe: bool
    before: Held
    after: Held

    @property
    def refuses(self) -> bool:
        """Whether the target turned the request away."""
        return self.status in REFUSALS

    @property
    def scope(self) -> AccountId | None:
        """Whose matter a refusal is: one account's, or everybody's."""
        return self.ticket.account if self.status == TOO_MANY else None

    @property
    def judged(self) -> bool:
        """Whether it may say something of the rate, or of its path class. A probe's 503 only says that the
        target is not back yet.
        """
        return self.refuses and not (self.probe and self.status == UNAVAILABLE)

    @property
    def contained(self) -> bool:
        """Whether it is no more than one refusal of a path class in trouble, be it a probe's."""
        return self.refuses and (self.scope, self.ticket.path) in self.after.in_trouble


@dataclass(slots=True)
class LimiterLog:
    """The life of one target's limiter, in order."""

    domain: TargetDomain
    lessons: list[Lesson] = field(default_factory=list)


@contextmanager
def logged_lessons(logs: list[LimiterLog], now: Callable[[], float]) -> Iterator[None]:
    """Let every limiter that is made write down what it learns."""

    def make(name: TargetDomain, *args: Any, **options: Any) -> LoggedLimiter:
        logs.append(LimiterLog(name))
        return LoggedLimiter(name, *args, log=logs[-1], loop_time=now, **options)

    with patch.object(limiter_registry, "DomainLimiter", make):
        yield


class LoggedLimiter(DomainLimiter):
    """A real limiter that tells what it learns."""

    __slots__ = ("_log", "_loop_time")

    def __init__(self, *args: Any, log: LimiterLog, loop_time: Callable[[], float], **options: Any) -> None:
        self._log = log
        self._loop_time = loop_time
        super().__init__(*args, **options)

    def hear(
        self,
        permit: int | None,
        response: HttpResponse,
        started_at: float,
        answered_at: float,
        *,
        probe: bool = False,
    ) -> bool:
        """Take what an answer said."""
        ticket, before = None if permit is None else self._permits.ticket(permit), self._held()
        changed = super().hear(permit, response, started_at, answered_at, probe=probe)
        if ticket is not None:
            at, status = self._loop_time(), response.status
            self._log.lessons.append(Lesson(at, started_at, ticket, status, probe, before, self._held()))
        return changed

    def _held(self) -> Held:
        steering, now = self._keeper._steering, self._clock.now()
        apart = (ActiveLimitKind.TROUBLE, ActiveLimitKind.SLOWED)
        shown = [*steering.active_limits(now), *steering.active_limits_for(None, now)]
        # Whose request was last to hear of an account's limit binds nobody.
        limits = (replace(limit, customer=None) if limit.account else limit for limit in shown)
        troubles = steering.binding.judge.troubles
        in_trouble = frozenset(troubles._classes) if troubles is not None else frozenset()
        lasting = frozenset(limit for limit in limits if limit.kind not in apart)
        return Held(lasting, dict(self._cuts()), in_trouble)

    def _cuts(self) -> Iterator[tuple[str | None, Counter[JobId]]]:
        throttles = self._keeper._steering.binding.throttles
        for key, throttle in ((DOMAIN_KEY, throttles.own), *(throttles.by_key or {}).items()):
            tried = throttle._tried if throttle is not None else None
            if tried is not None:
                yield key, Counter(cut.job for cut in tried._cuts)
