"""The files that the console's pages load: read once, and named by what is in them."""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.console.paths import ROOT

DIRECTORY = Path(__file__).parent / "static"
KINDS: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}
KEPT = "public, max-age=31536000, immutable"
DIGITS = 12


class _File(Struct, frozen=True):
    content: bytes
    kind: str
    url: str


class StaticFiles:
    """Answers with the console's own files, and says where they are."""

    def __init__(self) -> None:
        paths = [path for path in DIRECTORY.rglob("*") if path.suffix in KINDS]
        self._files = {path.relative_to(DIRECTORY).as_posix(): _read(path) for path in paths}

    def url(self, name: str) -> str:
        """Give a file's URL, which changes with what is in it: browsers keep each for ever.

        Raises:
            KeyError: There is no such file.
        """
        return self._files[name].url

    def size(self, name: str) -> int:
        """Give a file's size in bytes."""
        return len(self._files[name].content)

    async def show(self, request: Request) -> Response:
        """Answer with a file."""
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        headers = {"Cache-Control": KEPT, "X-Content-Type-Options": "nosniff"}
        return Response(file.content, media_type=file.kind, headers=headers)


def _read(path: Path) -> _File:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:DIGITS]
    url = f"{ROOT}/static/{path.relative_to(DIRECTORY).as_posix()}?{digest}"
    return _File(content, KINDS[path.suffix], url)
