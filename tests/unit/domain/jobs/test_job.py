import pytest

from orchestrator.domain.jobs.job import DEFAULT_DEADLINE_MS
from orchestrator.domain.jobs.policies import ExecutionMode
from orchestrator.domain.jobs.spec_record import spec_from_record, spec_to_record
from tests.unit.domain.builders import IAD, LAX, NOW_MS, a_job, a_spec

WEEK_MS = 7 * 24 * 3600 * 1000


def test_a_job_has_a_week_from_its_acceptance() -> None:
    assert a_job().deadline_at_ms == NOW_MS + WEEK_MS == NOW_MS + DEFAULT_DEADLINE_MS


def test_a_scheduled_jobs_time_counts_from_its_due_time() -> None:
    assert a_job(retry_at=NOW_MS + 500, deadline_ms=1_000).deadline_at_ms == NOW_MS + 1_500
    assert a_job(retry_at=NOW_MS - 500, deadline_ms=1_000).deadline_at_ms == NOW_MS + 1_000


@pytest.mark.parametrize(
    ("deadline_ms", "on_failure_timeout_ms", "lasts_ms", "times_out"),
    [
        (1_000, None, 1_000, False),
        (1_000, 400, 400, True),
        (1_000, 5_000, 1_000, False),
        (1_000, 1_000, 1_000, False),
    ],
)
def test_the_nearer_of_the_two_limits_ends_a_job(
    deadline_ms: int, on_failure_timeout_ms: int | None, lasts_ms: int, times_out: bool
) -> None:
    job = a_job(deadline_ms=deadline_ms, on_failure_timeout_ms=on_failure_timeout_ms)
    assert (job.deadline_at_ms - NOW_MS, job.times_out) == (lasts_ms, times_out)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_repeating_these_methods_is_harmless(method: str) -> None:
    assert a_spec(method=method).idempotent_method


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_repeating_these_methods_is_not(method: str) -> None:
    assert not a_spec(method=method).idempotent_method


@pytest.mark.parametrize(
    ("regions", "mode", "racing"),
    [
        ((IAD, LAX), ExecutionMode.RACE, True),
        ((IAD,), ExecutionMode.RACE, False),
        ((IAD, LAX), ExecutionMode.FANOUT, False),
        ((IAD, LAX), ExecutionMode.HEDGE, False),
    ],
)
def test_only_several_regions_against_each_other_race(
    regions: tuple[str, ...], mode: ExecutionMode, racing: bool
) -> None:
    assert a_spec(regions=regions, execution_mode=mode).racing is racing


def test_a_plain_jobs_record_holds_nothing_but_what_was_asked() -> None:
    assert spec_to_record(a_spec()) == {"url": a_spec().url, "regions": ("iad",), "metadata": {}}


def test_an_empty_body_and_no_body_are_kept_apart() -> None:
    assert spec_from_record(spec_to_record(a_spec(body=""))).body == ""
    assert spec_from_record(spec_to_record(a_spec())).body is None
