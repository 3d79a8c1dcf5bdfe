"""A service whose regions are agents: real processes on loopback, over TLS."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bench.agents import Gate, await_joined, end
from bench.loopback import Reply, Site
from bench.ports import free_port
from bench.service import EZTHROTTLE, NO_TLS, Service, create_key, kill_processes, stop_service
from ezthrottle import EZThrottle, Step, StepType
from tests.acceptance.conftest import Api
from tests.support.certificates import Certificate

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

REGIONS = ("fra", "lax", "ord")
ELSEWHERE_WITHIN_S = 3.5
BACK_WITHIN_S = 5.0
SLACK_S = 2.0
"""For a machine that others use too."""
LARGE = b"x" * (5 * 1024 * 1024)


@dataclass
class Fleet:
    """A service without regions of its own, and its agents."""

    gate: Gate
    service: Service
    api: Api
    log: Path
    agents: dict[str, list[subprocess.Popen[str]]] = field(default_factory=dict)

    def join(self, region: str, *options: str, token: Path | None = None) -> subprocess.Popen[str]:
        """Start an agent, and wait until its region is up."""
        agent = self.gate.start(region, token or self.gate.token(region)[1], *options, log=self.log)
        await_joined(agent)
        self.agents.setdefault(region, []).append(agent)
        self.until_up(region)
        return agent

    def submit(self, count: int, **job: Any) -> list[str]:
        """Submit as many jobs that are the same but for their keys."""
        return [self.api.submit(idempotent_key=uuid4().hex, **job)["job_id"] for _ in range(count)]

    def health(self) -> dict[str, str]:
        """Say how each region is."""
        answer = self.api.http.get("/api/v1/regions")
        return {region["region"]: region["health"] for region in answer.json()["regions"]}

    def until_up(self, *regions: str) -> float:
        """Wait until regions are up; say how long that took, s."""
        return self.until("up", *regions)

    def until_heard(self, node: str) -> None:
        """Wait until a further node of a region has beaten."""
        began = time.monotonic()
        while f'actor="{node}@' not in self.api.http.get("/metrics").text:
            assert time.monotonic() < began + 30, self.log.read_text()
            time.sleep(0.02)

    def until(self, health: str, *regions: str) -> float:
        """Wait until regions are so; say how long that took, s."""
        began = time.monotonic()
        while {self.health().get(region) for region in regions} != {health}:
            assert time.monotonic() < began + 30, self.log.read_text()
            time.sleep(0.02)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("fleet")
    data_dir = directory / "data"
    data_dir.mkdir()
    gate = Gate.make(data_dir, Certificate.made().write(directory))
    with ExitStack() as stack:
        service = served(gate)
        stack.callback(lambda: stop_service(service))
        api = Api(service.base_url, service.api_key)
        stack.enter_context(api.http)
        fleet = Fleet(gate, service, api, directory / "agents.log")
        stack.callback(lambda: [end(agent) for agents in fleet.agents.values() for agent in agents])
        for region in REGIONS:
            fleet.join(region)
        yield fleet


def served(gate: Gate) -> Service:
    """Serve without a region of its own."""
    url, key = f"http://127.0.0.1:{free_port()}", create_key(gate.data_dir, "cust_fleet")
    service = Service(begun(gate, url), url, gate.data_dir, key, 0.0)
    await_answers(service)
    return service


def begun(gate: Gate, url: str) -> subprocess.Popen[bytes]:
    """Start the command."""
    options = ("--regions", "", "--allow-private-targets", *gate.options)
    port = url.rpartition(":")[2]
    command = (*EZTHROTTLE, "serve", "--data-dir", str(gate.data_dir), "--port", port, *options)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def await_answers(service: Service) -> None:
    """Wait until the API answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and service.process.poll() is None:
        try:
            httpx.get(f"{service.base_url}/healthz", verify=NO_TLS)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(service.process.poll())


def ran_at(job: dict[str, Any]) -> list[str]:
    return [attempt["region"] for attempt in job["timeline"]["attempts"]]


def test_the_sdk_races_over_agents_and_the_target_sees_their_regions(fleet: Fleet, target: Site) -> None:
    fleet.api.open_gate(target)
    slow = {"fra": 2.0, "lax": 0.2, "ord": 2.0}
    url = target.script("/race", lambda seen: Reply(after_s=slow[seen.headers["x-ezthrottle-region"]]))
    with EZThrottle(api_key=fleet.service.api_key, base_url=fleet.service.base_url) as client:
        step = Step(client).url(url).type(StepType.PERFORMANCE).regions([*REGIONS])
        job = fleet.api.ended(step.execute()["job_id"])

    assert {leg["region"]: leg["state"] for leg in job["timeline"]["legs"]}["lax"] == "won"
    assert {seen.headers["x-ezthrottle-region"] for seen in target.seen("/race")} == {*REGIONS}


def test_a_job_that_names_no_region_runs_in_the_one_known_longest(fleet: Fleet, target: Site) -> None:
    assert ran_at(fleet.api.run(url=target.url("/default"))) == ["fra"]


def test_a_region_that_has_no_key_is_refused_and_the_known_ones_named(fleet: Fleet, target: Site) -> None:
    answer = fleet.api.post(url=target.url(), regions=["mars"])
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert "fra, lax, ord" in answer.text


def test_a_large_answer_comes_whole_through_an_agent(fleet: Fleet, target: Site) -> None:
    fleet.api.open_gate(target)
    job = fleet.api.run(url=target.on("/large", Reply(body=LARGE)), regions=["ord"])
    assert job["state"] == "success"
    assert job["result"]["response"]["body"] == LARGE.decode()
    assert set(fleet.health().values()) == {"up"}


def test_a_strict_job_waits_for_its_agent_and_runs_nowhere_else(fleet: Fleet, target: Site) -> None:
    fleet.api.open_gate(target)
    (lax,) = fleet.agents["lax"]
    lax.send_signal(signal.SIGSTOP)
    fleet.until("down", "lax")
    acknowledged = fleet.api.submit(url=target.url("/strict"), regions=["lax"], region_policy="strict")
    time.sleep(0.5)
    assert not target.seen("/strict")

    lax.send_signal(signal.SIGCONT)

    job = fleet.api.ended(acknowledged["job_id"])
    assert {*ran_at(job)} == {"lax"}
    assert {seen.headers["x-ezthrottle-region"] for seen in target.seen("/strict")} == {"lax"}
    fleet.until_up("lax")


def test_the_work_of_an_agent_that_is_killed_runs_elsewhere(fleet: Fleet, target: Site) -> None:
    fleet.api.open_gate(target)
    url = target.script(
        "/killed", lambda seen: Reply(after_s=60 if seen.headers["x-ezthrottle-region"] == "ord" else 0)
    )
    jobs = fleet.submit(10, url=url, regions=["ord"])
    target.wait(lambda seen: len(seen) == len(jobs), "/killed")

    (ord_,) = fleet.agents.pop("ord")
    killed_at = time.monotonic()
    end(ord_)

    assert {fleet.api.ended(job)["state"] for job in jobs} == {"success"}
    again = [seen for seen in target.seen("/killed") if seen.headers["x-ezthrottle-region"] != "ord"]
    assert len(again) == len(jobs)
    assert max(seen.at for seen in again) - killed_at < ELSEWHERE_WITHIN_S + SLACK_S
    fleet.join("ord")


def test_two_agents_share_a_region_and_one_has_it_when_the_other_is_killed(
    fleet: Fleet, target: Site
) -> None:
    fleet.api.open_gate(target)
    _, token = fleet.gate.token("ams")
    agents = {name: fleet.join("ams", "--node", name, token=token) for name in ("first", "second")}
    fleet.until_heard("second")
    url = target.on("/shared", Reply(after_s=1.0))
    jobs = fleet.submit(20, url=url, regions=["ams"], region_policy="strict")
    target.wait(lambda seen: len(seen) == len(jobs), "/shared")
    killed_at = time.monotonic()
    end(agents["first"])

    assert {fleet.api.ended(job)["state"] for job in jobs} == {"success"}
    lost = len(target.seen("/shared")) - len(jobs)
    assert 0 < lost < len(jobs), "each had a part of the work"
    assert max(seen.at for seen in target.seen("/shared")) - killed_at < ELSEWHERE_WITHIN_S + SLACK_S
    assert fleet.health()["ams"] == "up"


def test_agents_come_back_by_themselves_when_the_service_was_killed(fleet: Fleet, target: Site) -> None:
    fleet.api.open_gate(target)
    jobs = fleet.submit(50, url=target.url("/survives"), regions=["fra"])
    kill_processes(fleet.service.process, fleet.service.data_dir)
    fleet.service.process = begun(fleet.gate, fleet.service.base_url)
    await_answers(fleet.service)

    took = fleet.until_up(*REGIONS)
    assert took < BACK_WITHIN_S + SLACK_S
    assert {fleet.api.ended(job)["state"] for job in jobs} == {"success"}


def test_a_revoked_key_closes_its_agents_connection_and_ends_the_agent(fleet: Fleet) -> None:
    key_id, token = fleet.gate.token("syd")
    agent = fleet.join("syd", token=token)
    options = (key_id, "--data-dir", str(fleet.gate.data_dir))
    subprocess.run([*EZTHROTTLE, "keys", "revoke", *options], check=True, stdout=subprocess.DEVNULL)

    assert agent.wait(10) == 2
    assert "unknown or revoked" in fleet.log.read_text()
    answer = fleet.api.post(url="http://127.0.0.1:1/", regions=["syd"])
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY


def test_a_token_of_another_region_ends_the_command_and_says_why(fleet: Fleet, tmp_path: Path) -> None:
    _, token = fleet.gate.token("fra")
    log = tmp_path / "log"
    agent = fleet.gate.start("lax", token, log=log)
    assert agent.wait(20) == 2
    assert "the token is for region fra, not for lax" in log.read_text()
    end(agent)


def test_an_agents_own_address_policy_holds_whatever_the_service_allows(fleet: Fleet, target: Site) -> None:
    _, token = fleet.gate.token("gru")
    command = [*EZTHROTTLE, "region", "--name", "gru", "--join", fleet.gate.url, "--token-file", str(token)]
    agent = subprocess.Popen(
        [*command, "--ca", str(fleet.gate.certificate)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("EZTHROTTLE_")},
    )
    try:
        await_joined(agent)
        fleet.until_up("gru")
        job = fleet.api.run(url=target.url("/guarded"), regions=["gru"], region_policy="strict")
        assert job["result"]["error"]["code"] == "target_not_allowed"
        assert not target.seen("/guarded")
    finally:
        end(agent)
