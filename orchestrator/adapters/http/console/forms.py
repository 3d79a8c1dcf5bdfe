"""What a form of the console's sends, and from where."""

from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from orchestrator.adapters.http.bodies import read_body
from orchestrator.domain.errors import MalformedJson, NotPermitted

FORM_BYTES_MOST = 16 * 1024
FIELDS_MOST = 50
_OURS = ("same-origin", "none")


async def read_form(request: Request) -> dict[str, str]:
    """Read a form (application/x-www-form-urlencoded); of a field that comes several times all, with commas.

    Raises:
        TooLarge: It is.
        MalformedJson: It has too many fields, or is no text.
    """
    body = await read_body(request, FORM_BYTES_MOST)
    try:
        pairs = parse_qsl(body.decode(), max_num_fields=FIELDS_MOST)
    except ValueError:
        raise MalformedJson("the form can't be read") from None
    form: dict[str, str] = {}
    for name, value in pairs:
        form[name] = f"{form[name]},{value}" if name in form else value
    return form


def require_own_site(request: Request) -> None:
    """Refuse a form that another site's page has sent (Fetch Metadata; Origin where a browser sends no more).

    Raises:
        NotPermitted: One has.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    foreign = site not in _OURS if site else origin is not None and urlsplit(origin).netloc != host
    if foreign:
        raise NotPermitted("this form was sent from another site's page: nothing was done")
