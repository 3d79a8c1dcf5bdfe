"""A job whose attempts go out and end as a test says, and chains of fallbacks."""

from typing import Any

from orchestrator.domain.execution.course import begin_course, dispatch_leg
from orchestrator.domain.execution.outcomes import Outcome, settle_attempt
from orchestrator.domain.execution.run import LegState
from orchestrator.domain.execution.settling import Ended
from orchestrator.domain.ids import AttemptId
from orchestrator.domain.jobs.job import Fallback, JobSpec, Trigger, TriggerKind
from tests.unit.domain.builders import NOW_MS, REGIONS, a_spec

ANY = Trigger()


def on_error(*codes: int) -> Trigger:
    return Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset(codes))


def on_timeout(timeout_ms: int) -> Trigger:
    return Trigger(kind=TriggerKind.ON_TIMEOUT, timeout_ms=timeout_ms)


def chain(*triggers: Trigger, **primary: Any) -> JobSpec:
    """A job with one fallback a trigger, nested in that order."""
    fallback = None
    for number, trigger in reversed(list(enumerate(triggers, 1))):
        spec = a_spec(url=f"https://fallback-{number}.example.com/", fallback=fallback)
        fallback = Fallback(trigger, spec)
    return a_spec(fallback=fallback, **primary)


class Play:
    """A job whose attempts go out and end as the test says."""

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.course = begin_course(spec)
        self._ids = 0

    def send(self, step: int = 0, leg: int = 0) -> AttemptId:
        self._ids += 1
        attempt = AttemptId(f"1.{self._ids:x}")
        run = self.course.runs[step]
        assert run is not None
        region = run.legs[leg].region
        self.course, _ = dispatch_leg(self.course, step, leg, attempt, region, NOW_MS)
        return attempt

    def end(self, attempt: AttemptId, ended: Ended) -> Outcome:
        self.course, outcome = settle_attempt(
            self.course, self.spec, attempt, ended, now_ms=NOW_MS, jitter=0.5, up=REGIONS
        )
        return outcome

    def play(self, step: int, ended: Ended) -> Outcome:
        return self.end(self.send(step), ended)


def leg_states(play: Play, step: int = 0) -> list[LegState]:
    run = play.course.runs[step]
    assert run is not None
    return [leg.state for leg in run.legs]
