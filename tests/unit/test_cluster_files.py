"""The files of `ray up` are what Ray takes; the script of the units starts Ray as they want it."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
RAY = ROOT / "deploy" / "ray"
CLUSTERS = ("cluster.local.yaml", "cluster.aws.yaml")
MADE = {"dist": "make wheels", "deploy/ray/ray.token": "openssl rand"}
"""What a cluster's file copies and the checkout does not hold, and what makes it."""


def cluster(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((RAY / name).read_text())
    return read


def commands(name: str) -> list[str]:
    return [line for key, lines in cluster(name).items() if key.endswith("_commands") for line in lines]


@pytest.mark.parametrize("name", CLUSTERS)
def test_ray_takes_the_file(name: str) -> None:
    validate_config(prepare_config(cluster(name)))


def test_a_key_that_ray_does_not_know_would_be_seen() -> None:
    with pytest.raises(jsonschema.ValidationError, match="ssh_usr"):
        validate_config(prepare_config(cluster("cluster.local.yaml") | {"auth": {"ssh_usr": "somebody"}}))


def test_every_host_of_the_list_is_started() -> None:
    prepared = prepare_config(cluster("cluster.local.yaml"))
    [hosts] = prepared["available_node_types"].values()
    assert hosts["min_workers"] == len(prepared["provider"]["worker_ips"]) == prepared["max_workers"]


@pytest.mark.parametrize("name", CLUSTERS)
def test_what_the_file_copies_is_there_or_the_file_says_what_makes_it(name: str) -> None:
    text = (RAY / name).read_text()
    for source in cluster(name)["file_mounts"].values():
        assert MADE[source] in text if source in MADE else (ROOT / source).exists(), source


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_node_has_the_settings_and_the_token_where_its_unit_looks_for_them(name: str) -> None:
    mounts = cluster(name)["file_mounts"]
    assert mounts["/etc/ezthrottle/ray-node.env"] == "deploy/ray/ray-node.env"
    assert "RAY_AUTH_TOKEN_PATH=/etc/ezthrottle/ray.token\n" in (RAY / "ray-node.env").read_text()
    assert "/etc/ezthrottle/ray.token" in mounts


@pytest.mark.parametrize("name", CLUSTERS)
def test_ray_is_started_by_units_that_are_shipped_and_ended_by_nobody(name: str) -> None:
    started = {unit for line in commands(name) for unit in re.findall(r"systemctl restart (\S+)", line)}
    assert started == {"ezthrottle-ray-head", "ezthrottle-ray-node"}
    assert all((RAY / f"{unit}.service").exists() for unit in started)
    assert not [line for line in commands(name) if re.search(r"\bray (start|stop)\b", line)]


def test_what_was_copied_is_installed_once_for_each_release(tmp_path: Path) -> None:
    for part in ("dist", ".venv/bin"):
        (tmp_path / part).mkdir(parents=True)
    (tmp_path / "dist/one.whl").write_text("a wheel")
    pip = tmp_path / ".venv/bin/pip"
    pip.write_text('#!/bin/bash\necho "$*" >> calls\n')
    pip.chmod(0o755)

    def calls_after(release: str) -> int:
        environment = os.environ | {"EZTHROTTLE_ROOT": str(tmp_path)}
        subprocess.run([RAY / "install.sh", release], env=environment, check=True, timeout=20)
        return len((tmp_path / "calls").read_text().splitlines())

    assert [calls_after(release) for release in ("first", "first", "second")] == [2, 2, 4]
    (tmp_path / "dist/one.whl").write_text("another wheel")
    assert calls_after("second") == 6


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_host_installs_what_was_copied(name: str) -> None:
    assert cluster(name)["setup_commands"] == ["/opt/ezthrottle/deploy/ray/install.sh first"]


def test_the_user_of_ray_up_may_restart_the_unit_and_nothing_else() -> None:
    prepared = (RAY / "prepare-host.sh").read_text()
    assert cluster("cluster.local.yaml")["auth"]["ssh_user"] == "ezthrottle"
    [leave] = re.findall(r"NOPASSWD: ([^\"]+)", prepared)
    assert leave == "/usr/bin/systemctl restart ezthrottle-ray-$role"


@pytest.mark.parametrize("role", ["head", "node"])
def test_a_units_ray_comes_back_but_not_on_a_wrong_configuration(role: str) -> None:
    unit = (RAY / f"ezthrottle-ray-{role}.service").read_text().splitlines()
    assert {"Restart=always", "RestartPreventExitStatus=2", "StartLimitIntervalSec=0"} <= {*unit}
    assert f"ExecStart=/opt/ezthrottle/deploy/ray/ray-node.sh {role}" in unit


def test_whoever_is_told_to_call_ray_up_is_told_which_autoscaler() -> None:
    texts = [RAY / name for name in CLUSTERS[:1]] + [ROOT / "docs" / "regions.md"]
    lines = [line for text in texts for line in text.read_text().splitlines()]
    calls = [line for line in lines if re.search(r"ray up (--\S+ )*deploy", line)]
    assert calls
    assert [line for line in calls if "RAY_UP_enable_autoscaler_v2=0" not in line] == []


class Preparing:
    """A checkout where prepare.sh is called; ssh there says how it was called."""

    def __init__(self, directory: Path) -> None:
        self._bin, self.directory = directory / "bin", directory
        shutil.copytree(ROOT / "deploy", directory / "deploy")
        self._bin.mkdir()
        for tool in ("ssh", "ssh-copy-id"):
            stand_in = self._bin / tool
            stand_in.write_text(f'#!/bin/bash\ncat > /dev/null\necho "{tool} $*" >> {directory}/calls\n')
            stand_in.chmod(0o755)

    def prepare(self, *machines: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self._bin}:{os.environ['PATH']}", "HOME": str(self.directory)}
        return subprocess.run(
            [self.directory / "deploy/ray/prepare.sh", *machines],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    def written(self) -> dict[str, Any]:
        read: dict[str, Any] = yaml.safe_load((self.directory / "deploy/ray/cluster.yaml").read_text())
        return read

    def calls(self, of: str) -> list[str]:
        return [line for line in (self.directory / "calls").read_text().splitlines() if of in line]


@pytest.fixture
def preparing(tmp_path: Path) -> Preparing:
    return Preparing(tmp_path)


def test_preparing_writes_a_file_with_the_machines_that_ray_takes(preparing: Preparing) -> None:
    done = preparing.prepare("iad=10.1.0.1", "lax-2=lax.example", "ord=10.1.0.3")
    assert done.returncode == 0, done.stderr
    provider = preparing.written()["provider"]
    assert (provider["head_ip"], provider["worker_ips"]) == ("10.1.0.1", ["lax.example", "10.1.0.3"])
    shipped = cluster("cluster.local.yaml")
    assert preparing.written() | {"provider": shipped["provider"]} == shipped
    validate_config(prepare_config(preparing.written()))


def test_every_machine_is_prepared_for_what_it_offers_and_where_it_is_reached(preparing: Preparing) -> None:
    preparing.prepare("iad=10.1.0.1", "lax=10.1.0.2")
    prepared = [line.partition("prepare-host.sh ")[2] for line in preparing.calls("prepare-host.sh")]
    assert prepared == [
        """'{"gateway": 1000, "region:iad": 1000}' 10.1.0.1 head""",
        """'{"region:lax": 1000}' 10.1.0.2 node""",
    ]
    assert len(preparing.calls("ssh-copy-id")) == 2


def test_token_and_key_are_made_once_and_nobody_else_reads_them(preparing: Preparing) -> None:
    preparing.prepare("iad=10.1.0.1")
    secrets = [preparing.directory / name for name in ("deploy/ray/ray.token", ".ssh/ezthrottle-cluster")]
    before = [path.read_text() for path in secrets]
    preparing.prepare("iad=10.1.0.1")
    assert [path.read_text() for path in secrets] == before
    assert [path.stat().st_mode & 0o077 for path in secrets] == [0, 0]
    assert preparing.written()["provider"]["worker_ips"] == []


@pytest.mark.parametrize("machines", [(), ("10.0.0.1",), ("iad=10.0.0.1", "IAD=10.0.0.2"), ("iad=a b",)])
def test_machines_that_are_named_wrongly_are_told_before_any_is_reached(
    preparing: Preparing, machines: tuple[str, ...]
) -> None:
    refused = preparing.prepare(*machines)
    assert (refused.returncode, "iad=10.0.0.1" in refused.stderr) == (2, True)
    assert not (preparing.directory / "calls").exists()


@pytest.fixture
def host(tmp_path: Path) -> dict[str, str]:
    """The environment of a host's unit; Ray there says how it was called."""
    ray = tmp_path / "ray"
    ray.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    ray.chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "token").write_text("0" * 64)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "EZTHROTTLE_BIN": str(tmp_path),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"),
        "RESOURCES": '{"region:lax": 1000}',
    }


def run_node(role: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RAY / "ray-node.sh", role], env=env, capture_output=True, text=True, timeout=20, check=False
    )


def test_a_head_offers_what_its_host_does_and_starts_the_others_where_ray_up_was_called(
    host: dict[str, str], tmp_path: Path
) -> None:
    bootstrap = tmp_path / "ray_bootstrap_config.yaml"
    bootstrap.touch()
    started = run_node("head", host).stdout.splitlines()
    assert {"start", "--head", "--block", '--resources={"region:lax": 1000}'} <= {*started}
    assert f"--autoscaling-config={bootstrap}" in started


def test_a_head_that_nobody_called_ray_up_for_starts_no_others(host: dict[str, str]) -> None:
    assert "--autoscaling-config" not in run_node("head", host).stdout


def test_a_head_is_given_the_password_of_the_store_behind_it_which_ray_does_not_read_by_itself(
    host: dict[str, str],
) -> None:
    assert "--redis-password=s3cret" in run_node("head", host | {"RAY_REDIS_PASSWORD": "s3cret"}).stdout
    assert "--redis-password" not in run_node("head", host).stdout
    node = run_node("node", host | {"RAY_REDIS_PASSWORD": "s3cret", "HEAD": ""})
    assert "s3cret" not in node.stdout + node.stderr


def test_a_node_joins_its_head_once_that_can_be_reached(host: dict[str, str]) -> None:
    # An address of this process's own: the port is Ray's.
    head = f"127.{os.getpid() % 200 + 10}.{os.getpid() // 200 % 250}.7"
    with socket.create_server((head, 6379)):
        started = run_node("node", host | {"HEAD": head}).stdout.splitlines()
    assert f"--address={head}:6379" in started
    assert "--head" not in started


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"RAY_AUTH_MODE": ""}, "RAY_AUTH_MODE has to be token"),
        ({"RAY_AUTH_TOKEN_PATH": "/nowhere"}, "names no file with a token: /nowhere"),
        ({"RESOURCES": "region:lax"}, "RESOURCES has to be like"),
        ({"RESOURCES": '{"region:lax": "much"}'}, "RESOURCES has to be like"),
        ({"EZTHROTTLE_BIN": "/nowhere"}, "install the package first"),
        ({"HEAD": ""}, "HEAD has to name the head's address"),
    ],
)
def test_a_wrong_configuration_is_told_and_ends_the_unit_for_good(
    host: dict[str, str], wrong: dict[str, str], said: str
) -> None:
    refused = run_node("node", host | wrong)
    assert refused.returncode == 2
    assert said in refused.stderr
