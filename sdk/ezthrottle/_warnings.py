"""Python warnings that point at the user's line, through whatever threads and coroutines lead here."""

from __future__ import annotations

import sys
import warnings
from contextvars import ContextVar
from types import FrameType

from ezthrottle.exceptions import EZThrottleWarning

# What lies between a user's line and ours.
_BETWEEN = frozenset({"ezthrottle", "asyncio", "concurrent", "contextlib", "threading"})

# In a thread of ours no user's line is above.
_started_by: ContextVar[FrameType | None] = ContextVar("_started_by", default=None)


def warn(message: str, category: type[Warning] = EZThrottleWarning) -> None:
    """Warn of this at the line that called the SDK; Python shows it once for a line and a message."""
    frame = _users_frame() or sys._getframe()  # noqa: SLF001 - documented; inspect's goes through it too
    module = frame.f_globals
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=module.get("__name__"),
        registry=module.setdefault("__warningregistry__", {}),
    )


def remember_the_line() -> None:
    """Have the warnings of this context, which is about to go on in a thread, point at the line above."""
    _started_by.set(_users_frame())


def _users_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as above
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _BETWEEN:
        frame = frame.f_back
    return frame or _started_by.get()
