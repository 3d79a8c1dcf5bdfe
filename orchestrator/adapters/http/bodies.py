"""Reading a request's body within bounds of size and time."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from orchestrator.domain.errors import MalformedJson, TooLarge

ARRIVES_WITHIN_S = 30.0
LENGTH_DIGITS = 20
"""So many digits are over any limit; int() would refuse thousands of them."""


async def read_body(request: Request, most: int) -> bytearray:
    """Read the whole body.

    Raises:
        TooLarge: It is over ``most`` bytes, declared or sent.
        MalformedJson: It did not arrive in time, or not whole.
    """
    if declared_bytes(request) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(ARRIVES_WITHIN_S):
            return await _collect(request, most)
    except TimeoutError:
        msg = f"the body did not arrive within {ARRIVES_WITHIN_S:.0f} s"
        raise MalformedJson(msg) from None
    except ClientDisconnect:
        raise MalformedJson("the body broke off") from None


def declared_bytes(request: Request, *, otherwise: int = 0) -> int:
    """Read how large a body is said to be, ``otherwise`` where that is not said; what is no number is left to
    the server, which reads it first.
    """
    text = request.headers.get("content-length", "")
    return int(text[:LENGTH_DIGITS]) if text.isascii() and text.isdigit() else otherwise


async def _collect(request: Request, most: int) -> bytearray:
    # Grown part by part: to join sixteen megabytes at the end would hold up everybody for 11 ms.
    body = bytearray()
    async for part in request.stream():
        if len(body) + len(part) > most:
            raise _too_large(most)
        body += part
    return body


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body is larger than {most} bytes; the operator sets that limit")
