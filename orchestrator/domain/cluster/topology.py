"""What an operator wants of a cluster: which regions there are, and how many executors each has."""

from collections.abc import Mapping
from typing import Any

from orchestrator.domain.ids import RegionName, is_region_name

EXECUTORS_MOST = 16
"""Of a region: each is a process that a machine has to hold."""
REGIONS_TABLE = "regions"
EXECUTORS = "executors"


class BadTopology(ValueError):
    """A file that says something wrong: each problem names its field, and what to write instead."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_regions(document: Mapping[str, Any]) -> dict[RegionName, int]:
    """Read the tables ``[regions.NAME]`` of a topology: how many executors each region has, in the file's
    order.

    Raises:
        BadTopology: They are not as they should be.

    """
    tables = document.get(REGIONS_TABLE, {})
    if not isinstance(tables, Mapping):
        raise BadTopology([f"{REGIONS_TABLE}: write a table for each: [regions.iad]"])
    problems = [problem for name, table in tables.items() for problem in _problems(name, table)]
    if problems:
        raise BadTopology(problems)
    return {RegionName(name): table.get(EXECUTORS, 1) for name, table in tables.items()}


def _problems(name: str, table: object) -> list[str]:
    where = f"[regions.{name}]"
    if not is_region_name(name):
        return [f"{where}: a region is named by lower case letters, digits and '-', a letter first"]
    if not isinstance(table, Mapping):
        return [f"{where}: write a table: {where} with {EXECUTORS} = 1 in it"]
    found = [f"{where} knows no {key}: it may hold {EXECUTORS}" for key in sorted(table) if key != EXECUTORS]
    count = table.get(EXECUTORS, 1)
    if type(count) is not int or not 1 <= count <= EXECUTORS_MOST:
        found.append(f"{where} {EXECUTORS} must be a whole number between 1 and {EXECUTORS_MOST}")
    return found
