"""Reading a request's body within bounds of size and time."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from orchestrator.domain.errors import MalformedJson, TooLarge

ARRIVES_WITHIN_S = 30.0


async def read_body(request: Request, most: int) -> bytes:
    """Read the whole body.

    Raises:
        TooLarge: It is over ``most`` bytes, declared or sent.
        MalformedJson: It did not arrive in time, or not whole.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(ARRIVES_WITHIN_S):
            return await _collect(request, most)
    except TimeoutError:
        msg = f"the body did not arrive within {ARRIVES_WITHIN_S:.0f} s"
        raise MalformedJson(msg) from None
    except ClientDisconnect:
        raise MalformedJson("the body broke off") from None


async def _collect(request: Request, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
    return b"".join(parts)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body is larger than {most} bytes; the operator sets that limit")
