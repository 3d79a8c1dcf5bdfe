import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.adapters.http.components import resolved
from orchestrator.core.shard import READY_WITHOUT_ALL_AFTER_S
from orchestrator.domain.cluster.placement import Placement, PlacementState
from orchestrator.domain.ids import RegionName, TargetDomain
from orchestrator.messages.names import executor_address
from orchestrator.messages.types import Heartbeat
from orchestrator.runtime.version import VERSION
from orchestrator.transport.visits import Visit
from tests.unit.domain.builders import REGIONS
from tests.unit.http.gateway import JOBS, TARGET, Gateway


def beats(gateway: Gateway, region: str, vitals: dict[str, float] | None = None) -> None:
    beat = Heartbeat("one", gateway.shard.epoch, vitals or {})
    gateway.shard.heartbeat(executor_address(RegionName(region)), beat, "boot")


async def test_the_process_says_that_it_lives(gateway: Gateway) -> None:
    response = await gateway.client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "version": VERSION})


async def ready_in(gateway: Gateway) -> list[str]:
    response = await gateway.client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "ready")
    regions: list[str] = response.json()["regions"]
    return regions


async def test_the_service_is_not_ready_until_every_region_was_heard(gateway: Gateway) -> None:
    response = await gateway.client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    for region in ("lax", "iad"):
        beats(gateway, region)
        assert (await gateway.client.get("/readyz")).status_code == 503
    gateway.regions_up()
    assert await ready_in(gateway) == [*REGIONS]


async def test_why_it_is_not_ready_is_told(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async def reason() -> str:
        refused = await gateway.client.get("/readyz")
        assert refused.status_code == 503
        told: str = refused.json()["error"].partition(";")[0]
        return told

    assert await reason() == "no region takes work"
    beats(gateway, "lax")
    assert await reason() == "not every region has been heard yet"
    gateway.regions_up()
    monkeypatch.setattr(type(gateway.store), "lost", "ezthrottle.db was deleted")
    assert await reason() == "the store takes nothing: ezthrottle.db was deleted"
    await gateway.shard.drain(0.0)
    assert await reason() == "the service is starting, or stopping"


async def test_the_metrics_name_the_version(gateway: Gateway) -> None:
    text = (await gateway.client.get("/metrics")).text
    (sample,) = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "ezthrottle_build_info"
    ]
    assert (sample.labels["version"], sample.value) == (VERSION, 1.0)


async def test_a_dead_region_keeps_the_service_unready_for_a_while_only(gateway: Gateway) -> None:
    beats(gateway, "lax")
    gateway.clock.ahead_s += READY_WITHOUT_ALL_AFTER_S
    assert await ready_in(gateway) == ["lax"]


async def test_once_every_region_was_heard_the_ones_that_live_are_enough(gateway: Gateway) -> None:
    gateway.regions_up()
    gateway.shard.peers.peer(RegionName("iad")).doubt()
    assert await ready_in(gateway) == ["lax", "ord"]


async def test_readiness_tells_where_each_region_runs_or_why_it_does_not(gateway: Gateway) -> None:
    beats(gateway, "lax")
    pending = Placement(state=PlacementState.PENDING, since_ms=1, reason="no node of the cluster offers it")
    runs = Placement(state=PlacementState.RUNS, since_ms=2, host="west", address="10.77.2.1", version="1.0")
    for region, placement in (("iad", pending), ("lax", runs)):
        gateway.shard.peers.placed(executor_address(RegionName(region)), placement)
    refused = await gateway.client.get("/readyz")
    assert "iad: no node of the cluster offers it; ord: it was not heard yet" in refused.json()["detail"]
    gateway.clock.ahead_s += READY_WITHOUT_ALL_AFTER_S
    beats(gateway, "lax")
    iad, lax, _ = (await gateway.client.get("/readyz")).json()["details"]
    assert (iad["reason"], iad["nodes"][0]["placement"]) == (pending.reason, "pending")
    [node] = lax["nodes"]
    assert (lax["reason"], node["host"], node["address"], node["version"]) == (
        *(None, "west"),
        *("10.77.2.1", "1.0"),
    )


async def test_without_any_region_the_service_is_not_ready_however_long_it_waits(gateway: Gateway) -> None:
    gateway.clock.ahead_s += 2 * READY_WITHOUT_ALL_AFTER_S
    assert (await gateway.client.get("/readyz")).status_code == 503


async def test_a_service_that_stops_is_not_ready(gateway: Gateway) -> None:
    gateway.regions_up()
    await gateway.shard.drain(0.0)
    assert (await gateway.client.get("/readyz")).status_code == 503


async def test_the_counts_are_in_prometheus_format(gateway: Gateway) -> None:
    gateway.regions_up()
    await gateway.submit()
    await gateway.submit()
    response = await gateway.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert samples["ezthrottle_jobs_accepted_total",] == 1
    assert samples["ezthrottle_jobs_duplicate_total",] == 1
    assert samples["ezthrottle_region_up", "lax"] == 1


def samples_of(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def metrics(gateway: Gateway) -> dict[tuple[str, ...], float]:
    return samples_of((await gateway.client.get("/metrics")).text)


async def test_whether_it_is_ready_is_in_the_metrics(gateway: Gateway) -> None:
    assert (await metrics(gateway))["ezthrottle_ready",] == 0
    gateway.regions_up()
    assert (await metrics(gateway))["ezthrottle_ready",] == 1


async def test_what_rules_add_up_is_there_before_anything_has_happened(gateway: Gateway) -> None:
    found = await metrics(gateway)
    assert found["ezthrottle_delivery_attempts_total", "failed"] == 0
    assert found["ezthrottle_jobs_ended_total", "success"] == 0


async def test_acknowledgements_and_starts_are_timed(gateway: Gateway) -> None:
    gateway.regions_up()
    assert (await gateway.submit()).status_code == 202
    assert (await gateway.submit()).json()["status"] == "duplicate"
    gateway.answer_attempts()
    found = await metrics(gateway)
    assert found["ezthrottle_acknowledge_seconds_count",] == 2
    assert found["ezthrottle_start_delay_seconds_count",] == 1


async def test_durations_and_429s_are_counted(gateway: Gateway) -> None:
    gateway.regions_up()
    await gateway.submit(retry_policy={"max_retries": 0})
    gateway.answer_attempts(429)
    found = await metrics(gateway)
    assert found["ezthrottle_answers_429_total", "203.0.113.7:80"] == 1
    assert found["ezthrottle_attempt_seconds_count", "iad"] == 1
    assert found["ezthrottle_attempt_seconds_bucket", "+Inf", "iad"] == 1
    assert found["ezthrottle_breakers_open", "lax"] == 0
    assert found["ezthrottle_region_health", "up", "iad"] == 1
    assert found["ezthrottle_region_health", "down", "iad"] == 0


async def test_a_target_that_pauses_shows_when_it_goes_on(gateway: Gateway) -> None:
    gateway.regions_up()
    await gateway.submit()
    gateway.answer_attempts(503, retry_after="30")
    found = await metrics(gateway)
    assert found["ezthrottle_domain_pace_rps", "203.0.113.7:80"] == 0
    assert found["ezthrottle_domain_limited_by", "203.0.113.7:80", "pause"] == 1
    assert found["ezthrottle_domain_max_concurrent", "203.0.113.7:80"] == 2
    assert 29 < found["ezthrottle_domain_next_start_seconds", "203.0.113.7:80"] <= 30


async def test_queues_of_the_busiest_targets_have_names_and_the_rest_is_other(gateway: Gateway) -> None:
    gateway.regions_up()
    for target in range(25):
        for number in range(4):
            await gateway.submit(url=f"http://203.0.113.{target}/", body=str(number))
    found = await metrics(gateway)
    named = [key for key in found if key[0] == "ezthrottle_domain_waiting"]
    assert len(named) == 21
    assert sum(found[key] for key in named) == found["ezthrottle_legs_waiting",] == 25 * 2
    assert found["ezthrottle_domain_in_flight", "other"] == 5 * 2
    assert found["ezthrottle_permits_out",] == 50
    assert found["ezthrottle_jobs_open",] == 100


async def test_the_429s_of_later_targets_are_counted_together(gateway: Gateway) -> None:
    for number in range(30):
        gateway.shard.counters.answered_429(TargetDomain(f"{number}.example"))
    gateway.shard.counters.answered_429(TargetDomain("3.example"))
    found = await metrics(gateway)
    assert found["ezthrottle_answers_429_total", "3.example"] == 2
    assert found["ezthrottle_answers_429_total", "other"] == 10


async def test_who_came_to_the_door_for_agents_is_counted(gateway: Gateway) -> None:
    gateway.shard.counters.visits.update({Visit.LET_IN: 2, Visit.HUNG_UP_ON: 3})
    found = await metrics(gateway)
    assert found["ezthrottle_agent_connections_total", "let in"] == 2
    assert found["ezthrottle_agent_connections_total", "hung up on"] == 3


async def test_every_actor_speaks_for_itself(gateway: Gateway) -> None:
    vitals = {"cpu_s": 1.5, "resident_bytes": 7e7, "batches_sent": 3.0, "messages_sent": 40.0}
    beats(gateway, "lax", vitals)
    found = await metrics(gateway)
    assert found["ezthrottle_actor_cpu_seconds_total", "executor-lax"] == 1.5
    assert found["ezthrottle_actor_resident_bytes", "executor-lax"] == 7e7
    assert found["ezthrottle_actor_messages_sent_total", "executor-lax"] == 40
    assert found["ezthrottle_actor_resident_bytes", "shard"] > 0
    assert ("ezthrottle_actor_cpu_seconds_total", "executor-iad") not in found


async def test_the_description_names_every_field_of_a_submission(gateway: Gateway) -> None:
    document = (await gateway.client.get("/openapi.json")).json()
    schema = document["paths"][JOBS]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body = resolved(schema, document)
    assert {"url", "webhooks", "retry_policy", "retry_at", "webhook_quorum"} <= set(body["properties"])
    assert body["required"] == ["url"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1", 404),
        ("GET", "/api/v1/nothing", 404),
        ("PUT", JOBS, 405),
        ("PATCH", f"{JOBS}/job_1_1", 405),
        ("POST", "/healthz", 405),
    ],
)
async def test_what_is_not_there_is_told_as_a_problem(
    gateway: Gateway, method: str, path: str, status: int
) -> None:
    response = await gateway.client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) >= {"type", "title", "status", "detail", "error"}
    assert problem["status"] == status


async def test_a_wrong_method_is_told_which_ones_there_are(gateway: Gateway) -> None:
    assert "GET" in (await gateway.client.post("/healthz")).headers["allow"]


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/openapi.json", "/docs", JOBS, "/api/v1/usage"])
async def test_head_is_get_without_a_body(gateway: Gateway, path: str) -> None:
    whole, head = await gateway.client.get(path), await gateway.client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


async def test_a_stream_has_no_head_for_it_has_no_end(gateway: Gateway) -> None:
    job = (await gateway.submit()).json()
    assert (await gateway.client.head(f"{JOBS}/{job['job_id']}/stream")).status_code == 405


@pytest.mark.parametrize("path", [f"{JOBS}/", "/healthz/", "/api/v1/usage/"])
async def test_a_slash_too_many_is_404_and_leads_nowhere(gateway: Gateway, path: str) -> None:
    response = await gateway.client.get(path, headers={"host": "evil.example"})
    assert (response.status_code, "location" in response.headers) == (404, False)
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "//api/v1/jobs"),
        ("POST", "/api/v1//jobs"),
        ("GET", "//api/v1/jobs"),
        ("GET", "//api///v1/usage"),
        ("GET", "//healthz"),
    ],
)
async def test_a_base_url_with_a_slash_at_its_end_is_no_other_address(
    gateway: Gateway, method: str, path: str
) -> None:
    document = {"url": TARGET} if method == "POST" else None
    response = await gateway.client.request(method, f"http://service{path}", json=document)
    assert response.status_code == (202 if method == "POST" else 200)
