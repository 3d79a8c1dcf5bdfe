"""The rest of the API, over a real service: batches, lists, streams, replays, metrics, and the command."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.loopback import Site
from bench.service import Service
from tests.acceptance.conftest import Api, customer_of
from tests.support.metric_names import offered, spoken_of

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
PATIENCE_S = 30.0
ACTORS = {"shard", "webhooks", "executor-iad", "executor-lax", "executor-ord"}


def events_of(api: Api, job_id: str) -> list[str]:
    with api.http.stream("GET", f"/api/v1/jobs/{job_id}/stream") as answer:
        return [line.removeprefix("event: ") for line in answer.iter_lines() if line.startswith("event: ")]


def test_a_batch_is_run_listed_and_followed(service: Service, target: Site) -> None:
    with customer_of(service, "cust_batches") as api:
        api.open_gate(target)
        jobs = [{"url": target.url(f"/{number}"), "method": "POST"} for number in range(20)]
        answers = api.http.post("/api/v1/jobs:batch", json={"jobs": [*jobs, {"url": "nonsense"}]}).json()[
            "answers"
        ]
        assert [answer["status"] for answer in answers] == ["queued"] * 20 + [422]
        ids = {answer["job_id"] for answer in answers[:-1]}
        assert {api.ended(job_id)["state"] for job_id in ids} == {"success"}
        listed, query = set(), {"limit": 7, "state": "success"}
        while True:
            page = api.http.get("/api/v1/jobs", params=query).json()
            listed |= {job["job_id"] for job in page["jobs"]}
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert listed > ids
        assert events_of(api, answers[0]["job_id"]) == ["queued", "dispatching", "attempt", "completed"]
        days = api.http.get("/api/v1/usage").json()["days"]
        assert sum(day["success"] for day in days) == 21


def test_a_replay_runs_the_request_again(api: Api, target: Site) -> None:
    first = api.run(url=target.url("/again"), method="POST", body="twice")
    taken = api.http.post(f"/api/v1/jobs/{first['job_id']}/replay")
    assert taken.status_code == httpx.codes.ACCEPTED
    assert api.ended(taken.json()["job_id"])["state"] == "success"
    assert [seen.body for seen in target.seen("/again")] == [b"twice", b"twice"]


def test_every_actor_is_in_the_metrics(service: Service) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (found := actors_measured(service)) != ACTORS:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@pytest.mark.parametrize("name", ["ezthrottle.rules.yml", "grafana-board.json"])
def test_rules_and_board_speak_of_what_the_metrics_have(service: Service, name: str) -> None:
    told = (MONITORING / name).read_text()
    assert spoken_of(told) - offered(httpx.get(f"{service.base_url}/metrics").text) == set()


def actors_measured(service: Service) -> set[str]:
    text = httpx.get(f"{service.base_url}/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        s.labels["actor"] for s in samples if s.name == "ezthrottle_actor_cpu_seconds_total" and s.value > 0
    }


def test_the_command_submits_follows_and_shows(service: Service, api: Api, target: Site) -> None:
    def command(*arguments: str) -> str:
        env = {**os.environ, "EZTHROTTLE_URL": service.base_url, "EZTHROTTLE_API_KEY": api.api_key}
        run = [sys.executable, "-m", "orchestrator", *arguments]
        return subprocess.run(run, env=env, capture_output=True, text=True, timeout=60, check=True).stdout

    taken = json.loads(command("jobs", "submit", target.url("/cli"), "-X", "POST", "-d", "hello", "--json"))
    told = command("jobs", "tail", taken["job_id"])
    assert told.splitlines()[-1].split()[0] == "completed"
    assert taken["job_id"] in command("jobs", "list", "--state", "success", "--limit", "200")
    assert "success" in command("jobs", "get", taken["job_id"])
    assert target.url("").removeprefix("http://").strip("/") in command("domains", "--limit", "200")
    assert "iad" in command("regions")
