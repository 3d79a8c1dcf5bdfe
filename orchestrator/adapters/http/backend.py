"""What every handler of the API needs, and what they share."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.bodies import read_body
from orchestrator.adapters.http.keys import KeyRing
from orchestrator.adapters.http.strict_json import parse_object
from orchestrator.core.intake import Intake
from orchestrator.core.shard import Shard
from orchestrator.domain.limits import Bounds

API = "/api/v1"
JOBS_PATH = f"{API}/jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What the handlers need."""

    shard: Shard
    intake: Intake
    keys: KeyRing
    bounds: Bounds


async def read_document(request: Request, bounds: Bounds) -> dict[str, Any]:
    """Read the request's body as one strict JSON object."""
    return parse_object(await read_body(request, bounds.body_bytes), bounds.json_depth)


def json_response(document: dict[str, Any], status: HTTPStatus) -> Response:
    """Answer with a JSON document."""
    content = json.dumps(document, separators=(",", ":"))
    return Response(content, status_code=status.value, media_type="application/json")
