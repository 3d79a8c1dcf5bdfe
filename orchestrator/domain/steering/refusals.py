"""Why a target refuses: it is asked too fast, one job of many can never pass, or a whole path is broken.

Only the first is a matter of the rate. The others are known by contrast: the same is refused again and again,
while requests of others, started since, are answered. Where there is no contrast, for nobody is answered,
refusals are the rate's.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from msgspec import Struct

from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.requests.path_class import UNKNOWN_PATH, PathClass

WITHIN_S = 60.0
LOOKED_AT = 64
"""The latest requests: what contrast is found in."""
OTHERS_LEAST = 4
OTHERS_ANSWERED = 0.8
"""A share of so many requests of others is contrast."""
TROUBLED_FROM = 3
"""Jobs of a path class that were refused, none of it being answered."""
STATED_LEAST = 20
STATED_SHARE = 0.05
STATED_JOBS = 3
"""Where a target states its pace: so many of its latest requests have to be refused, of so many jobs."""
INSISTENT_REPEATS = 8
INSISTENT_JOBS = 3
INSISTENT_ANSWERED = 0.25
"""Where whoever was refused is refused again each time, so few answers of others are contrast."""
FORGOTTEN_AFTER_S = 600.0
JOBS_MOST = 512
"""Refused jobs that are told apart: one that is forgotten comes again as if it never had."""
CLASSES_MOST = 64


class Finding(Enum):
    """What a refusal says of the rate."""

    LOWERS = auto()
    """The target bears less."""
    HOLDS = auto()
    """Nothing new, but nobody else was let through either."""
    NOTHING = auto()
    """It is the job's own matter, or no more than chance."""
    CONTAINED = auto()
    """It is the matter of its path class, which is in trouble: it binds nobody else."""


class Refusal(Struct, frozen=True):
    """A request that was refused. ``started_at`` is monotonic s; ``asks_to_wait``: it named a wait that lies
    ahead. An empty ``job`` is one that is not known.
    """

    job: JobId
    customer: CustomerId
    path: PathClass
    started_at: float
    asks_to_wait: bool = False


class Judgement(Struct, frozen=True):
    """What follows from a refusal. ``withdrawn``: jobs whose refusals are no matter of the rate after all, if
    they counted, here or as what two accounts heard; each with its customer.
    """

    finding: Finding
    withdrawn: tuple[tuple[JobId, CustomerId], ...] = ()


class _Request(Struct, frozen=True):
    """One of the latest; of a job that is refused again and again only the first."""

    job: JobId
    customer: CustomerId
    path: PathClass
    started_at: float
    refused: bool


@dataclass(slots=True)
class _Witness:
    """A job that was refused, and not answered since. Times are monotonic s."""

    customer: CustomerId
    path: PathClass
    since: float
    last: float
    counted: bool = False
    to_blame: bool = False
    again: bool = False


@dataclass(slots=True)
class _Class:
    """A path class that refuses. ``jobs`` are the latest, each with its last refusal (monotonic s)."""

    since: float
    last: float
    jobs: dict[JobId, float] = field(default_factory=dict)
    in_trouble: bool = False
    suspect: bool = False
    """It looks like trouble, but there is no contrast yet."""

    def note(self, job: JobId, now: float) -> None:
        self.last = now
        self.jobs.pop(job, None)
        self.jobs[job] = now
        if len(self.jobs) > TROUBLED_FROM:
            del self.jobs[next(iter(self.jobs))]


class AnsweredPaths:
    """When each path class of a target was last answered, as far as that is a minute ago or less."""

    __slots__ = ("_at", "_others", "_path")

    def __init__(self) -> None:
        # Most targets are called on one path, and there are very many of them.
        self._path = UNKNOWN_PATH
        self._at = float("-inf")
        self._others: dict[PathClass, float] | None = None

    def note(self, path: PathClass, now: float) -> None:
        """A request was answered."""
        if path != self._path:
            if now - self._at < WITHIN_S:
                self._put_aside()
            self._path = path
        self._at = now

    def lately(self, path: PathClass, now: float) -> bool:
        """Whether a request of the class was answered within a minute."""
        at = self._at if path == self._path else (self._others or {}).get(path, float("-inf"))
        return now - at < WITHIN_S

    def copy(self) -> "AnsweredPaths":
        """Begin from what is known, and go on apart."""
        copied = AnsweredPaths()
        copied._path, copied._at = self._path, self._at
        copied._others = dict(self._others) if self._others else None
        return copied

    def _put_aside(self) -> None:
        others = self._others = self._others if self._others is not None else {}
        others.pop(self._path, None)
        others[self._path] = self._at
        if len(others) > CLASSES_MOST:
            del others[next(iter(others))]


class Refusals:
    """What is known of the refusals of one target, or of one account there. Times are monotonic seconds."""

    __slots__ = ("_again", "_again_jobs", "_again_since", "_classes", "_jobs", "_latest", "answered", "last")

    def __init__(self, answered: AnsweredPaths) -> None:
        self.answered = answered
        self._latest: deque[_Request] = deque(maxlen=LOOKED_AT)
        self._jobs: dict[JobId, _Witness] = {}
        self._classes: dict[PathClass, _Class] = {}
        self._again = 0
        """Repeats that were refused, none being answered between them; since when, and of which jobs."""
        self._again_since = float("-inf")
        self._again_jobs: set[JobId] = set()
        self.last = float("-inf")

    def at_rest(self, now: float) -> bool:
        """Whether nothing was refused for long."""
        return now >= self.last + FORGOTTEN_AFTER_S

    def suspects_job(self, job: JobId) -> bool:
        """Whether a job was refused again and again: it is to let others go first, for contrast."""
        witness = self._jobs.get(job)
        return witness is not None and witness.again

    def suspects_class(self, path: PathClass) -> bool:
        """Whether a path class refuses all: what is of it is to let others go first, too."""
        found = self._classes.get(path)
        return found is not None and found.suspect

    @property
    def many(self) -> bool:
        """Whether more of the latest requests is refused than chance would have it."""
        latest = list(self._healthy())
        # A job may be there more than once: refused, answered, and refused in its next step.
        jobs = [r.job for r in latest if r.refused]
        few = len(latest) < STATED_LEAST or len(set(jobs)) < STATED_JOBS
        return not few and len(jobs) >= STATED_SHARE * len(latest)

    def heard_answer(
        self, job: JobId, customer: CustomerId, path: PathClass, started_at: float, now: float
    ) -> None:
        """A request was let through: one is enough for a class to be in trouble no longer."""
        self._latest.append(_Request(job, customer, path, started_at, refused=False))
        self.answered.note(path, now)
        if self._jobs.pop(job, None) is not None:
            self._again, self._again_jobs = 0, set()
        self._classes.pop(path, None)

    def judge(self, refusal: Refusal, now: float, *, stated: bool) -> Judgement:
        """Say what a refusal is about. ``stated``: the target states its pace on what it lets through."""
        self.last = now
        troubled = self._note_class(refusal, now)
        if troubled.in_trouble:
            return _CONTAINED
        witness = self._jobs.get(refusal.job)
        first = witness is None
        if witness is None:
            witness = self._note_job(refusal, now)
        if self._falls_into_trouble(refusal.path, troubled, now):
            return Judgement(Finding.CONTAINED, self._blame(refusal.path))
        return (
            self._of_first(refusal, witness, stated=stated)
            if first
            else self._of_repeat(refusal, witness, now, stated=stated)
        )

    def _of_first(self, refusal: Refusal, witness: _Witness, *, stated: bool) -> Judgement:
        if refusal.asks_to_wait or self._insists() or (stated and not self.many):
            return _NOTHING
        witness.counted = True
        return _LOWERS

    def _of_repeat(self, refusal: Refusal, witness: _Witness, now: float, *, stated: bool) -> Judgement:
        before, witness.last, witness.again = witness.last, now, True
        if witness.to_blame:
            return _NOTHING
        self._note_repeat(refusal.job, now)
        if self._contrast(witness) or self._insists():
            witness.to_blame = True
            return Judgement(Finding.NOTHING, ((refusal.job, witness.customer),))
        if witness.counted:
            return _NOTHING if self._answered_since(before) else _HOLDS
        # It has waited as it was told, and that was no good.
        return self._of_first(_unasked(refusal), witness, stated=stated)

    def _note_class(self, refusal: Refusal, now: float) -> _Class:
        found = self._classes.pop(refusal.path, None)
        if found is None or now >= found.last + FORGOTTEN_AFTER_S:
            found = _Class(refusal.started_at, now)
        if refusal.path != UNKNOWN_PATH and refusal.job:
            self._classes[refusal.path] = found
            found.note(refusal.job, now)
        if len(self._classes) > CLASSES_MOST:
            del self._classes[next(iter(self._classes))]
        return found

    def _note_job(self, refusal: Refusal, now: float) -> _Witness:
        witness = _Witness(refusal.customer, refusal.path, refusal.started_at, now)
        request = _Request(refusal.job, refusal.customer, refusal.path, refusal.started_at, refused=True)
        self._latest.append(request)
        if refusal.job:
            self._jobs[refusal.job] = witness
        if len(self._jobs) > JOBS_MOST:
            del self._jobs[next(iter(self._jobs))]
        return witness

    def _note_repeat(self, job: JobId, now: float) -> None:
        if not self._again:
            self._again_since = now
        self._again += 1
        if len(self._again_jobs) < INSISTENT_JOBS:
            self._again_jobs.add(job)

    def _falls_into_trouble(self, path: PathClass, found: _Class, now: float) -> bool:
        found.suspect = self._refuses_all(path, found, now)
        if not found.suspect:
            return False
        refusing = {other for other, each in self._classes.items() if self._refuses_all(other, each, now)}
        others = [r for r in self._latest if r.started_at >= found.since and r.path not in refusing]
        found.in_trouble = _mostly_answered(others)
        return found.in_trouble

    def _refuses_all(self, path: PathClass, found: _Class, now: float) -> bool:
        lately = sum(now - at < WITHIN_S for at in found.jobs.values())
        return found.in_trouble or (lately >= TROUBLED_FROM and not self.answered.lately(path, now))

    def _blame(self, path: PathClass) -> tuple[tuple[JobId, CustomerId], ...]:
        """Take back what was held against the rate for a class that is in trouble."""
        blamed = {job: witness for job, witness in self._jobs.items() if witness.path == path}
        self._jobs = {job: witness for job, witness in self._jobs.items() if job not in blamed}
        return tuple((job, witness.customer) for job, witness in blamed.items())

    def _contrast(self, witness: _Witness) -> bool:
        """Whether requests that started since a job was refused are mostly answered: those of its customer,
        or anybody's where that one has few.
        """
        others = [r for r in self._healthy() if r.started_at > witness.since]
        own = [r for r in others if r.customer == witness.customer]
        return _mostly_answered(own if len(own) >= OTHERS_LEAST else others)

    def _insists(self) -> bool:
        """Whether the target refuses the same again and again, and lets some others through each time."""
        if self._again < INSISTENT_REPEATS or len(self._again_jobs) < INSISTENT_JOBS:
            return False
        since = [r for r in self._healthy() if r.started_at >= self._again_since]
        answered = sum(not r.refused for r in since)
        return answered >= max(OTHERS_LEAST, INSISTENT_ANSWERED * len(since))

    def _answered_since(self, at: float) -> bool:
        return any(r.started_at > at and not r.refused for r in self._latest)

    def _healthy(self) -> Iterator[_Request]:
        """Give the latest requests outside the classes in trouble."""
        troubled = {path for path, found in self._classes.items() if found.in_trouble}
        return (r for r in self._latest if r.path not in troubled)


def _mostly_answered(requests: list[_Request]) -> bool:
    answered = sum(not request.refused for request in requests)
    return answered >= max(OTHERS_LEAST, OTHERS_ANSWERED * len(requests))


def _unasked(refusal: Refusal) -> Refusal:
    return Refusal(refusal.job, refusal.customer, refusal.path, refusal.started_at)


_LOWERS, _HOLDS, _NOTHING, _CONTAINED = (
    Judgement(finding) for finding in (Finding.LOWERS, Finding.HOLDS, Finding.NOTHING, Finding.CONTAINED)
)
