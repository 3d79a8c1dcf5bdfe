"""The rules and the board in deploy/monitoring: what they may say, and that each alert is explained."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.metric_names import recorded

HOUSE = Path(__file__).parents[2]
MONITORING = HOUSE / "deploy" / "monitoring"
RULES, RULES_TEST, BOARD = (
    MONITORING / name for name in ("ezthrottle.rules.yml", "ezthrottle.rules.test.yml", "grafana-board.json")
)
PROMTOOL = shutil.which("promtool")
REQUIRED = "EZTHROTTLE_PROMTOOL_REQUIRED"


def rules(kind: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def test_each_alert_says_how_urgent_it_is_and_what_is_wrong() -> None:
    for alert in rules("alert"):
        assert alert["labels"]["severity"] in ("page", "ticket"), alert
        assert alert["annotations"].keys() == {"summary", "description"}, alert


def test_the_operations_guide_tells_what_to_do_about_each_alert_and_about_no_other() -> None:
    told = set(re.findall(r"`(EZThrottle[A-Z]\w+)`", (HOUSE / "docs" / "operations.md").read_text()))
    assert told == {alert["alert"] for alert in rules("alert")}


@pytest.mark.parametrize("reader", [RULES, BOARD], ids=["rules", "board"])
def test_whatever_is_read_as_recorded_is_recorded(reader: Path) -> None:
    assert recorded(reader.read_text()) <= {rule["record"] for rule in rules("record")}


def test_the_panels_of_the_board_lie_beside_each_other_and_each_has_its_own_id() -> None:
    panels = json.loads(BOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells


@pytest.mark.skipif(
    PROMTOOL is None and REQUIRED not in os.environ,
    reason="promtool is not installed: Debian has it in `prometheus`",
)
@pytest.mark.parametrize(
    "call", [("check", "rules", RULES.name), ("test", "rules", RULES_TEST.name)], ids=" ".join
)
def test_promtool_finds_the_rules_sound_and_they_fire_where_they_should(call: tuple[str, ...]) -> None:
    assert PROMTOOL is not None, f"{REQUIRED} is set, and promtool is not installed"
    told = subprocess.run([PROMTOOL, *call], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
