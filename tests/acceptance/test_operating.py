"""Running the service: probes, metrics, keys, and what a stop leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from bench.loopback import Reply, Site
from bench.ports import free_port
from bench.service import (
    EZTHROTTLE,
    NO_TLS,
    STOPPED_WITHIN_S,
    Service,
    clean_up,
    create_key,
    descendants,
    process_name,
    processes_of,
    resume_service,
    start_service,
)
from tests.acceptance.conftest import Api, customer_of
from tests.support.long import LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.service, pytest.mark.timeout(240)]

GAVE_UP, REFUSED = 1, 2
SHARD_DEATHS_MOST = 3
REVOKED_WITHIN_S = 5.0
STDERR = "stderr"
STDOUT = "stdout"


def get(service: Service, path: str) -> httpx.Response:
    return httpx.get(service.base_url + path, timeout=20, verify=NO_TLS)


def ezthrottle(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*EZTHROTTLE, *arguments], capture_output=True, text=True, check=False, timeout=60)


def wait_until(holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


@contextlib.contextmanager
def cleaned(process: subprocess.Popen[bytes], data_dir: Path) -> Iterator[None]:
    """Leave no process behind, whatever a test finds out."""
    try:
        yield
    finally:
        clean_up(process, data_dir)


def test_the_probes_need_no_key(service: Service) -> None:
    assert get(service, "/healthz").status_code == httpx.codes.OK
    ready = get(service, "/readyz")
    assert (ready.status_code, sorted(ready.json()["regions"])) == (httpx.codes.OK, ["iad", "lax", "ord"])


def test_the_metrics_count_jobs_attempts_and_deliveries(
    service: Service, api: Api, target: Site, receiver: Site
) -> None:
    before = metrics(service)
    job = api.submit(url=target.url("/"), webhooks=[{"url": receiver.url("/")}])
    api.delivered(job["job_id"])
    after = metrics(service)

    grown = {name for name, value in after.items() if value > before.get(name, 0.0)}
    for part in ("accepted", "attempt", "deliver"):
        assert any(part in name for name in grown), sorted(grown)


def metrics(service: Service) -> dict[str, float]:
    """Read the metrics as Prometheus does."""
    answer = get(service, "/metrics")
    assert answer.status_code == httpx.codes.OK
    lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_the_api_describes_itself(service: Service) -> None:
    document = get(service, "/openapi.json").json()
    paths = document["paths"]

    assert {
        "/api/v1/jobs",
        "/api/v1/jobs/{job_id}",
        "/api/v1/webhook-secrets",
        "/api/v1/proxy",
    } <= paths.keys()
    submission = paths["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "url" in document["components"]["schemas"][submission["$ref"].rpartition("/")[2]]["properties"]
    assert get(service, "/docs").status_code == httpx.codes.OK


def test_a_revoked_key_works_for_five_seconds_at_most(service: Service) -> None:
    with customer_of(service, "cust_revoked") as api:
        key_id = listed_key(service, "cust_revoked")
        assert api.http.get("/api/v1/jobs/job_1_1").status_code == httpx.codes.NOT_FOUND

        revoked = ezthrottle("keys", "revoke", key_id, "--data-dir", str(service.data_dir))

        assert revoked.returncode == 0, revoked.stderr
        wait_until(
            lambda: api.http.get("/api/v1/jobs/job_1_1").status_code == httpx.codes.UNAUTHORIZED,
            REVOKED_WITHIN_S,
        )


def listed_key(service: Service, customer: str) -> str:
    listed = httpx.Response(
        200, text=ezthrottle("keys", "list", "--data-dir", str(service.data_dir), "--json").stdout
    )
    [key_id] = [key["key_id"] for key in listed.json() if key["customer"] == customer]
    assert isinstance(key_id, str)
    return key_id


def test_keys_are_listed_without_their_secrets(service: Service, api: Api) -> None:
    listed = ezthrottle("keys", "list", "--data-dir", str(service.data_dir))

    assert "cust_acceptance" in listed.stdout
    assert api.api_key.rpartition("_")[2] not in listed.stdout


def test_a_second_serve_on_the_same_data_directory_is_refused(service: Service) -> None:
    before = sorted(service.pids())

    second = ezthrottle("serve", "--data-dir", str(service.data_dir), "--port", str(free_port()))

    assert second.returncode == REFUSED
    assert f"another serve (pid {service.process.pid})" in second.stderr
    assert sorted(service.pids()) == before
    assert get(service, "/readyz").status_code == httpx.codes.OK


@pytest.mark.parametrize(("option", "host"), [("--port", ""), ("--metrics-bind", "127.0.0.1:")])
def test_a_port_that_is_taken_is_named(tmp_path: Path, option: str, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = ("--port", str(free_port()), option, f"{host}{port}")
        answer = ezthrottle("serve", "--data-dir", str(tmp_path), *ports)

    assert answer.returncode == REFUSED
    assert port in answer.stderr
    assert f"choose another {option}" in answer.stderr
    assert not processes_of(tmp_path)


def test_a_stop_finishes_what_is_under_way_and_leaves_the_rest_to_the_next_start(
    tmp_path: Path, target: Site, receiver: Site
) -> None:
    held = target.on("/held", Reply(after_s=2.5))
    job = {"webhooks": [{"url": receiver.url("/hook")}]}
    options = ("--allow-private-targets", "--regions", "iad")
    service = start_service(tmp_path, *options, api_key=create_key(tmp_path, "cust_stop"))
    with cleaned(service.process, tmp_path):
        api = Api(service.base_url, service.api_key)
        jobs = [api.submit(url=f"{held}?{number}", **job)["job_id"] for number in range(4)]
        target.wait(lambda seen: len(seen) == 2, "/held")
        pids = service.pids()

        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(api), timeout_s=2.5)

        assert service.process.wait(STOPPED_WITHIN_S) == 0
        assert not left_of(pids, tmp_path)
        assert len(target.seen("/held")) == 2
        finished = {seen.json()["job_id"] for seen in receiver.seen("/hook")}
        assert finished == set(jobs[:2])

    service = resume_service(service)
    with cleaned(service.process, tmp_path):
        seen = receiver.wait(lambda seen: len(seen) == len(jobs), "/hook")
        assert {request.json()["job_id"] for request in seen} == set(jobs)
        assert len(target.seen("/held")) == len(jobs)
        assert [api.show(job_id)["state"] for job_id in jobs] == ["success"] * len(jobs)
        api.http.close()
        assert_ctrl_c_ends(service.process, tmp_path)


@LONG
def test_a_shard_that_can_not_be_started_again_ends_the_service_with_the_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    service = start_service(tmp_path, "--regions", "iad")
    with cleaned(service.process, tmp_path):
        key = tmp_path / "encryption.key"
        key.write_text("0" * len(key.read_text().strip()))
        os.kill(shard_of(service), signal.SIGKILL)

        assert service.process.wait(60) == REFUSED
        assert not processes_of(tmp_path)
    said = capfd.readouterr().err
    assert "sealed with a key (id " in said
    assert "put back the key file" in said


@pytest.fixture(scope="module")
def expendable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of one region, on a port of the system's choice: the last test that has it ends it."""
    data_dir = tmp_path_factory.mktemp("expendable")
    key = create_key(data_dir, "cust_expendable")
    command = (*EZTHROTTLE, "serve", "--data-dir", str(data_dir), "--port", "0")
    options = ("--regions", "iad", "--allow-private-targets", "--log-format", "json", "--log-stdout")
    with (data_dir / STDERR).open("wb") as stderr:
        process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
        )
    with cleaned(process, data_dir):
        assert process.stdout is not None
        said = ""
        while not (began := re.search(r"ready at (\S+)", said)) or "shard epoch" not in said:
            line = process.stdout.readline().decode()
            assert line, said
            said += line
        (data_dir / STDOUT).write_text(said)
        url = began[1]
        yield Service(process, url, data_dir, key, 0.0)
        process.stdout.close()


def test_a_port_that_the_system_chooses_is_told(expendable: Service) -> None:
    assert get(expendable, "/readyz").status_code == httpx.codes.OK
    assert (expendable.data_dir / "service.log").stat().st_mode & 0o777 == 0o600


def test_the_log_is_json_and_on_stdout_where_that_is_asked_for(expendable: Service) -> None:
    lines = (expendable.data_dir / STDOUT).read_text().splitlines()
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    [began] = [line for line in logged if line["message"].startswith("shard epoch 1 serves")]
    assert (began["level"], began["logger"]) == ("info", "orchestrator.adapters.ray.node")
    assert json.dumps(began) in (expendable.data_dir / "service.log").read_text()


def test_a_disk_that_is_full_for_a_moment_costs_a_wait(expendable: Service, target: Site) -> None:
    held = target.on("/held", Reply(after_s=1.0))
    api = Api(expendable.base_url, expendable.api_key)
    with contextlib.closing(api.http):
        shard = shard_of(expendable)
        job = api.submit(url=held)
        target.wait(lambda seen: len(seen) == 1, "/held")

        files_end_at(shard, (expendable.data_dir / "ezthrottle.db-wal").stat().st_size)
        secrets = {"primary_secret": "a secret of sixteen"}
        for refused in (api.post(url=f"{held}?2"), api.http.post("/api/v1/webhook-secrets", json=secrets)):
            assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
            assert int(refused.headers["retry-after"]) > 0
        log = expendable.data_dir / "service.log"
        wait_until(lambda: "a job's end could not be written, and waits" in log.read_text())
        files_end_at(shard, resource.RLIM_INFINITY)

        assert api.http.get(f"/api/v1/jobs/{job['job_id']}?wait=20").json()["state"] == "success"
        assert shard_of(expendable) == shard


def files_end_at(pid: int, size: int) -> None:
    """Let a process write no file beyond ``size`` bytes, as if its disk were full."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_shard_that_died_is_started_again_under_the_same_driver(expendable: Service) -> None:
    before = expendable.pids()
    shard = shard_of(expendable)

    os.kill(shard, signal.SIGKILL)

    wait_until(lambda: any("ShardActor" in process_name(pid) for pid in set(expendable.pids()) - {shard}))
    wait_until(lambda: is_ready(expendable))
    assert expendable.process.poll() is None
    assert "raylet" in {process_name(pid) for pid in set(before) & set(expendable.pids())}


@LONG
def test_a_shard_that_dies_again_and_again_ends_the_service(expendable: Service) -> None:
    killed: set[int] = set()

    def kill_a_shard() -> bool:
        shards = {pid for pid in expendable.pids() if "ShardActor" in process_name(pid)} - killed
        for shard in shards if is_ready(expendable) else ():
            os.kill(shard, signal.SIGKILL)
            killed.add(shard)
        return len(killed) > SHARD_DEATHS_MOST or expendable.process.poll() is not None

    wait_until(kill_a_shard, timeout_s=120)

    assert expendable.process.wait(60) == GAVE_UP
    assert not processes_of(expendable.data_dir)
    # That of the test before may be within the same minute.
    assert len(killed) in (SHARD_DEATHS_MOST, SHARD_DEATHS_MOST + 1)
    assert "the shard died 4 times within a minute" in (expendable.data_dir / STDERR).read_text()


def shard_of(service: Service) -> int:
    [shard] = [pid for pid in service.pids() if "ShardActor" in process_name(pid)]
    return shard


def is_ready(service: Service) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return get(service, "/readyz").status_code == httpx.codes.OK
    return False


def refuses(api: Api) -> bool:
    # Before the stop has reached the shard a submission would be taken, and kept for the next start.
    if api.http.get("/readyz").status_code != httpx.codes.SERVICE_UNAVAILABLE:
        return False
    refused = api.post(url="http://127.0.0.1:9/")
    return refused.status_code == httpx.codes.SERVICE_UNAVAILABLE and int(refused.headers["retry-after"]) > 0


def test_ctrl_c_during_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [*EZTHROTTLE, "serve", "--data-dir", str(tmp_path), "--port", str(free_port())]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    with cleaned(process, tmp_path):
        wait_until(lambda: "gcs_server" in map(process_name, descendants(process.pid)))

        assert_ctrl_c_ends(process, tmp_path)


def assert_ctrl_c_ends(process: subprocess.Popen[bytes], data_dir: Path) -> None:
    """Interrupt as a terminal does: the whole foreground group."""
    pids = descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(STOPPED_WITHIN_S) == 0
    assert not left_of(pids, data_dir)


def left_of(pids: list[int], data_dir: Path) -> list[str]:
    """Name the processes that outlived their service."""
    alive = [pid for pid in pids if process_name(pid) != "?"]
    return [f"{pid} {process_name(pid)}" for pid in {*alive, *processes_of(data_dir)}]
