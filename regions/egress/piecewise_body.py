"""A large body goes out in pieces of one copy that many requests may share.

aiohttp's own payload of a ``BytesIO`` makes a copy for each request when it asks for its size.
"""

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

PIECE_BYTES = 64 * 1024


class PiecewiseBody(Payload):
    """Each piece waits until the connection has taken the one before."""

    _autoclose = True

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._body = body
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Give the body as text."""
        return self._body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all of it."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write so many bytes of it, all where that is None."""
        size = len(self._body)
        until = size if content_length is None else min(content_length, size)
        for at in range(0, until, PIECE_BYTES):
            await writer.write(self._body[at : min(at + PIECE_BYTES, until)])
