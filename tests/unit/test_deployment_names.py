"""The names of what is deployed follow from what it is made of, and from nothing else."""

from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from orchestrator.adapters.ray.deployment import Deployment
from orchestrator.cli.app import app
from orchestrator.domain.cluster.deployment import Part
from orchestrator.runtime.version import VERSION, build
from orchestrator.settings import Settings

REGIONS = {"iad": 1, "lax": 2}


def deployment(
    regions: dict[str, int] = REGIONS, code: str = "0.1.0+aaaaaaaa", **settings: Any
) -> Deployment:
    whole = Settings(**({"data_dir": Path("/var/lib/ez"), "regions": tuple(regions)} | settings))
    return Deployment(whole.carry(), regions, code)


def shards(of: Deployment) -> list[Part]:
    return of.parts[:1]


def nodes(of: Deployment) -> list[Part]:
    return of.parts[1:]


def names(parts: list[Part]) -> set[str]:
    return {part.name for part in parts}


def test_the_same_file_and_code_give_the_same_names() -> None:
    assert (deployment().parts, deployment().name) == (deployment().parts, deployment().name)


def test_other_code_gives_every_part_another_name() -> None:
    assert names(deployment().parts).isdisjoint(names(deployment(code="0.1.0+bbbbbbbb").parts))


def test_a_setting_that_is_the_shards_alone_is_nothing_to_nodes() -> None:
    one, other = deployment(), deployment(port=8081)
    assert nodes(one) == nodes(other)
    assert shards(one) != shards(other)


def test_what_nodes_are_made_of_is_the_shards_too_for_it_expects_them() -> None:
    one, other = deployment(), deployment(allow_private_targets=True)
    assert names(nodes(one)).isdisjoint(names(nodes(other)))
    assert shards(one) != shards(other)


def test_how_many_executors_a_region_has_is_nothing_to_the_shard_but_to_the_controller() -> None:
    one, other = deployment(), deployment({"iad": 3, "lax": 2})
    assert shards(one) == shards(other)
    assert names(nodes(one)) < names(nodes(other))
    assert one.name != other.name


def test_the_code_is_told_apart_by_more_than_its_version() -> None:
    version, _, digest = build().rpartition("+")
    assert (version, len(digest)) == (VERSION, 8)


def test_a_wrong_topology_is_refused_without_a_look_at_any_cluster(tmp_path: Path) -> None:
    path = tmp_path / "topology.toml"
    path.write_text("[regions.IAD]")
    refused = CliRunner().invoke(app, ["deploy", str(path)])
    assert refused.exit_code == 2
    assert "[serve] data_dir must be an absolute path" in refused.output
    assert "[regions.IAD]: a region is named by" in refused.output
