"""Which roles may use which route: the one table. A route that does not stand in it can't be added."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import assert_never

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.authentication import ApiKeyAuthenticator
from orchestrator.domain.access.roles import Caller, Role
from orchestrator.domain.errors import NotPermitted
from orchestrator.runtime.log_format import about

log = logging.getLogger(__name__)

API = "/api/v1"
JOBS_PATH = f"{API}/jobs"
ADMIN = f"{API}/admin"
_JOB = f"{JOBS_PATH}/{{job_id}}"
_DOMAIN = f"{API}/domains/{{domain:path}}"
_SECRETS = f"{API}/webhook-secrets"

Roles = frozenset[Role]
ANYBODY: Roles = frozenset()
"""No key is asked for."""
ADMINS = frozenset({Role.ADMIN})
WRITERS = ADMINS | {Role.SUBMIT}
READERS = WRITERS | {Role.READ}

ROLES: Mapping[str, Roles] = MappingProxyType(
    {
        f"POST {JOBS_PATH}": WRITERS,
        f"POST {JOBS_PATH}:batch": WRITERS,
        f"POST {JOBS_PATH}:cancel": WRITERS,
        f"POST {JOBS_PATH}:replay": WRITERS,
        f"GET {JOBS_PATH}": READERS,
        f"GET {_JOB}": READERS,
        f"GET {_JOB}/stream": READERS,
        f"POST {_JOB}/replay": WRITERS,
        f"POST {_JOB}/redeliver": WRITERS,
        f"DELETE {_JOB}": WRITERS,
        f"GET {API}/usage": READERS,
        f"GET {API}/regions": READERS,
        f"GET {API}/domains": READERS,
        f"POST {_DOMAIN}:reset": ADMINS,
        f"POST {_DOMAIN}:pause": ADMINS,
        f"POST {_DOMAIN}:resume": ADMINS,
        f"PUT {_DOMAIN}/pace": ADMINS,
        f"POST {_SECRETS}": WRITERS,
        f"GET {_SECRETS}": READERS,
        f"DELETE {_SECRETS}": WRITERS,
        f"POST {_SECRETS}/rotate": WRITERS,
        f"GET {API}/webhooks/dead": READERS,
        f"GET {API}/webhooks/pending": READERS,
        f"POST {API}/webhooks/redeliver": WRITERS,
        f"GET {ADMIN}/customers": ADMINS,
        f"GET {ADMIN}/customers/{{customer_id}}": ADMINS,
        f"PUT {ADMIN}/customers/{{customer_id}}/plan": ADMINS,
        f"GET {ADMIN}/keys": ADMINS,
        f"POST {ADMIN}/keys": ADMINS,
        f"DELETE {ADMIN}/keys/{{key_id}}": ADMINS,
        f"GET {ADMIN}/usage": ADMINS,
        f"GET {ADMIN}/domains": ADMINS,
        f"POST {ADMIN}/domains/{{domain:path}}:reset": ADMINS,
        f"POST {ADMIN}/domains/{{domain:path}}:pause": ADMINS,
        f"POST {ADMIN}/domains/{{domain:path}}:resume": ADMINS,
        f"PUT {ADMIN}/domains/{{domain:path}}/pace": ADMINS,
        f"GET {ADMIN}/jobs": ADMINS,
        f"GET {ADMIN}/jobs/{{job_id}}": ADMINS,
        f"DELETE {ADMIN}/jobs/{{job_id}}": ADMINS,
        f"POST {ADMIN}/jobs/{{job_id}}/replay": ADMINS,
        f"POST {ADMIN}/jobs/{{job_id}}/redeliver": ADMINS,
        f"GET {ADMIN}/regions": ADMINS,
        f"POST {ADMIN}/regions/{{region}}:drain": ADMINS,
        f"POST {ADMIN}/regions/{{region}}:undrain": ADMINS,
        f"GET {ADMIN}/log-level": ADMINS,
        f"PUT {ADMIN}/log-level": ADMINS,
        f"GET {ADMIN}/audit": ADMINS,
        # What is in the envelope is a call of its own, and judged as one.
        f"POST {API}/proxy": READERS,
        "GET /healthz": ANYBODY,
        "GET /readyz": ANYBODY,
        "GET /metrics": ANYBODY,
    }
)

Handler = Callable[[Request], Awaitable[Response]]
KeyedHandler = Callable[[Request, Caller], Awaitable[Response]]


def guarded(keys: ApiKeyAuthenticator, call: str, handler: KeyedHandler) -> Handler:
    """Let a handler answer those whose key has one of a call's roles: 401 without a key, 403 with another's.

    Raises:
        KeyError: Nobody has said which roles may use that call.

    """
    roles = ROLES[call]

    async def answer(request: Request) -> Response:
        caller = admitted(await keys.caller(request), roles, request)
        if log.isEnabledFor(logging.DEBUG):
            ids = about(customer=caller.customer, key=caller.key_id)
            log.debug("%s with the key %s", call, caller.key_id, extra=ids)
        return await handler(request, caller)

    # What wraps() sets besides would have FastAPI ask the client for a caller.
    for name in ("__name__", "__doc__"):
        setattr(answer, name, getattr(handler, name))
    return answer


def admitted(caller: Caller, roles: Roles, request: Request) -> Caller:
    """Let a caller of one of these roles in; of an operator it is noted from where.

    Raises:
        NotPermitted: The key is of another role.
    """
    if caller.role not in roles:
        raise NotPermitted(_remedy(caller.role, roles))
    if caller.admin and request.client is not None:
        return replace(caller, origin=request.client.host)
    return caller


def _remedy(role: Role, roles: Roles) -> str:
    match role:
        case Role.REGION:
            return "this is a region's key: 'ezthrottle region' joins with it, and it does nothing else"
        case Role.SUBMIT | Role.READ | Role.ADMIN:
            needed = Role.SUBMIT if Role.SUBMIT in roles else Role.ADMIN
            return f"a key of the role {needed} is needed: 'ezthrottle keys create --role {needed}'"
        case _:
            assert_never(role)
