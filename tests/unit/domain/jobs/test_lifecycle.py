import itertools

import pytest

from orchestrator.domain.errors import IllegalTransition
from orchestrator.domain.jobs.lifecycle import JobEvent, JobState, advance, diagram, first_state

LIFE = {
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
NOT_IN_LIFE = [step for step in itertools.product(JobState, JobEvent) if step not in LIFE]


@pytest.mark.parametrize(("step", "target"), LIFE.items())
def test_a_legal_step_leads_where_the_contract_says(
    step: tuple[JobState, JobEvent], target: JobState
) -> None:
    assert advance(*step) is target


@pytest.mark.parametrize(("state", "event"), NOT_IN_LIFE)
def test_every_other_step_is_refused_by_naming_both(state: JobState, event: JobEvent) -> None:
    with pytest.raises(IllegalTransition, match=f"a {state} job can't take .*'{event}'"):
        advance(state, event)


@pytest.mark.parametrize("state", JobState)
def test_a_state_has_ended_exactly_if_nothing_leads_out_of_it(state: JobState) -> None:
    assert state.ended == all(source is not state for source, _ in LIFE)


@pytest.mark.parametrize(
    ("retry_at", "state"),
    [
        (None, JobState.QUEUED),
        (0, JobState.QUEUED),
        (999, JobState.QUEUED),
        (1_000, JobState.QUEUED),
        (1_001, JobState.SCHEDULED),
    ],
)
def test_only_a_job_whose_time_lies_ahead_begins_scheduled(retry_at: int | None, state: JobState) -> None:
    assert first_state(1_000, retry_at) is state


@pytest.mark.parametrize("state", JobState)
def test_the_diagram_shows_each_state(state: JobState) -> None:
    assert f" {state}\n" in f"{diagram()}\n" or f" {state}:" in diagram()


@pytest.mark.parametrize(("step", "target"), LIFE.items())
def test_the_diagram_shows_each_step(step: tuple[JobState, JobEvent], target: JobState) -> None:
    assert f"    {step[0]} --> {target}: {step[1]}\n" in diagram()


@pytest.mark.parametrize("state", JobState)
def test_the_diagram_marks_ends_and_beginnings(state: JobState) -> None:
    lines = diagram().splitlines()
    assert (f"    {state} --> [*]" in lines) == state.ended
    assert (f"    [*] --> {state}" in lines) == (state in {JobState.SCHEDULED, JobState.QUEUED})
