"""Webhooks that are still to be delivered, or failed for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ezthrottle._calls.call import Call
from ezthrottle._calls.filters import given
from ezthrottle._calls.paths import DEAD_WEBHOOKS, PENDING_WEBHOOKS, REDELIVERY
from ezthrottle._operations.operation import Operation

if TYPE_CHECKING:
    from ezthrottle.types import PendingPage, WebhookPage, WebhooksSent


class Webhooks(Operation):
    """What is done with the webhooks of many jobs.

    >>> run(Webhooks(service, client).list_dead_webhooks())["deliveries"]
    []
    """

    async def list_dead_webhooks(
        self,
        endpoint: str | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> WebhookPage:
        """Return a page of the webhooks that failed for good, newest first, as `list_jobs` does.

        `endpoint` is a receiver's host, with its port unless that is 443, or a URL of it;
        `since` and `until` are Unix ms.
        """
        asked = given(endpoint=endpoint, since=since, until=until, limit=limit, cursor=cursor)
        return await self._service.call(Call("GET", DEAD_WEBHOOKS, params=asked, expects=("deliveries",)))

    async def list_pending_webhooks(
        self, endpoint: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> PendingPage:
        """Return a page of the webhooks still to be delivered, and by `endpoints` how many fail, and why.

        `endpoint` is a receiver's host, or an address of it.
        """
        asked = given(endpoint=endpoint, limit=limit, cursor=cursor)
        return await self._service.call(Call("GET", PENDING_WEBHOOKS, params=asked, expects=("deliveries",)))

    async def redeliver_webhooks(
        self,
        webhook_id: str | None = None,
        endpoint: str | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
    ) -> WebhooksSent:
        """Send webhooks that failed for good once more: all, one, or those of an endpoint or a time.

        `since` and `until` are Unix ms of the failure. Returns how many (`deliveries`), and whether there are
        `more`.
        """
        asked = given(webhook_id=webhook_id, endpoint=endpoint, since=since, until=until, limit=limit)
        return await self._service.call(Call("POST", REDELIVERY, json=asked, expects=("deliveries",)))
