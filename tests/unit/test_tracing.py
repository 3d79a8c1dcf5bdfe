"""Spans of jobs: a real shard, client, target, receiver and collector, each with its own socket."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bench.loopback import GENEROUS_PACE, Reply, Site, running_site
from orchestrator.adapters.otlp import OtlpTracing
from orchestrator.adapters.tracing import open_tracing
from orchestrator.domain.exchange import Fault
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import JobSpec, RetryPolicy, Webhook
from orchestrator.domain.jobs.policies import ExecutionMode
from orchestrator.ports.tracing import NO_TRACING
from regions.egress.client import AiohttpEgress
from regions.guard import AddressPolicy
from tests.support.collector import Collector, Span, running_collector
from tests.support.live_rig import IAD, LAX, LiveRig, live_rig

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
PACED = Reply(headers=GENEROUS_PACE)
PHASES = ["connect", "write", "wait for answer", "read"]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with running_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        yield collector


@pytest.fixture
def tracing(collector: Collector) -> Iterator[OtlpTracing]:
    tracing = OtlpTracing()
    yield tracing
    tracing.close()


@pytest.fixture
async def egress() -> AsyncIterator[AiohttpEgress]:
    async with AiohttpEgress(AddressPolicy(allow_private=True)) as client:
        yield client


@pytest.fixture
async def traced(egress: AiohttpEgress, tracing: OtlpTracing) -> AsyncIterator[LiveRig]:
    async with live_rig(egress, tracing) as rig:
        yield rig


@pytest.fixture
async def untraced(egress: AiohttpEgress) -> AsyncIterator[LiveRig]:
    async with live_rig(egress) as rig:
        yield rig


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site(PACED) as site:
        yield site


async def sent(tracing: OtlpTracing, collector: Collector) -> list[Span]:
    """Let the tracing send what waits, and read all that came."""
    await asyncio.to_thread(tracing.close)
    return collector.spans()


def inside(spans: list[Span], of: Span) -> list[Span]:
    return [span for span in spans if span.parent_id == of.span_id]


async def test_a_job_is_a_span_with_its_submission_waits_attempts_and_deliveries(
    traced: LiveRig, tracing: OtlpTracing, collector: Collector, site: Site
) -> None:
    webhook = Webhook(url=site.url("/hook"))
    stored = await traced.run(url=site.url("/pay"), method="POST", body="x", webhooks=(webhook,))
    spans = await sent(tracing, collector)
    [job] = [span for span in spans if span.name == "job POST"]
    assert (job.parent_id, job.service, job.error) == ("", "ezthrottle", "")
    assert job.attributes["ezthrottle.job.id"] == stored.job.id
    assert {span.trace_id for span in spans} == {job.trace_id}
    assert sorted(span.name for span in inside(spans, job)) == ["attempt iad", "deliver", "submit", "wait"]
    [attempt] = collector.named("attempt iad")
    assert [span.name for span in inside(spans, attempt)] == PHASES
    assert attempt.attributes["http.response.status_code"] == 200
    assert all(span.began_ns <= span.ended_ns for span in spans)


async def test_the_phases_of_an_attempt_lie_one_after_the_other_and_say_what_took_its_time(
    traced: LiveRig, tracing: OtlpTracing, collector: Collector, site: Site
) -> None:
    site.on("/slow", Reply(headers=GENEROUS_PACE, after_s=0.2))
    await traced.run(url=site.url("/slow"))
    spans = await sent(tracing, collector)
    connect, write, wait, read = (next(span for span in spans if span.name == name) for name in PHASES)
    assert connect.ended_ns <= write.began_ns <= write.ended_ns <= wait.began_ns
    assert wait.ended_ns <= read.began_ns
    assert wait.ended_ns - wait.began_ns > 150_000_000


async def test_a_submissions_trace_goes_on_to_the_target_and_to_the_receiver(
    traced: LiveRig, tracing: OtlpTracing, collector: Collector, site: Site
) -> None:
    webhook = Webhook(url=site.url("/hook"))
    await traced.run(traceparent=SAMPLED, url=site.url("/pay"), webhooks=(webhook,))
    await sent(tracing, collector)
    [job], [attempt], [delivery] = map(collector.named, ("job GET", "attempt iad", "deliver"))
    assert (job.trace_id, job.parent_id) == (TRACE, PARENT)
    for path, span in (("/pay", attempt), ("/hook", delivery)):
        [seen] = site.seen(path)
        assert seen.headers["traceparent"] == f"00-{TRACE}-{span.span_id}-01"


async def test_each_attempt_has_its_own_span_and_says_what_went_wrong(
    traced: LiveRig, tracing: OtlpTracing, collector: Collector, site: Site
) -> None:
    site.on("/pay", Reply(status=500, headers=GENEROUS_PACE), PACED)
    policy = RetryPolicy(reroute_codes=frozenset({500}))
    await traced.run(
        url=site.url("/pay"), regions=(IAD, LAX), retry_policy=policy, execution_mode=ExecutionMode.HEDGE
    )
    await sent(tracing, collector)
    attempts = [*collector.named("attempt iad"), *collector.named("attempt lax")]
    assert [span.error for span in attempts] == ["500", ""]
    parents = [seen.headers["traceparent"].split("-")[2] for seen in site.seen("/pay")]
    assert parents == [span.span_id for span in attempts]


async def test_a_job_that_failed_says_why(
    traced: LiveRig, tracing: OtlpTracing, collector: Collector, site: Site
) -> None:
    site.on("/pay", Reply(status=404, headers=GENEROUS_PACE))
    await traced.run(url=site.url("/pay"))
    await sent(tracing, collector)
    [job] = collector.named("job GET")
    assert (job.error, job.attributes["error.type"]) == ("status", "status")


async def test_a_child_belongs_to_the_trace_of_the_job_that_spawned_it(
    traced: LiveRig, tracing: OtlpTracing, collector: Collector, site: Site
) -> None:
    child = JobSpec(url=site.url("/next"), method="PUT", metadata={}, regions=(IAD,))
    await traced.run(url=site.url("/pay"), on_success=child)
    await asyncio.to_thread(site.wait, lambda seen: len(seen) == 1, "/next")
    async with asyncio.timeout(30):
        while traced.shard.jobs.ledger.total_open:  # noqa: ASYNC110  # a count has no event
            await asyncio.sleep(0.01)
    await sent(tracing, collector)
    [parent], [spawned] = map(collector.named, ("job GET", "job PUT"))
    assert (spawned.trace_id, spawned.parent_id) == (parent.trace_id, parent.span_id)


async def test_a_trace_that_its_submitter_does_not_keep_is_not_kept_and_goes_on_as_it_came(
    traced: LiveRig, tracing: OtlpTracing, collector: Collector, site: Site
) -> None:
    await traced.run(traceparent=UNSAMPLED, url=site.url("/pay"))
    assert await sent(tracing, collector) == []
    assert site.seen("/pay")[0].headers["traceparent"] == UNSAMPLED


async def test_the_sampler_of_the_variables_decides_on_jobs_that_bring_no_trace(
    egress: AiohttpEgress, collector: Collector, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    tracing = OtlpTracing()
    async with live_rig(egress, tracing) as rig:
        await rig.run(url=site.url("/pay"))
    assert await sent(tracing, collector) == []
    assert "traceparent" not in site.seen("/pay")[0].headers


async def test_a_header_of_the_jobs_own_stays_alone(traced: LiveRig, site: Site) -> None:
    await traced.run(traceparent=SAMPLED, url=site.url("/pay"), headers=(("TraceParent", UNSAMPLED),))
    [seen] = site.seen("/pay")
    assert [seen.headers[name] for name in seen.headers if name.lower() == "traceparent"] == [UNSAMPLED]


async def test_without_tracing_a_submissions_trace_goes_on_as_it_came_and_nothing_is_added(
    untraced: LiveRig, site: Site
) -> None:
    webhook = Webhook(url=site.url("/hook"))
    await untraced.run(traceparent=SAMPLED, url=site.url("/told"), webhooks=(webhook,))
    await untraced.run(url=site.url("/untold"))
    assert [site.seen(path)[0].headers.get("traceparent") for path in ("/told", "/hook", "/untold")] == [
        SAMPLED,
        SAMPLED,
        None,
    ]


async def test_the_histograms_name_traces_that_are_kept(traced: LiveRig, site: Site) -> None:
    await traced.run(traceparent=SAMPLED, url=site.url("/pay"), webhooks=(Webhook(url=site.url("/hook")),))
    counters = traced.shard.counters
    for histogram in (
        counters.attempt_seconds[IAD],
        counters.start_delay,
        counters.delivery_seconds,
        counters.delivery_delay,
    ):
        assert {example.trace_id for example in histogram.examples.values()} == {TRACE}


async def test_an_attempt_that_never_connected_is_told_as_one(
    traced: LiveRig, tracing: OtlpTracing, collector: Collector
) -> None:
    policy = RetryPolicy(max_retries=0, max_reroutes=0)
    await traced.run(url="http://127.0.0.1:1/", retry_policy=policy, deadline_ms=1_000)
    spans = await sent(tracing, collector)
    attempt = collector.named("attempt iad")[0]
    assert attempt.attributes["error.type"] == Fault.CONNECT
    assert inside(spans, attempt) == []


def test_without_tracing_nothing_is_imported_and_nothing_is_sent(collector: Collector) -> None:
    program = (
        "import sys, orchestrator.adapters.ray.node\n"
        "from orchestrator.adapters.tracing import open_tracing\n"
        "open_tracing('').close()\n"
        "extra = ('opentelemetry.sdk', 'opentelemetry.exporter')\n"
        "print([name for name in sys.modules if name.startswith(extra)])"
    )
    run = [sys.executable, "-c", program]
    told = subprocess.run(run, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
    assert collector.requests == 0


def test_tracing_is_off_unless_it_is_asked_for(collector: Collector, tracing: OtlpTracing) -> None:
    assert not isinstance(open_tracing(""), OtlpTracing)
    assert NO_TRACING.onward(JobId("job_1_1"), None, 1) is None
