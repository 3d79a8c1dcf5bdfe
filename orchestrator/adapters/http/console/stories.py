"""What became of a job, in a sentence."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from orchestrator.adapters.http.console.race import Lane, Outcome, Race
from orchestrator.adapters.http.console.wording import span
from orchestrator.domain.jobs.lifecycle import JobState


def story_of(job: Mapping[str, Any], race: Race | None) -> str:
    """Tell how a job stands and why, as its document says."""
    state = JobState(job["state"])
    match state:
        case JobState.SCHEDULED:
            return "It waits for the time that it was submitted for."
        case JobState.QUEUED:
            return _queued(job)
        case JobState.RUNNING:
            return "It is under way."
        case JobState.SUCCESS:
            return _won(job, race.lanes if race else ())
        case JobState.FAILED:
            return f"It failed: {_reason(job)}"
        case JobState.CANCELLED:
            return "It was cancelled; its webhooks hear of that, its children do not begin."
        case _:
            assert_never(state)


def _queued(job: Mapping[str, Any]) -> str:
    if job["position"] is None:
        return "It waits for a region, or behind a breaker."
    return f"It waits for {job['domain']}, at place {job['position']:,} of that queue."


def _won(job: Mapping[str, Any], lanes: Sequence[Lane]) -> str:
    winner = next((lane for lane in lanes if lane.outcome is Outcome.WON), None)
    took = span(job["ended_at"] - job["accepted_at"])
    if winner is None:
        return f"It succeeded after {took}."
    others = [lane for lane in lanes if lane is not winner]
    closed = [lane.region for lane in others if lane.outcome is Outcome.CANCELLED]
    unsent = [lane.region for lane in others if lane.outcome is Outcome.SKIPPED]
    parts = [f"{winner.region} won: the first success, {took} after submission"]
    parts += [f"{_listed(closed)} cancelled"] if closed else []
    parts += [f"{_listed(unsent)} never sent"] if unsent else []
    return "; ".join(parts) + "."


def _listed(names: Sequence[str]) -> str:
    joined = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"{joined} {'were' if len(names) > 1 else 'was'}"


def _reason(job: Mapping[str, Any]) -> str:
    result = job["result"]
    error = result.get("error") if isinstance(result, dict) else None
    return f"{error['message']} ({error['code']})." if error else "its answer is too large to be shown here."
