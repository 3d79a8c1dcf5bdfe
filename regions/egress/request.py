"""Turning a request into what aiohttp is given, refusing what would not reach the wire as it is meant."""

import re
from functools import lru_cache

from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from orchestrator.domain.exchange import Fault, HttpRequest
from orchestrator.domain.hosts import ends_in_a_number, literal_address
from orchestrator.domain.requests.url_credentials import basic_authorization
from orchestrator.ports.egress import EgressError
from regions.egress.piecewise_body import PiecewiseBody

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUES = re.compile(r"[\t\x20-\x7e]*")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[0-9A-Za-z._~-]+|[0-9A-Fa-f:.]+(?:%[0-9A-Za-z._~%-]+)?")
_MAX_PLAIN_BODY = 256 * 1024
_HOSTS_REMEMBERED = 1_000


class WireRequest(Struct, frozen=True):
    """A request in aiohttp's terms."""

    method: str
    url: URL
    headers: CIMultiDict[str]
    body: bytes | PiecewiseBody | None

    @property
    def authority(self) -> str:
        """Host and port, fit for a message: the rest of a URL may hold secrets."""
        return f"{self.url.raw_host}:{self.url.port}"


def wire_request(request: HttpRequest) -> WireRequest:
    """Check ``request`` and translate it.

    Raises:
        EgressError: It can't be put on a wire; the fault is INVALID.
    """
    if not _TOKEN.fullmatch(request.method) or request.method.upper() == "CONNECT":
        raise _invalid("the method is not one that a request may have")
    headers = _headers(request)
    url = _url(request.url)
    if basic := basic_authorization(request.url):
        # The client on the wire would write it in Latin-1.
        headers.setdefault("Authorization", basic)
        url = url.with_user(None)
    return WireRequest(request.method, url, headers, _body(request.body))


def _url(text: str) -> URL:
    if not _VISIBLE.fullmatch(text):
        raise _invalid("the URL holds characters that must be percent-encoded")
    try:
        url = URL(text, encoded=True)
        is_complete = url.scheme in ("http", "https") and url.port is not None
    except ValueError:
        raise _invalid("the URL is malformed") from None
    if not is_complete or not _HOST.fullmatch(url.raw_host or ""):
        raise _invalid("the URL is not an http or https URL with a valid host")
    return _usual_form(url)


def _usual_form(url: URL) -> URL:
    """Spell a numeric host as an address: what is dialled is what names the target."""
    host = url.raw_host or ""
    if (usual := _usual_host(host)) is None:
        raise _invalid("the host ends in a number, but is no address")
    return url if usual == host else url.with_host(usual)


@lru_cache(_HOSTS_REMEMBERED)
def _usual_host(host: str) -> str | None:
    if not ends_in_a_number(host):
        return host
    address = literal_address(host)
    return None if address is None else str(address)


def _headers(request: HttpRequest) -> CIMultiDict[str]:
    names = [name for name, _ in request.headers]
    # Both are sets of characters: all at once is as strict as one by one, and costs a third.
    if names and not (all(names) and _TOKEN.fullmatch("".join(names))):
        raise _invalid("a header's name is not a token")
    if not _FIELD_VALUES.fullmatch("".join(value for _, value in request.headers)):
        raise _invalid("a header's value holds characters other than printable ASCII")
    headers = CIMultiDict(request.headers)
    _check_framing(headers, len(request.body or b""))
    return headers


def _check_framing(headers: CIMultiDict[str], body_bytes: int) -> None:
    """Headers that contradict the body would let its end pass for a second request."""
    if "Transfer-Encoding" in headers:
        raise _invalid("Transfer-Encoding is not the caller's to set")
    if headers.getall("Content-Length", []) not in ([], [str(body_bytes)]):
        raise _invalid("Content-Length differs from the length of the body")


def _body(body: bytes | None) -> bytes | PiecewiseBody | None:
    """A large body goes out in pieces, each waiting for the one before, instead of all at once."""
    return body if body is None or len(body) <= _MAX_PLAIN_BODY else PiecewiseBody(body)


def _invalid(message: str) -> EgressError:
    return EgressError(Fault.INVALID, message)
