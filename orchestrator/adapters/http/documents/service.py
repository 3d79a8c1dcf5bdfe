"""How the service is, and that something was done."""

from collections.abc import Sequence
from typing import Any

from orchestrator.domain.ids import RegionName


def health_document(version: str) -> dict[str, Any]:
    """Say that the process lives, and of which version it is."""
    return {"status": "ok", "version": version}


def readiness_document(regions: Sequence[RegionName]) -> dict[str, Any]:
    """Say that work can be taken and done, and in which regions."""
    return {"status": "ready", "regions": [*regions]}


def message_document(message: str) -> dict[str, Any]:
    """Say in words what was done."""
    return {"status": "ok", "message": message}
