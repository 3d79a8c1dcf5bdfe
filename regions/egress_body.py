"""Reading the body of an answer: its coding undone, its size bounded after that."""

import zlib
from dataclasses import dataclass

from aiohttp import StreamReader

_GZIP_MAGIC = b"\x1f\x8b"
_SNIFF_BYTES = 2
_MAX_MEMBERS = 1_000
_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15


@dataclass(frozen=True, slots=True)
class Body:
    """A body as it came; ``decoded`` says that a content coding was undone, ``truncated`` that it was cut."""

    content: bytes
    decoded: bool
    truncated: bool


class BrokenCodingError(Exception):
    """The coded body is damaged or ends too early."""


async def read_body(stream: StreamReader, coding: str, limit: int) -> Body:
    """Read ``stream`` up to ``limit`` bytes, undoing ``coding`` where it is gzip or deflate.

    What arrives on the wire has the same limit, for a coded body may be long without saying anything.

    Raises:
        BrokenCodingError: The coded body is damaged or ends too early.
    """
    decoder = _Decoder(coding) if coding in _Decoder.CODINGS else None
    content = bytearray()
    received = 0
    while chunk := await stream.readany():
        received += len(chunk)
        content += chunk if decoder is None else decoder.feed(chunk, limit + 1 - len(content))
        if len(content) > limit or received > limit:
            del content[limit:]
            return Body(bytes(content), decoder is not None and decoder.active, truncated=True)
    if decoder is not None:
        content += decoder.finish(limit)
    return Body(bytes(content), decoder is not None and decoder.active, truncated=False)
