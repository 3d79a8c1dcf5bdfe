"""Reading a request's body within bounds of size and time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request

from orchestrator.domain.errors import MalformedJson, TooLarge

ARRIVES_WITHIN_S = 30.0
AT_ONCE_S = 0.1
LENGTH_DIGITS = 20
"""So many digits are over any limit; int() would refuse thousands of them."""
BODY_IS_HERE = "ezthrottle.body_is_here"
"""What a server puts among a request's extensions (ASGI) where the body came with the head: nothing has to be
waited for, and a limit of time costs some per cent of taking a job.
"""


async def _nothing() -> None:
    """Nobody has to know."""


async def read_body(
    request: Request, most: int, more_is_coming: Callable[[], Awaitable[None]] = _nothing
) -> bytearray:
    """Read the whole body; ``more_is_coming`` is waited for where that takes longer than a moment.

    Raises:
        TooLarge: It is over ``most`` bytes, declared or sent.
        MalformedJson: It did not arrive in time, or not whole.
    """
    # Grown part by part: to join sixteen megabytes at the end would hold up everybody for 11 ms.
    body = bytearray()
    if BODY_IS_HERE in request.scope.get("extensions", ()):
        await _read_all(request, body, most)
        return body
    if declared_bytes(request) > most:
        raise _too_large(most)
    due = asyncio.get_running_loop().time() + ARRIVES_WITHIN_S
    async with _until(due):
        more = await _read_part(request, body, most)
    if more:
        rest = asyncio.ensure_future(_read_rest(request, body, most, due))
        try:
            await asyncio.wait([rest], timeout=AT_ONCE_S)
            if not rest.done():
                await more_is_coming()
            await rest
        finally:
            rest.cancel()
    return body


@contextlib.asynccontextmanager
async def _until(due: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(due):
            yield
    except TimeoutError:
        msg = f"the body did not arrive within {ARRIVES_WITHIN_S:.0f} s"
        raise MalformedJson(msg) from None


def declared_bytes(request: Request, *, otherwise: int = 0) -> int:
    """Read how large a body is said to be, ``otherwise`` where that is not said; what is no number is left to
    the server, which reads it first.
    """
    text = request.headers.get("content-length", "")
    return int(text[:LENGTH_DIGITS]) if text.isascii() and text.isdigit() else otherwise


async def _read_rest(request: Request, body: bytearray, most: int, due: float) -> None:
    async with _until(due):
        await _read_all(request, body, most)


async def _read_all(request: Request, body: bytearray, most: int) -> None:
    while await _read_part(request, body, most):
        pass


async def _read_part(request: Request, body: bytearray, most: int) -> bool:
    """Add what comes next; say whether there is more."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise MalformedJson("the body broke off")
    body += message.get("body", b"")
    if len(body) > most:
        raise _too_large(most)
    return bool(message.get("more_body", False))


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body is larger than {most} bytes; the operator sets that limit")
