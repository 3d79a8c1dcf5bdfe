"""What stands in deploy/ is what the docs say, and what the service's own Ray has."""

import re
from pathlib import Path

from bench.testbed.cluster import NODE_SETTINGS
from orchestrator.adapters.ray.driver import RAY_CONFIG

ROOT = Path(__file__).resolve().parents[2]


def test_a_clusters_nodes_are_judged_as_fast_as_those_of_a_ray_of_our_own() -> None:
    ours = {name: str(value) for name, value in RAY_CONFIG.items() if name.startswith("health_check")}
    assert ours.items() <= {name.removeprefix("RAY_"): value for name, value in NODE_SETTINGS.items()}.items()


def test_the_docs_tell_of_every_setting_of_a_node() -> None:
    told = (ROOT / "docs" / "regions.md").read_text()
    missing = [name for name in NODE_SETTINGS if name not in told and not _abbreviated(name, told)]
    assert missing == ["RAY_USAGE_STATS_ENABLED"]


def test_the_units_command_reads_its_settings_from_the_same_file() -> None:
    unit = (ROOT / "deploy" / "ray" / "ezthrottle-ray-node.service").read_text()
    assert re.search(r"^EnvironmentFile=/etc/ezthrottle/ray-node\.env$", unit, re.MULTILINE)


def _abbreviated(name: str, told: str) -> bool:
    """Say whether only its end stands there: ``…_timeout_ms=1000`` behind another with the same beginning."""
    value = NODE_SETTINGS[name]
    return any(f"…_{name[at:]}={value}" in told for at in range(len(name)))
