"""The cluster from one file: `ray up`, `deploy`, races, another version under load, all taken down again."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.testbed.bed import Testbed
from bench.testbed.hosts import HOSTS_MISSING, Hosts, make_wheels
from bench.testbed.load import Outcome, executed_twice, loaded, strangers
from bench.testbed.machine import CHECKOUT
from bench.testbed.service import API_PORT, REGIONS, OutsideTarget, Service, until
from tests.wan.figures import Figures
from tests.wan.test_heads import pause_most_s

pytestmark = pytest.mark.skipif(HOSTS_MISSING is not None, reason=str(HOSTS_MISSING))

OFFERS = {
    "iad": '{"gateway": 1000, "region:iad": 1000}',
    "lax": '{"region:lax": 1000}',
    "ord": '{"region:ord": 1000}',
}
DATA_DIR = "/srv/ez"
PER_S = 50.0
FIRST_RACE_WITHIN_S = 60.0
REFUSED_AT_MOST_S = 3.0
SLACK = 3.0
"""Machines are shared: what was seen is noted beside the figure itself."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """This code as wheels, and the same with another comment in it."""
    first, second, other = (tmp_path_factory.mktemp(name) for name in ("first", "second", "other"))
    make_wheels(CHECKOUT, first)
    for name in ("orchestrator", "regions", "sdk", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy
        copy(CHECKOUT / name, other / name)
    with (other / "regions/node.py").open("a") as code:
        code.write("\n# Another version of the code.\n")
    make_wheels(other, second)
    return first, second


@pytest.fixture
def hosts(bed: Testbed, wheels: tuple[Path, Path]) -> Iterator[Hosts]:
    hosts = Hosts(bed, OFFERS, "gate", wheels[0])
    yield hosts
    hosts.end_ray()


def up(hosts: Hosts, wheels: Path, *options: str) -> None:
    """Bring wheels to every host."""
    hosts.make_files(wheels, wheels.name)
    topology = hosts.launcher.srv / "launch/deploy/ray/topology.toml"
    text = topology.read_text().replace("/var/lib/ezthrottle/data", DATA_DIR)
    topology.write_text(text.replace("port = 8080", f"port = {API_PORT}\nallow_private_targets = true"))
    hosts.ray("up", "--yes", *options)


def deploy(hosts: Hosts) -> dict[str, set[str]]:
    """Deploy the shipped topology; give the parts, and the versions that they have."""
    done = hosts.run("deploy", "/opt/ezthrottle/deploy/ray/topology.toml", "--wait", "120", "--json")
    found = json.loads(done[done.index("{") :])
    return {name: {part[name] for part in found["parts"]} for name in ("part", "version")}


def installed(bed: Testbed) -> set[str]:
    """Say which code the hosts have."""
    told = "from orchestrator.runtime.version import build; print(build())"
    return {bed[name].run("/opt/ezthrottle/.venv/bin/python", "-P", "-c", told).strip() for name in OFFERS}


def test_a_cluster_from_one_file_races_takes_another_version_under_load_and_is_taken_down(
    bed: Testbed, target: OutsideTarget, hosts: Hosts, wheels: tuple[Path, Path], figures: Figures
) -> None:
    first_race_s, before = come_up(bed, target, hosts, wheels[0], figures)
    jobs, paused_s, after = change_version(bed, target, hosts, wheels[1], figures)
    assert before["part"].isdisjoint(after["part"])
    assert len(after["version"]) == 1
    assert [each for each in jobs if each.state != "success"] == []
    assert executed_twice(target, jobs) == []
    assert strangers(target, {name: bed[name].address for name in REGIONS}) == []
    assert first_race_s < SLACK * FIRST_RACE_WITHIN_S
    assert paused_s < SLACK * REFUSED_AT_MOST_S

    assert "shard-0" in hosts.run("undeploy")
    hosts.ray("down", "--yes")
    until(lambda: any(bed[name].pids("raylet") for name in OFFERS), what="raylets, which units start again")
    hosts.end_ray()
    assert [bed[name].pids("raylet") for name in OFFERS] == [[], [], []]


def come_up(
    bed: Testbed, target: OutsideTarget, hosts: Hosts, wheels: Path, figures: Figures
) -> tuple[float, dict[str, set[str]]]:
    """Make the cluster, deploy to it, and race; say after how many seconds a race was over, and what runs."""
    began = time.time()
    up(hosts, wheels)
    up_s = time.time() - began
    parts = deploy(hosts)
    deployed_s = time.time() - began
    first_s = race(bed, service(bed), target) - began
    figures.note(
        "ray up, deploy",
        must={"first_race_after_s": FIRST_RACE_WITHIN_S},
        up_after_s=up_s,
        deployed_after_s=deployed_s,
        first_race_after_s=first_s,
    )
    return first_s, parts


def change_version(
    bed: Testbed, target: OutsideTarget, hosts: Hosts, wheels: Path, figures: Figures
) -> tuple[list[Outcome], float, dict[str, set[str]]]:
    """Install another version everywhere and deploy it, under load; give the jobs, how long nobody was
    acknowledged anything at most (s), and what runs then.
    """
    with loaded(bed, service(bed), target, "lax", per_s=PER_S, after_s=0.1) as load:
        time.sleep(3)
        up(hosts, wheels, "--no-restart")
        until(lambda: len(installed(bed)) == 1, what="the other version everywhere")
        began = time.time()
        parts = deploy(hosts)
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
    return jobs, paused_s, parts


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
