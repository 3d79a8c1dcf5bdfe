"""A topology that is wrong is refused with every field, and what to write instead."""

from pathlib import Path

import pytest

from orchestrator.cli.topology_file import read_topology
from orchestrator.domain.cluster.topology import BadTopology

RIGHT = """
[serve]
data_dir = "/var/lib/ezthrottle/data"
host = "0.0.0.0"
default_rps = 5
webhook_offsets = [0, 5, 300.0]

[regions.lax]
executors = 2

[regions.iad]
"""


def read(tmp_path: Path, text: str) -> BadTopology:
    path = tmp_path / "topology.toml"
    path.write_text(text)
    with pytest.raises(BadTopology) as refused:
        read_topology(path)
    return refused.value


def test_settings_and_regions_are_read_in_the_files_order(tmp_path: Path) -> None:
    path = tmp_path / "topology.toml"
    path.write_text(RIGHT)
    settings, regions = read_topology(path)
    assert list(regions.items()) == [("lax", 2), ("iad", 1)]
    assert settings.regions == ("lax", "iad")
    assert (settings.data_dir, settings.default_rps) == (Path("/var/lib/ezthrottle/data"), 5)
    assert settings.webhook_offsets_s == (0, 5, 300)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("[serv]", "there is no [serv]: write [serve] and [regions.NAME]"),
        ("[serve]\nprot = 1", "[serve] knows no prot: did you mean port?"),
        ("[serve]\nport = 'x'", "[serve] port: expected `int`, got `str`"),
        ("[serve]\nport = 0", "[serve] port must be a number above 0"),
        ("[serve]\nport = 99999", "[serve] port must lie between 0 and 65535"),
        ("[serve]\ndata_dir = 'data'", "[serve] data_dir must be an absolute path"),
        ("[serve]\nlog_stdout = true", "[serve] log_stdout is for 'ezthrottle serve': leave it out, for"),
        ("[serve]\nregions = ['iad']", "[serve] regions: name them in tables of their own"),
        ("[serve]\nallow_targets = 'x'", "[serve] allow_targets:"),
        ("[serve]\nagents_bind = '0.0.0.0:8443'", "[serve] agents_bind needs"),
        ("serve = 1", "serve: write the settings below [serve]"),
        ("regions = 1", "regions: write a table for each"),
        ("[regions]\niad = 2", "[regions.iad]: write a table"),
        ("[regions.iad]\nexecutors = 0", "[regions.iad] executors must be a whole number between 1 and 16"),
        ("[regions.iad]\nexecutors = true", "[regions.iad] executors must be a whole number"),
        ("[regions.iad]\nnodes = 2", "[regions.iad] knows no nodes: it may hold executors"),
        ("[regions.IAD]", "[regions.IAD]: a region is named by lower case letters"),
        ("", "[serve] regions must name at least one region"),
        ("[serve", "it is no TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_field_and_the_remedy(tmp_path: Path, wrong: str, said: str) -> None:
    assert said in str(read(tmp_path, wrong))


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    problems = read(tmp_path, "[serve]\nprot = 1\n[regions.IAD]\n[regions.lax]\nexecutors = 0").problems
    assert len(problems) == 5, problems


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadTopology, match="No such file"):
        read_topology(tmp_path / "nowhere.toml")
