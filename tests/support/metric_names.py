"""The names that rules and boards speak of, and those that /metrics has."""

import re
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
_NAME = re.compile(r"\bezthrottle_\w+")
_RECORDED = re.compile(r"\bezthrottle:[\w:]+")


def spoken_of(text: str) -> set[str]:
    """Find every metric that a file of rules or a board names."""
    return set(_NAME.findall(text))


def recorded(text: str) -> set[str]:
    """Find every series that rules record, or that is read as recorded."""
    return set(_RECORDED.findall(text))


def offered(metrics: str) -> set[str]:
    """Name every series that a scrape has, or would have once there is something to count."""
    return {name for family in text_string_to_metric_families(metrics) for name in _series(family)}


def _series(family: Metric) -> Iterator[str]:
    for suffix in SUFFIXES.get(family.type, ("",)):
        yield f"{family.name}{suffix}"
