"""Calls that have no operation of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ezthrottle._calls.call import Call
from ezthrottle._operations.operation import Operation


class Calling(Operation):
    """Makes any call of the API.

    >>> run(Calling(service, client).call("POST", "/api/v1/domains/api.example.com:pause"))["domain"]
    'api.example.com'
    """

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Make a call of the API, such as an operator's, and return the JSON object of its answer.

        `path` begins with /api/v1; /openapi.json of the service describes them all. GET, PUT and DELETE are
        repeated as `submit_job` is, other methods are not. Raises what `submit_job` raises, NotFoundError and
        ConflictError.
        """
        repeatable = method.upper() in {"GET", "PUT", "DELETE"}
        call: Call[dict[str, Any]] = Call(method.upper(), path, params, json, repeatable=repeatable)
        return await self._service.call(call)
