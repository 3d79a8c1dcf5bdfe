"""Webhook secrets over HTTP."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response, read_document
from orchestrator.adapters.http.documents.overviews import secrets_document
from orchestrator.adapters.http.documents.service import message_document
from orchestrator.adapters.http.schema import RotateIn, SecretsIn, read_model
from orchestrator.domain.access.roles import Caller
from orchestrator.ports.customers import WebhookSecrets


class SecretRoutes:
    """Webhook secrets: create, show masked, rotate, delete."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._customers = backend.gateway.customers

    async def create(self, request: Request, caller: Caller) -> Response:
        """Store the secrets, replacing earlier ones."""
        customer = caller.customer
        given = read_model(SecretsIn, await read_document(self._backend, customer, request))
        secrets = WebhookSecrets(primary=given.primary_secret, secondary=given.secondary_secret)
        await self._customers.store_secrets(customer, secrets)
        return _status("webhook secrets stored")

    async def rotate(self, request: Request, caller: Caller) -> Response:
        """Make a new secret primary; the old one stays valid as secondary."""
        customer = caller.customer
        given = read_model(RotateIn, await read_document(self._backend, customer, request))
        await self._customers.rotate_secret(customer, given.new_secret)
        return _status("webhook secret rotated; the old one is valid as secondary")

    async def show(self, request: Request, caller: Caller) -> Response:
        """Show the secrets masked."""
        customer = caller.customer
        secrets = await self._customers.secrets(customer)
        return json_response(secrets_document(customer, secrets), HTTPStatus.OK)

    async def delete(self, request: Request, caller: Caller) -> Response:
        """Delete the secrets; webhooks go out unsigned from then on."""
        await self._customers.drop_secrets(caller.customer)
        return _status("webhook secrets deleted")


def _status(message: str) -> Response:
    return json_response(message_document(message), HTTPStatus.OK)
