"""How the service is, and that something was done."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.adapters.http.documents.overviews import region_document
from orchestrator.core.views import RegionView
from orchestrator.domain.ids import RegionName
from orchestrator.runtime.log_levels import Component, LogLevel


def health_document(version: str) -> dict[str, Any]:
    """Say that the process lives, and of which version it is."""
    return {"status": "ok", "version": version}


def readiness_document(up: Sequence[RegionName], regions: Sequence[RegionView]) -> dict[str, Any]:
    """Say that work can be taken and done, in which regions, and how each of them is."""
    return {"status": "ready", "regions": [*up], "details": [region_document(region) for region in regions]}


def not_ready_message(reason: str, regions: Sequence[RegionView]) -> str:
    """Say in a line why no work can be taken, and which regions take none."""
    down = [f"{region.name}: {region.reason}" for region in regions if not region.takes_jobs]
    return "; ".join([reason, *down])


def levels_document(levels: Mapping[Component, LogLevel]) -> dict[str, Any]:
    """Show from which level on each part logs."""
    return {"levels": dict(levels)}


def message_document(message: str) -> dict[str, Any]:
    """Say in words what was done."""
    return {"status": "ok", "message": message}
