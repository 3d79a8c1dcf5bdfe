"""Webhook secrets over HTTP."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.adapters.http.backend import Backend, json_response, read_document
from orchestrator.adapters.http.schema import RotateIn, SecretsIn, read_model
from orchestrator.domain.errors import NotFound
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.signing import mask
from orchestrator.ports.store import WebhookSecrets


class SecretRoutes:
    """Webhook secrets: create, show masked, rotate, delete."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def create(self, request: Request) -> Response:
        """Store the secrets, replacing earlier ones."""
        customer = await self._backend.keys.customer(request)
        given = read_model(SecretsIn, await read_document(request, self._backend.bounds))
        await self._put(
            customer, WebhookSecrets(primary=given.primary_secret, secondary=given.secondary_secret)
        )
        return _status("webhook secrets stored")

    async def rotate(self, request: Request) -> Response:
        """Make a new secret primary; the old one stays valid as secondary."""
        customer = await self._backend.keys.customer(request)
        given = read_model(RotateIn, await read_document(request, self._backend.bounds))
        old = await self._stored(customer)
        # A rotation that is sent again, after its answer was lost, must not cost the old secret.
        if given.new_secret != old.primary:
            await self._put(customer, WebhookSecrets(primary=given.new_secret, secondary=old.primary))
        return _status("webhook secret rotated; the old one is valid as secondary")

    async def show(self, request: Request) -> Response:
        """Show the secrets masked."""
        customer = await self._backend.keys.customer(request)
        secrets = await self._stored(customer)
        document = {
            "customer_id": customer,
            "primary_secret": mask(secrets.primary),
            "secondary_secret": mask(secrets.secondary) if secrets.secondary else None,
            "has_secondary": secrets.secondary is not None,
        }
        return json_response(document, HTTPStatus.OK)

    async def delete(self, request: Request) -> Response:
        """Delete the secrets; webhooks go out unsigned from then on."""
        customer = await self._backend.keys.customer(request)
        if not await self._backend.shard.store.drop_secrets(customer):
            raise NotFound(_NO_SECRETS)
        self._backend.shard.courier.secrets.forget(customer)
        return _status("webhook secrets deleted")

    async def _put(self, customer: CustomerId, secrets: WebhookSecrets) -> None:
        await self._backend.shard.store.put_secrets(customer, secrets)
        self._backend.shard.courier.secrets.forget(customer)

    async def _stored(self, customer: CustomerId) -> WebhookSecrets:
        secrets = await self._backend.shard.store.secrets(customer)
        if secrets is None:
            raise NotFound(_NO_SECRETS)
        return secrets


def _status(message: str) -> Response:
    return JSONResponse({"status": "ok", "message": message})


_NO_SECRETS = "no webhook secrets are stored: create them first"
