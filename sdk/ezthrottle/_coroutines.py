"""Operations that are written once, as coroutines, for the blocking and for the asyncio client.

What a coroutine awaits of a blocking client is done when it is awaited, so that it never suspends: `run`
carries such a coroutine through on the calling thread, without an event loop.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Coroutine
from typing import Any, Callable, TypeVar, cast

from ezthrottle._warnings import remember_the_line

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Carry a coroutine of a blocking client through, and return its result.

    >>> async def double(number):
    ...     return 2 * number
    >>> run(double(21))
    42
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    coroutine.close()
    raise RuntimeError("a coroutine of a blocking client has waited for an event loop")


async def outcome_of(value: T | Awaitable[T]) -> T:
    """Return what a call of either client came to: its result, awaited where it has to be."""
    return await value if inspect.isawaitable(value) else value


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function that blocks, without holding up the event loop."""
    import asyncio  # noqa: PLC0415 - loads slower than this whole package

    remember_the_line()
    return await asyncio.to_thread(function, *args, **kwargs)
