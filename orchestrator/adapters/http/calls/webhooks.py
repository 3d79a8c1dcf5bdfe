"""The calls about webhooks: what they are signed with, and those that are still to be made or failed."""

from orchestrator.adapters.http.access import API, JOBS_PATH
from orchestrator.adapters.http.backend import Backend, paged
from orchestrator.adapters.http.calls.fields import ACCEPTED, HOST, PAGE, TIMES
from orchestrator.adapters.http.delivery_routes import DeliveryRoutes
from orchestrator.adapters.http.openapi import Calls
from orchestrator.adapters.http.schema import RedeliverIn, RotateIn, SecretsIn
from orchestrator.adapters.http.secret_routes import SecretRoutes

_DEAD = {"endpoint": HOST, **TIMES, **PAGE}
_PENDING = {"endpoint": HOST, **PAGE}


def add_webhooks(calls: Calls, backend: Backend) -> None:
    """Add a customer's secrets, and deliveries."""
    secrets, deliveries = SecretRoutes(backend), DeliveryRoutes(backend)
    calls.add(f"POST {API}/webhook-secrets", secrets.create, body=SecretsIn)
    calls.add(f"GET {API}/webhook-secrets", secrets.show, errors=(404,))
    calls.add(f"DELETE {API}/webhook-secrets", secrets.delete, errors=(404,))
    calls.add(f"POST {API}/webhook-secrets/rotate", secrets.rotate, body=RotateIn, errors=(404,))
    job_again = f"POST {JOBS_PATH}/{{job_id}}/redeliver"
    calls.add(job_again, deliveries.redeliver_job, answers=ACCEPTED, errors=(404, 409))
    calls.add(f"GET {API}/webhooks/dead", paged(backend, deliveries.list_dead), query=_DEAD)
    calls.add(f"GET {API}/webhooks/pending", paged(backend, deliveries.list_pending), query=_PENDING)
    dead_again = f"POST {API}/webhooks/redeliver"
    calls.add(dead_again, deliveries.redeliver_dead, body=RedeliverIn, answers=ACCEPTED, errors=(404,))
