"""The cluster from one file: the five commands of docs/regions.md, races, another version under load, and all
of it taken down again.
"""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.testbed.bed import Testbed
from bench.testbed.hosts import COPIED, ENVIRONMENT, HOSTS_MISSING, Hosts, Launcher, make_wheels
from bench.testbed.load import Outcome, executed_twice, loaded, strangers
from bench.testbed.machine import CHECKOUT
from bench.testbed.service import REGIONS, OutsideTarget, Service, until
from tests.support.documents import blocks_of
from tests.wan.figures import Figures
from tests.wan.test_heads import pause_most_s

pytestmark = pytest.mark.skipif(HOSTS_MISSING is not None, reason=str(HOSTS_MISSING))

DOCUMENT = CHECKOUT / "docs" / "regions.md"
HOSTS = {"iad": "10.0.0.1", "lax": "10.0.0.2", "ord": "10.0.0.3"}
"""By which addresses the document calls them; the first is the head's."""
REQUEST = "https://api.example.com/charge"
"""What it submits."""
DATA_DIR = "/var/lib/ezthrottle/data"
CLUSTER = "deploy/ray/cluster.yaml"
PER_S = 50.0
FIRST_RACE_WITHIN_S = 60.0
REFUSED_AT_MOST_S = 3.0
SLACK = 3.0
"""Machines are shared: what was seen is noted beside the figure itself."""


def five_commands(bed: Testbed, target: OutsideTarget) -> list[str]:
    """Read what a newcomer calls; only addresses are others."""
    [block] = [block for block in blocks_of(DOCUMENT) if "make wheels" in block.text]
    text = block.text.replace(REQUEST, f"{target.url}/first?after=0.1")
    for name, address in HOSTS.items():
        text = text.replace(address, bed[name].address)
    return text.splitlines()


@pytest.fixture
def launcher(bed: Testbed) -> Launcher:
    """A checkout, on a machine that is no host. Targets lie in networks that are private."""
    launcher = Launcher(bed["gate"])
    launcher.change("deploy/ray/topology.toml", ("port = 8080", "port = 8080\nallow_private_targets = true"))
    return launcher


@pytest.fixture
def other_wheels(tmp_path: Path) -> Path:
    """This code as wheels, with another comment in it."""
    other, wheels = tmp_path / "other", tmp_path / "wheels"
    other.mkdir()
    for name in COPIED:
        copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy
        copy(CHECKOUT / name, other / name)
    with (other / "regions/node.py").open("a") as code:
        code.write("\n# Another version of the code.\n")
    make_wheels(other, wheels)
    return wheels


@pytest.fixture
def commands(bed: Testbed, target: OutsideTarget) -> list[str]:
    return five_commands(bed, target)


@pytest.fixture
def hosts(bed: Testbed, launcher: Launcher, commands: list[str]) -> Iterator[Hosts]:
    """Hosts that have the package already, and are as the second command leaves them."""
    launcher.run(commands[0])
    hosts = Hosts(bed, [*HOSTS], launcher)
    launcher.run(commands[1])
    yield hosts
    hosts.end_ray()


def parts(hosts: Hosts, command: str, *options: str) -> dict[str, set[str]]:
    """Ask for the parts; give them, and the versions that they have."""
    done = hosts.run(command, *options, "--json")
    found = json.loads(done[done.index("{") :])
    return {name: {part[name] for part in found["parts"]} for name in ("part", "version")}


def installed(bed: Testbed) -> set[str]:
    """Say which code the hosts have."""
    told = "from orchestrator.runtime.version import build; print(build())"
    return {bed[name].run(f"{ENVIRONMENT}/bin/python", "-P", "-c", told).strip() for name in HOSTS}


def test_a_cluster_from_one_file_races_takes_another_version_under_load_and_is_taken_down(
    bed: Testbed,
    target: OutsideTarget,
    launcher: Launcher,
    commands: list[str],
    hosts: Hosts,
    other_wheels: Path,
    figures: Figures,
) -> None:
    first_race_s = come_up(bed, target, launcher, commands, figures)
    before = parts(hosts, "status")
    bring(launcher, other_wheels)
    jobs, paused_s, after = change_version(bed, target, launcher, hosts, figures)
    assert before["part"].isdisjoint(after["part"])
    assert len(after["version"]) == 1
    assert [each for each in jobs if each.state != "success"] == []
    assert executed_twice(target, jobs) == []
    assert strangers(target, {name: bed[name].address for name in REGIONS}) == []
    assert first_race_s < SLACK * FIRST_RACE_WITHIN_S
    assert paused_s < SLACK * REFUSED_AT_MOST_S

    assert "shard-0" in hosts.run("undeploy")
    launcher.run(f".venv/bin/ray down --yes {CLUSTER}")
    until(lambda: any(bed[name].pids("raylet") for name in HOSTS), what="raylets, which units start again")
    hosts.end_ray()
    assert [bed[name].pids("raylet") for name in HOSTS] == [[], [], []]


def come_up(
    bed: Testbed, target: OutsideTarget, launcher: Launcher, commands: list[str], figures: Figures
) -> float:
    """Make the cluster, deploy to it, submit a job, and race; say after how many seconds a race was over."""
    assert len(commands) == 5
    began = time.time()
    launcher.run(commands[2])
    up_s = time.time() - began
    launcher.run(commands[3])
    deployed_s = time.time() - began
    launcher.run(commands[4])
    submitted_s = time.time() - began
    first_s = race(bed, service(bed), target) - began
    figures.note(
        "ray up, deploy",
        must={"first_race_after_s": FIRST_RACE_WITHIN_S},
        up_after_s=up_s,
        deployed_after_s=deployed_s,
        fifth_command_after_s=submitted_s,
        first_race_after_s=first_s,
    )
    return first_s


def bring(launcher: Launcher, wheels: Path) -> None:
    """Let `ray up` bring other wheels."""
    shutil.rmtree(launcher.directory / "dist")
    shutil.copytree(wheels, launcher.directory / "dist")
    launcher.change(CLUSTER, ("install.sh first", "install.sh second"))


def change_version(
    bed: Testbed, target: OutsideTarget, launcher: Launcher, hosts: Hosts, figures: Figures
) -> tuple[list[Outcome], float, dict[str, set[str]]]:
    """Install another version everywhere and deploy it, under load; give the jobs, how long nobody was
    acknowledged anything at most (s), and what runs then.
    """
    with loaded(bed, service(bed), target, "lax", per_s=PER_S, after_s=0.1) as load:
        time.sleep(3)
        launcher.run(f"RAY_UP_enable_autoscaler_v2=0 .venv/bin/ray up --yes --no-restart {CLUSTER}")
        until(lambda: len(installed(bed)) == 1, what="the other version everywhere")
        began = time.time()
        after = parts(hosts, "deploy", "/opt/ezthrottle/deploy/ray/topology.toml", "--wait", "120")
        upgraded_s, paused_s = time.time() - began, pause_most_s(load, began)
        time.sleep(3)
        jobs = load.finish()
    figures.note(
        "another version under load",
        must={"longest_without_acknowledgement_s": REFUSED_AT_MOST_S, "lost": 0, "twice": 0},
        upgraded_after_s=upgraded_s,
        longest_without_acknowledgement_s=paused_s,
        jobs=len(jobs),
        refused=load.refused,
        lost=sum(each.state != "success" for each in jobs),
        twice=len(executed_twice(target, jobs)),
    )
    return jobs, paused_s, after


def service(bed: Testbed) -> Service:
    """Make what asks the service that was deployed: a key of its own, each time."""
    return Service(bed, "iad", (), {}, DATA_DIR)


def race(bed: Testbed, service: Service, target: OutsideTarget) -> float:
    """Race over all regions until one is seen from all of them; say when the first such began (Unix s)."""

    def seen() -> bool:
        with loaded(bed, service, target, [*REGIONS], per_s=4.0, after_s=0.5) as jobs:
            time.sleep(1)
            jobs.finish()
        return {event.source for event in target.events("request")} >= {bed[name].address for name in REGIONS}

    until(seen, what="a race that leaves from three addresses")
    return min(event.at for event in target.events("answered"))
