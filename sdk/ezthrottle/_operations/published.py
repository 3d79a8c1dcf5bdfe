"""Operations from before there were builders and waits, for programs that use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ezthrottle._operations.waiting import Waiting
from ezthrottle._warnings import warn

if TYPE_CHECKING:
    from ezthrottle._http.direct import Response
    from ezthrottle.types import Acknowledgement, EndedJob, Webhook


class Published(Waiting):
    """What the published clients could do besides.

    >>> run(Published(service, client).request("https://api.example.com")).ok
    True
    """

    async def request(
        self,
        url: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: str | None = None,
        *,
        timeout: float = 30.0,
    ) -> Response:
        """Send a request from this machine, past the service, following redirects but for HEAD.

        `timeout` is in seconds. Returns an `httpx.Response` that has `ok`; raises what httpx raises.
        """
        from ezthrottle._http.direct import send_directly  # noqa: PLC0415 - loads httpx, as the client has by now

        return await send_directly(self._service.runtime, method, url, headers, body, timeout)

    async def queue_request(
        self,
        url: str,
        webhook_url: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: str | None = None,
        metadata: dict[str, Any] | None = None,
        retry_at: int | None = None,
    ) -> Acknowledgement:
        """Submit a job with one webhook. Deprecated: use `submit_job` or `Step`."""
        warn("queue_request() is deprecated: use submit_job()", DeprecationWarning)
        request = {"url": url, "method": method, "headers": headers, "body": body}
        webhooks = _one_webhook(webhook_url)
        return await self._submitted(**request, metadata=metadata, webhooks=webhooks, retry_at=retry_at)

    async def queue_and_wait(  # noqa: PLR0917 - the published signature
        self,
        url: str,
        webhook_url: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: str | None = None,
        timeout: float = 300,
        poll_interval: float = 2,
        metadata: dict[str, Any] | None = None,
        retry_at: int | None = None,
    ) -> EndedJob:
        """Submit a job and wait for its end, as `submit_job` and `wait` do.

        `timeout` is in seconds, from when the service has the job; `poll_interval` is the pause in seconds
        before asking again where an answer comes at once. Returns the job. Raises what those two raise,
        ezthrottle.TimeoutError among them.
        """
        request = {"url": url, "method": method, "headers": headers, "body": body}
        webhooks = _one_webhook(webhook_url)
        answer = await self._submitted(**request, metadata=metadata, webhooks=webhooks, retry_at=retry_at)
        return await self.wait(answer["job_id"], timeout, poll_interval=poll_interval)


def _one_webhook(url: str) -> list[Webhook] | None:
    return [{"url": url, "has_quorum_vote": True}] if url else None
