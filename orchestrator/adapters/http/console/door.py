"""Lets people in: who has signed in, with a key of the right role, and by the console's own forms."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.adapters.http.access import READERS, ROLES, admitted
from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.attempts import SignInAttempts
from orchestrator.adapters.http.console.forms import read_form, require_own_site
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.paths import ROOT, SIGN_IN, led_to
from orchestrator.adapters.http.console.sessions import Sessions
from orchestrator.adapters.http.console.visit import Handler, Visit
from orchestrator.adapters.http.problems import as_ours
from orchestrator.domain.errors import EZThrottleError, NotAuthorized, NotPermitted

Endpoint = Callable[[Request], Awaitable[Response]]


class Door:
    """Guards the console's pages and acts by the roles of the API's calls: ``adapters/http/access.py``."""

    def __init__(self, backend: Backend, pages: Pages) -> None:
        self._keys = backend.keys
        self._customers = backend.gateway.customers
        self._clock = backend.gateway.clock
        self._pages = pages
        self._sessions = Sessions(self._customers.session_secret, self._clock)
        self._attempts = SignInAttempts(self._clock)

    def page(self, call: str, show: Handler) -> Endpoint:
        """Show a page to those who may use a call; others are led to the sign-in, and back from there.

        Raises:
            KeyError: There is no such call.
        """
        return self._guarded(call, show)

    def act(self, call: str, do: Handler) -> Endpoint:
        """Do what a form of this session's asks for, for those who may use a call.

        Raises:
            KeyError: There is no such call.
        """

        async def with_form(visit: Visit) -> Response:
            require_own_site(visit.request)
            form = await read_form(visit.request)
            session = self._sessions.read(visit.request)
            if session is None or not self._sessions.is_token(session, form.get("token", "")):
                raise NotPermitted("this form is of another session: open the page anew, and send it again")
            return await do(replace(visit, form=form))

        return self._guarded(call, with_form)

    def _guarded(self, call: str, handler: Handler) -> Endpoint:
        roles = ROLES[call]

        async def answer(request: Request) -> Response:
            visit = None
            try:
                visit = await self._visit(request)
                if visit is None:
                    return _to_sign_in(request)
                visit = replace(visit, caller=admitted(visit.caller, roles, request))
                return await handler(visit)
            except Exception as error:  # noqa: BLE001  # whatever it is, people are told something they can read
                return self._pages.problem(as_ours(error), visit)

        return answer

    async def _visit(self, request: Request) -> Visit | None:
        session = self._sessions.read(request)
        if session is None:
            return None
        try:
            caller = await self._keys.holder(session.key_id)
        except NotAuthorized:
            return None
        token, now_ms = self._sessions.token(session), self._clock.unix_ms()
        return Visit(request=request, caller=caller, token=token, now_ms=now_ms)

    async def still_open(self, request: Request) -> bool:
        """Whether a session has not ended meanwhile: asked by what goes on for long."""
        return await self._visit(request) is not None

    async def show_sign_in(self, request: Request) -> Response:
        """Show the form that takes a key; who has signed in is led on."""
        asked = led_to(request.query_params.get("next", ROOT))
        if await self._visit(request) is not None:
            return RedirectResponse(asked, HTTPStatus.SEE_OTHER)
        return self._pages.page("sign_in.html", visit=None, next=asked, error=None)

    async def sign_in(self, request: Request) -> Response:
        """Take a key, begin a session, and lead back to the page that was asked for."""
        asked = ROOT
        try:
            require_own_site(request)
            form = await read_form(request)
            asked = led_to(form.get("next", ROOT))
            key_id = await self._key_id(request, form.get("key", "").strip())
        except EZThrottleError as error:
            return self._pages.page(
                "sign_in.html", visit=None, status=error.status, next=asked, error=str(error)
            )
        response = RedirectResponse(asked, HTTPStatus.SEE_OTHER)
        self._sessions.begin(request, response, key_id)
        return response

    async def sign_out(self, visit: Visit) -> Response:  # noqa: ARG002  # every handler is handed it
        """End the session in this browser."""
        response = RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
        self._sessions.end(response)
        return response

    async def _key_id(self, request: Request, key: str) -> str:
        address = request.client.host if request.client else ""
        self._attempts.require_room(address)
        caller = await self._customers.caller_of(key)
        if caller is None:
            self._attempts.failed(address)
            raise NotAuthorized("that key is unknown or revoked, or has expired")
        return admitted(caller, READERS, request).key_id


def _to_sign_in(request: Request) -> Response:
    # A part of a page that is open is asked for by htmx: the whole page has to go there, and back.
    asked = urlsplit(request.headers.get("hx-current-url", str(request.url)))
    here = asked.path + (f"?{asked.query}" if asked.query else "")
    where = f"{SIGN_IN}?next={quote(here if request.method == 'GET' else ROOT, safe='/')}"
    if "hx-request" in request.headers:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"HX-Redirect": where})
    return RedirectResponse(where, HTTPStatus.SEE_OTHER)
