"""The calls that need no key: how the service is."""

from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.openapi import Calls
from orchestrator.adapters.http.service_routes import ServiceRoutes


def add_service(calls: Calls, backend: Backend, *, with_metrics: bool) -> None:
    """Add what tells how the service is."""
    service = ServiceRoutes(backend)
    calls.add_public("GET /healthz", service.health)
    calls.add_public("GET /readyz", service.readiness)
    if with_metrics:
        calls.add_public("GET /metrics", service.metrics, media="text/plain; version=0.0.4; charset=utf-8")
