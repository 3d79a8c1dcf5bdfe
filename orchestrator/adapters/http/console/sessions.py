"""Who has signed in: a signed cookie that names a key, and ends with it."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from itsdangerous import BadData, URLSafeSerializer
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.console.paths import ROOT
from orchestrator.ports.clock import Clock

COOKIE = "ezthrottle_console"
LASTS_S = 12 * 3600
NONCE_BYTES = 12
_SHA256: Mapping[str, object] = {"digest_method": hashlib.sha256}


class Session(Struct, frozen=True):
    """A session: of which key, until when (Unix ms), and what tells it from others of the same key."""

    key_id: str
    ends_ms: int
    nonce: str


class Sessions:
    """Writes and reads sessions. Nothing of them is kept here: each stands in its cookie, signed.

    Args:
        secret: What they are signed with.
        clock: Time.
    """

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._clock = clock
        self._cookies = URLSafeSerializer(secret, salt="session", signer_kwargs=dict(_SHA256))
        self._tokens = URLSafeSerializer(secret, salt="act", signer_kwargs=dict(_SHA256))

    def begin(self, request: Request, response: Response, key_id: str) -> None:
        """Let an answer begin a session."""
        ends_ms = self._clock.unix_ms() + LASTS_S * 1000
        cookie = self._cookies.dumps([key_id, ends_ms, secrets.token_urlsafe(NONCE_BYTES)])
        response.set_cookie(
            COOKIE,
            str(cookie),
            max_age=LASTS_S,
            path=ROOT,
            httponly=True,
            samesite="lax",
            secure=_over_tls(request),
        )

    def end(self, response: Response) -> None:
        """Let an answer end the session in this browser."""
        response.delete_cookie(COOKIE, path=ROOT, httponly=True, samesite="lax")

    def read(self, request: Request) -> Session | None:
        """Read the session that a request is part of; None where there is none, or it is over."""
        try:
            key_id, ends_ms, nonce = self._cookies.loads(request.cookies.get(COOKIE, ""))
        except (BadData, ValueError):
            return None
        return Session(key_id, ends_ms, nonce) if self._clock.unix_ms() < ends_ms else None

    def token(self, session: Session) -> str:
        """Give what every form of a session carries: no other site can know it."""
        return str(self._tokens.dumps(session.nonce))

    def is_token(self, session: Session, given: str) -> bool:
        """Whether a form is one of this session's."""
        return hmac.compare_digest(given.encode(), self.token(session).encode())


def _over_tls(request: Request) -> bool:
    # A proxy in front says so. Who lies here only keeps his own cookie off his own plain connections.
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))
