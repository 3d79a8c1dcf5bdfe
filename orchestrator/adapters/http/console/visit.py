"""A request of somebody who has signed in."""

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.access import ROLES
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.ids import CustomerId


class Visit(Struct, frozen=True, kw_only=True):
    """Who visits which page. The forms of a session carry its ``token``; ``form`` is what one has sent."""

    request: Request
    caller: Caller
    token: str
    now_ms: int
    form: Mapping[str, str] = {}

    @property
    def query(self) -> QueryParams:
        """What the page is asked for."""
        return self.request.query_params

    @property
    def whose(self) -> CustomerId | None:
        """Whose things are shown: the caller's own, an operator's choice, or (None) everybody's."""
        if not self.caller.admin:
            return self.caller.customer
        named = self.query.get("customer") or self.form.get("customer")
        return CustomerId(named) if named else None

    def may(self, call: str) -> bool:
        """Whether the caller's key may use a call of the API, and with it what does the same here."""
        return self.caller.role in ROLES[call]


Handler = Callable[[Visit], Awaitable[Response]]
