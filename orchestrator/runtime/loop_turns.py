"""What is left to the event loop before one goes on."""

import asyncio

_TURNS = 2
"""Mailboxes are emptied in the first; what is written in a turn leaves at its end."""


async def until_mail_has_left() -> None:
    """Return when what was posted so far is with the kernel, as far as its peers have room."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
