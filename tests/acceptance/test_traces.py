"""A job's trace, through the service's own processes and over a restart."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import httpx
import pytest

from bench.loopback import Site
from bench.service import Service, resume_service, running_service, stop_service
from tests.support.collector import Collector, running_collector
from tests.support.long import some_of

pytestmark = [pytest.mark.service, pytest.mark.timeout(240)]

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
LATER_S = 4.0


@contextmanager
def restarted(first: Service) -> Iterator[Service]:
    """Stop a service, and serve the same data directory again until the block ends."""
    stop_service(first)
    service = resume_service(first)
    try:
        yield service
    finally:
        stop_service(service)


def submit(service: Service, **job: object) -> str:
    headers = service.headers() | {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    answer = httpx.post(f"{service.base_url}/api/v1/jobs", json=job, headers=headers)
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    return str(answer.json()["job_id"])


def examples(service: Service) -> str:
    accept = {"Accept": "application/openmetrics-text"}
    return httpx.get(f"{service.base_url}/metrics", headers=accept).text


def assert_one_trace(collector: Collector, target: Site) -> None:
    spans = collector.wait_for("job GET", "submit", "attempt iad", "read", "deliver")
    assert {span.trace_id for span in spans} == {TRACE}
    [job], [attempt] = collector.named("job GET"), collector.named("attempt iad")
    assert job.parent_id == PARENT
    assert target.seen("/later")[0].headers["traceparent"] == f"00-{TRACE}-{attempt.span_id}-01"


@pytest.mark.parametrize("restarts", some_of([False, True], False), ids=["in one life", "over a restart"])
def test_a_trace_comes_to_target_receiver_and_collector(
    tmp_path: Path, target: Site, receiver: Site, monkeypatch: pytest.MonkeyPatch, *, restarts: bool
) -> None:
    options = ("--allow-private-targets", "--regions", "iad", "--tracing", "otlp")
    with running_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        with running_service(*options, data_dir=tmp_path) as first:
            retry_at = int((time.time() + LATER_S) * 1000)
            webhooks = [{"url": receiver.url("/hook")}]
            submit(first, url=target.url("/later"), retry_at=retry_at, webhooks=webhooks)
            with restarted(first) if restarts else nullcontext(first) as service:
                receiver.wait(lambda seen: len(seen) == 1, "/hook")
                assert_one_trace(collector, target)
                assert f'# {{trace_id="{TRACE}"}}' in examples(service)
