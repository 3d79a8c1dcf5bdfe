"""How much of accepted jobs stays in memory."""

import pytest

from orchestrator.core.jobs import job_cache
from orchestrator.core.jobs.job_cache import JobCache
from orchestrator.domain.jobs.job import Fallback, JobSpec, Trigger, Webhook, bodiless, body_bytes, held_bytes
from tests.unit.domain.builders import a_job, a_spec

LARGE = "x" * 1_000_000


@pytest.mark.parametrize(
    "fields",
    [
        {"body": LARGE},
        {"on_success": a_spec(body=LARGE)},
        {"on_failure": a_spec(on_success=a_spec(body=LARGE))},
        {"fallback": Fallback(Trigger(), a_spec(body=LARGE))},
        {"metadata": {"a": [{"b": LARGE}]}},
        {"headers": (("x-large", LARGE),)},
        {"webhooks": (Webhook(url=f"http://a.test/{LARGE}"),)},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_everything_that_a_job_holds_counts(fields: dict[str, object]) -> None:
    plain, large = held_bytes(a_spec()), held_bytes(a_spec(**fields))
    assert plain < 2_000
    assert len(LARGE) <= large <= len(LARGE) + 5_000


def test_fresh_jobs_are_bounded_by_all_that_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_cache, "FRESH_BYTES", 10 * len(LARGE))
    fresh, child = JobCache(), a_spec(body=LARGE)
    jobs = [a_job(number, on_success=child) for number in range(20)]
    for job in jobs:
        fresh.put(job)
    kept = [fresh.take(job.id) for job in jobs]
    assert kept == [*[None] * 11, *jobs[11:]]
    for job in jobs:
        fresh.put(job)
    assert fresh.take(jobs[-1].id) == jobs[-1], "what was taken counts no more"


def test_what_is_larger_than_all_of_it_drives_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_cache, "FRESH_BYTES", len(LARGE))
    fresh, small, large = JobCache(), a_job(1), a_job(2, body=LARGE)
    fresh.put(small)
    fresh.put(large)
    assert fresh.take(large.id) is None
    assert fresh.take(small.id) == small


def test_a_job_that_is_held_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_cache, "FRESH_BYTES", 3 * len(LARGE))
    fresh, small, large = JobCache(), a_job(1), a_job(2, body=LARGE)
    fresh.put(small)
    for _ in range(10):
        fresh.put(large)
    assert fresh.take(small.id) == small


def test_bodies_are_measured_in_any_depth_and_left_out_there() -> None:
    inner = a_spec(body=LARGE, fallback=Fallback(Trigger(), a_spec(body=LARGE)))
    spec = a_spec(body=LARGE, on_success=inner, on_failure=a_spec(body=LARGE, metadata={"a": 1}))
    assert 4 * len(LARGE) <= body_bytes(spec) <= 4 * len(LARGE) + 1_000
    bare = bodiless(spec)
    assert body_bytes(bare) == 0
    assert bare.on_failure is not None
    assert bare.on_failure.metadata == {"a": 1}
    assert len(bare.steps) == len(spec.steps)
    assert bodiless(a_spec()) == a_spec()


def test_a_spec_is_measured_in_any_depth() -> None:
    spec: JobSpec = a_spec()
    for _ in range(15):
        spec = a_spec(on_success=spec)
    assert held_bytes(spec) == 16 * held_bytes(a_spec())
