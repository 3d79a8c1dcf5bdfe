"""The rate that a target bears and does not name, found by trying: AIMD with the growth of CUBIC.

After a refusal the rate is cut, then grows back: fast while it is far below where it was refused, slowly
near it, and beyond it faster again (the shape is that of RFC 9438). It grows by answers, so that a target of
any speed sees as small a share of refusals; time alone brings most of it back, but never beyond where it was
refused. A refusal that turns out to be no matter of the rate is taken back, as if it had never been.
"""

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.ids import JobId

GROW_BACK_LEAST = 100
GROW_BACK_S = 3.0
"""The rate is back where it was refused after so many seconds' worth of answers, or GROW_BACK_LEAST."""
GROW_BACK_SLOW = 20
GROW_BACK_SLOW_S = 200.0
"""A slow target gives a hundred answers in a quarter of an hour: there, as many as these seconds' worth."""
PROBE = 0.15
CUT = 0.85
CUT_SEARCHING = 0.6
PROVEN_LEAST = 20
FLOOR_OF_GOAL = 1 / 16
"""Where nothing is let through: of the rate last refused, which does not fall then."""
FLOOR_RPS = 1 / 30
"""Otherwise: a target that refuses everything is still asked twice a minute."""
CUT_INTERVAL_S = 0.25
"""All that were on their way at one time are refused together: that is one refusal."""
BACK_BY_TIME = 0.9
BACK_BY_TIME_S = 60.0
BACK_BY_TIME_INTERVALS = 3
LOOKS_AGAIN_FROM_S = 1.0
CUTS_KEPT = 16
"""So many may still be taken back."""


class _Stage(Struct, frozen=True):
    """The way back from a cut at ``since``: from ``low`` to ``goal``, so many ``answers`` along it."""

    goal: float
    low: float
    answers: int = 0
    since: float = float("-inf")

    def rate(self, now: float) -> float:
        most_answers = max(GROW_BACK_LEAST, GROW_BACK_S * self.goal)
        grow_back = min(most_answers, max(GROW_BACK_SLOW, GROW_BACK_SLOW_S * self.goal))
        ahead = (grow_back - self.answers) / grow_back
        span = self.goal - self.low if ahead > 0 else PROBE * self.goal
        return max(self.goal - span * ahead**3, self._by_time(now))

    def _by_time(self, now: float) -> float:
        back_s = max(BACK_BY_TIME_S, BACK_BY_TIME_INTERVALS / self.low)
        share = min(1.0, max(0.0, now - self.since) / back_s) if self.since > float("-inf") else 0.0
        # Slowly at first: a target that still refuses is not to see its floor rise between two requests.
        return self.low + max(0.0, BACK_BY_TIME * self.goal - self.low) * share**3

    def cut(self, now: float) -> "_Stage":
        rate = self.rate(now)
        proven = self.answers >= max(PROVEN_LEAST, rate)
        # A target that lets nothing through does not tell what it bears when it is well again.
        goal = rate if self.answers else self.goal
        floor = FLOOR_RPS if self.answers else max(FLOOR_RPS, FLOOR_OF_GOAL * goal)
        low = max(rate * (CUT if proven else CUT_SEARCHING), floor)
        return _Stage(goal, min(low, goal), since=now)


class _Cut(Struct, frozen=True):
    """A refusal of ``job`` that lowered the rate at ``at``, and what held before."""

    job: JobId
    at: float
    before: _Stage


class TriedRate:
    """A rate in requests per second. Times are monotonic seconds.

    Args:
        ceiling: What it grows towards until it is refused on the way.
        begin: Where it begins, at most ``ceiling``.
        kept_at: When the beginning was found by trying itself: then it holds, whatever is taken back, and
            time raises it. None where it was not.

    """

    __slots__ = ("_counted", "_cuts", "_kept", "_stage")

    def __init__(self, ceiling: float, begin: float, *, kept_at: float | None = None) -> None:
        since = float("-inf") if kept_at is None else kept_at
        self._stage = _Stage(ceiling, min(begin, ceiling), since=since)
        self._cuts: list[_Cut] = []
        self._counted: set[JobId] = set()
        """Those of the cuts' jobs that were not answered since."""
        self._kept = kept_at is not None

    @property
    def lowered(self) -> bool:
        """Whether a refusal stands that was not taken back."""
        return self._kept or bool(self._cuts)

    def rate(self, now: float) -> float:
        """The rate to try now."""
        return self._stage.rate(now)

    def next_at(self, last: float, now: float) -> float:
        """Say when the next request may go after one at ``last``: ``now`` or later. A long wait is looked at
        again on the way, for the rate grows meanwhile.
        """
        latest = max(now, last + 1 / self.rate(now))
        if latest - now < LOOKS_AGAIN_FROM_S:
            return latest
        return max(last + 1 / self.rate(latest), (now + latest) / 2)

    def answered(self, job: JobId, started_at: float) -> None:
        """A request of ``job`` that started at ``started_at`` was let through."""
        self._counted.discard(job)
        if started_at >= self._stage.since:
            stage = self._stage
            self._stage = _Stage(stage.goal, stage.low, stage.answers + 1, stage.since)

    def refused(self, job: JobId, started_at: float, now: float) -> bool:
        """Take a refusal; say whether it lowered the rate. One of before the last cut says nothing new, nor
        does one of a job that did so and was not answered since.
        """
        if started_at < self._stage.since or now < self._stage.since + CUT_INTERVAL_S:
            return False
        if job in self._counted:
            return False
        self._note_cut(job, now)
        self._stage = self._stage.cut(now)
        return True

    def _note_cut(self, job: JobId, now: float) -> None:
        self._cuts.append(_Cut(job, now, self._stage))
        if job:
            self._counted.add(job)
        if len(self._cuts) > CUTS_KEPT:
            self._counted.discard(self._cuts.pop(0).job)
            self._kept = True

    def hold(self, now: float) -> None:
        """The same are refused again, and nobody else is let through: that proves nothing new, but time does
        not bring the rate back meanwhile.
        """
        self._stage = replace(self._stage, since=now)

    def withdraw(self, job: JobId) -> None:
        """A job's refusals were no matter of the rate: go on as if none had been, other cuts standing.
        It has several where it was answered between them, be it on another path.
        """
        index = next((index for index, cut in enumerate(self._cuts) if cut.job == job), None)
        if index is None:
            return
        self._counted.discard(job)
        stage, later = self._cuts[index].before, self._cuts[index + 1 :]
        del self._cuts[index:]
        for cut in later:
            stage = replace(stage, answers=stage.answers + cut.before.answers)
            if cut.job != job:
                self._cuts.append(_Cut(cut.job, cut.at, stage))
                stage = stage.cut(cut.at)
        self._stage = replace(stage, answers=stage.answers + self._stage.answers)
