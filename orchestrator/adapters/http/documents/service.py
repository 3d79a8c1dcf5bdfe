"""How the service is, and that something was done."""

from collections.abc import Sequence
from typing import Any

from orchestrator.adapters.http.documents.overviews import region_document
from orchestrator.core.views import RegionView
from orchestrator.domain.ids import RegionName


def health_document(version: str) -> dict[str, Any]:
    """Say that the process lives, and of which version it is."""
    return {"status": "ok", "version": version}


def readiness_document(up: Sequence[RegionName], regions: Sequence[RegionView]) -> dict[str, Any]:
    """Say that work can be taken and done, in which regions, and how each of them is."""
    return {"status": "ready", "regions": [*up], "details": [region_document(region) for region in regions]}


def why_not_ready(regions: Sequence[RegionView]) -> str:
    """Say in a line why no work can be taken: it may be the regions, or a stop."""
    down = [f"{region.name}: {region.reason}" for region in regions if not region.takes_jobs]
    return "; ".join(["no region is up yet, or the service is stopping", *down])


def message_document(message: str) -> dict[str, Any]:
    """Say in words what was done."""
    return {"status": "ok", "message": message}
