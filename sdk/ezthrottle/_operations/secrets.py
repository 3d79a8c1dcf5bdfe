"""The secrets that webhooks are signed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ezthrottle._calls.call import Call
from ezthrottle._calls.paths import ROTATION, SECRETS
from ezthrottle._operations.operation import Operation
from ezthrottle.exceptions import NotFoundError

if TYPE_CHECKING:
    from ezthrottle.types import Said, WebhookSecret

SHORTEST_SECRET = 16

_NOT_FOUND = 404


class Secrets(Operation):
    """What is done with a customer's secrets.

    >>> run(Secrets(service, client).get_webhook_secret())["has_secondary"]
    False
    """

    async def create_webhook_secret(self, primary_secret: str, secondary_secret: str | None = None) -> Said:
        """Set the secret that signs webhooks, and optionally the former one, which then signs as well.

        Returns `{"status", "message"}`. Raises ValueError for a secret of fewer than 16 characters.
        """
        secrets = {"primary_secret": _long_enough("primary_secret", primary_secret)}
        if secondary_secret:
            secrets["secondary_secret"] = _long_enough("secondary_secret", secondary_secret)
        return await self._service.call(Call("POST", SECRETS, json=secrets))

    async def get_webhook_secret(self) -> WebhookSecret:
        """Return the secrets, masked: `customer_id`, `primary_secret`, `secondary_secret`, `has_secondary`.

        Raises NotFoundError where there is none.
        """
        try:
            return await self._service.call(Call("GET", SECRETS, expects=("primary_secret",)))
        except NotFoundError as error:
            raise NotFoundError(
                "No webhook secrets configured: make one with create_webhook_secret().", status_code=404
            ) from error

    async def delete_webhook_secret(self) -> Said:
        """Delete the secrets; webhooks are unsigned from then on.

        Returns `{"status", "message"}`, or what the service says where there is none: that is no error.
        """
        return await self._service.call(Call("DELETE", SECRETS, accepted=(_NOT_FOUND,)))

    async def rotate_webhook_secret(self, new_secret: str) -> Said:
        """Sign with `new_secret`, and with the former secret too, so that no receiver misses a delivery.

        Once every receiver knows the new one, end the rotation with `create_webhook_secret(new_secret)`.
        Where there was no secret it becomes the first. Returns `{"status", "message"}`. Raises ValueError for
        fewer than 16 characters.
        """
        secret = _long_enough("new_secret", new_secret)
        try:
            # Repeatable: the service takes a second rotation to the same secret for the first one.
            return await self._service.call(Call("POST", ROTATION, json={"new_secret": secret}))
        except NotFoundError:
            return await self.create_webhook_secret(secret)


def _long_enough(name: str, secret: str) -> str:
    if len(secret) < SHORTEST_SECRET:
        raise ValueError(f"{name} has {len(secret)} characters; give at least {SHORTEST_SECRET}")
    return secret
