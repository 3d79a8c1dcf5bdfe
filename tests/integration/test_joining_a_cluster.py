"""A service that joins a running Ray cluster instead of starting its own, and leaves it as it was."""

import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from bench.loopback import Reply, Site
from bench.service import (
    STOPPED_WITHIN_S,
    Service,
    children,
    clean_up,
    process_name,
    resume_service,
    start_service,
)
from tests.integration.conftest import PATIENCE_S, REGIONS, Cluster, wait_until
from tests.support.long import LONG

pytestmark = [pytest.mark.service, pytest.mark.timeout(240)]


@pytest.fixture
def service(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Service]]:
    """Serve in the cluster; called again, serve the same data directory again."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    started: list[Service] = []

    def start() -> Service:
        last = started[-1] if started else None
        started.append(resume_service(last) if last else start_service(tmp_path, "--allow-private-targets"))
        return started[-1]

    yield start
    for service in started:
        clean_up(service.process, tmp_path)
    wait_until(lambda: not cluster.actors())


def submit(service: Service, target: Site, path: str, regions: Sequence[str] = tuple(REGIONS)) -> str:
    job = {"url": target.url(path), "regions": regions, "webhooks": [{"url": target.url(f"/hook{path}")}]}
    answer = httpx.post(f"{service.base_url}/api/v1/jobs", json=job, headers=service.headers())
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def test_a_service_in_a_cluster_works_and_leaves_the_cluster_as_it_was(
    cluster: Cluster, service: Callable[[], Service], target: Site
) -> None:
    running = service()
    submit(running, target, "/warm")
    target.wait(bool, "/hook/warm")
    target.script(
        "/race", lambda seen: Reply(after_s=0 if seen.headers["x-ezthrottle-region"] == "ord" else 30)
    )

    job_id = submit(running, target, "/race")
    [webhook] = target.wait(bool, "/hook/race")

    assert (webhook.json()["job_id"], webhook.json()["region"]) == (job_id, "ord")
    wait_until(
        lambda: cluster.actors() == [*["ray::ExecutorActor"] * 3, "ray::ShardActor", "ray::WebhookActor"]
    )
    assert "raylet" not in map(process_name, running.pids())

    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(STOPPED_WITHIN_S) == 0
    wait_until(lambda: not cluster.actors())
    assert cluster.head.poll() is None
    assert "raylet" in map(process_name, children(cluster.head.pid))


@LONG
def test_a_service_in_a_cluster_goes_on_where_one_that_was_killed_left_off(
    service: Callable[[], Service], target: Site
) -> None:
    killed = service()
    target.on("/held", Reply(after_s=600), Reply())
    # In one region: another leg of a race would be answered at once.
    job_id = submit(killed, target, "/held", REGIONS[:1])
    target.wait(bool, "/held")

    killed.process.kill()
    killed.process.wait()
    service()

    # At least once: one of them may have been the killed one's last act.
    webhooks = target.wait(bool, "/hook/held", PATIENCE_S)
    assert {(sent.json()["job_id"], sent.json()["status"]) for sent in webhooks} == {(job_id, "success")}
    assert len({sent.headers["webhook-id"] for sent in webhooks}) == 1
