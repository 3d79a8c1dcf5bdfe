"""The life of a job: its states, what can happen to it, and the one table that joins them."""

from enum import StrEnum

from orchestrator.domain.errors import IllegalTransition


class JobState(StrEnum):
    """Where a job stands."""

    SCHEDULED = "scheduled"
    """Accepted, and not to start before its ``retry_at``."""
    QUEUED = "queued"
    """Waiting for its target's first permit."""
    RUNNING = "running"
    """At least one attempt was let out."""
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to the job any more."""
        return self in _ENDED


class JobEvent(StrEnum):
    """What can happen to a job."""

    DUE = "due"
    """Its ``retry_at`` has come."""
    DISPATCHED = "dispatched"
    """Its first attempt goes out."""
    SUCCEEDED = "succeeded"
    """An attempt was answered with 2xx."""
    GAVE_UP = "gave up"
    """Its last leg ended without success, or its time is over."""
    CANCEL = "cancel"
    """Its owner asked for its end."""


_ENDED = frozenset({JobState.SUCCESS, JobState.FAILED, JobState.CANCELLED})

TRANSITIONS: dict[tuple[JobState, JobEvent], JobState] = {
    (JobState.SCHEDULED, JobEvent.DUE): JobState.QUEUED,
    (JobState.SCHEDULED, JobEvent.GAVE_UP): JobState.FAILED,
    (JobState.SCHEDULED, JobEvent.CANCEL): JobState.CANCELLED,
    (JobState.QUEUED, JobEvent.DISPATCHED): JobState.RUNNING,
    (JobState.QUEUED, JobEvent.GAVE_UP): JobState.FAILED,
    (JobState.QUEUED, JobEvent.CANCEL): JobState.CANCELLED,
    (JobState.RUNNING, JobEvent.SUCCEEDED): JobState.SUCCESS,
    (JobState.RUNNING, JobEvent.GAVE_UP): JobState.FAILED,
    (JobState.RUNNING, JobEvent.CANCEL): JobState.CANCELLED,
}


def advance(state: JobState, event: JobEvent) -> JobState:
    """Apply ``event`` to ``state``.

    Raises:
        IllegalTransition: The table knows no such step.

    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        msg = f"a {state} job can't take {event!r}"
        raise IllegalTransition(msg) from None


def first_state(now_ms: int, retry_at: int | None) -> JobState:
    """Say where a job accepted at ``now_ms`` begins."""
    return JobState.SCHEDULED if retry_at is not None and retry_at > now_ms else JobState.QUEUED


def state_shown(state: JobState, begins_ms: int, now_ms: int) -> JobState:
    """Say where a job stands at ``now_ms``: a scheduled one is queued by the mere passing of time."""
    due = state is JobState.SCHEDULED and now_ms >= begins_ms
    return advance(state, JobEvent.DUE) if due else state


def diagram() -> str:
    """Draw the table as a Mermaid state diagram."""
    steps = [f"    {source} --> {target}: {event}" for (source, event), target in TRANSITIONS.items()]
    starts = [f"    [*] --> {state}" for state in (JobState.SCHEDULED, JobState.QUEUED)]
    ends = [f"    {state} --> [*]" for state in JobState if state.ended]
    return "\n".join(["stateDiagram-v2", *starts, *steps, *ends])
