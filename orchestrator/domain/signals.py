"""What a target says about the pace that it bears, read from response headers.

A header is a stranger's input: what is not finite, positive and in bounds changes nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

RPS_LEAST = 0.01
RPS_MOST = 100_000.0
CONCURRENT_MOST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What one response said. ``rps`` is requests per second; ``account_queues`` whether each account is
    to have a queue of its own. A field is None where it said nothing. ``source`` is the header that told
    a pace.
    """

    rps: float | None = None
    max_concurrent: int | None = None
    account_queues: bool | None = None
    source: str = field(default="", compare=False)

    @property
    def silent(self) -> bool:
        """Whether the response said nothing."""
        return self.rps is None and self.max_concurrent is None and self.account_queues is None


SILENT = Signal()


def read_signal(headers: dict[str, str]) -> Signal:
    """Read the pacing headers of one response (names in lower case). ``X-Aqueduct-*`` wins."""
    values = tuple(map(headers.get, _PACING_HEADERS))
    return SILENT if values == _NOT_SET else _signal(values)


@lru_cache(256)
def _signal(values: tuple[str | None, ...]) -> Signal:
    # A target says the same in each answer: it is read once.
    headers = {name: value for name, value in zip(_PACING_HEADERS, values, strict=True) if value is not None}
    return Signal(
        rps=_first(headers, "x-aqueduct-rps", "x-ezthrottle-rps", read=_rate),
        max_concurrent=_whole(headers),
        account_queues=_switch(headers, "x-aqueduct-account-queue", "x-ezthrottle-account-queue"),
        source=next((name for name, read in _PACES if read(headers.get(name, "")) is not None), ""),
    )


def retry_after_s(headers: dict[str, str], now: datetime) -> float | None:
    """Read ``Retry-After`` (RFC 9110, 10.2.3): seconds, or a date; None where there is none or it is void."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text) if len(text) < 10 else None  # noqa: PLR2004  # thirty years
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


_PACING_HEADERS = (
    "x-ezthrottle-rps",
    "x-aqueduct-rps",
    "x-ezthrottle-max-concurrent",
    "x-aqueduct-max-concurrent",
    "x-ezthrottle-account-queue",
    "x-aqueduct-account-queue",
)
_NOT_SET = (None,) * len(_PACING_HEADERS)
_SWITCH = {"enabled": True, "disabled": False}


def _first(headers: dict[str, str], *names: str, read: Callable[[str], float | None]) -> float | None:
    for name in names:
        if (value := read(headers.get(name, ""))) is not None:
            return value
    return None


def _whole(headers: dict[str, str]) -> int | None:
    value = _first(headers, "x-aqueduct-max-concurrent", "x-ezthrottle-max-concurrent", read=_count)
    return None if value is None else int(value)


def _switch(headers: dict[str, str], *names: str) -> bool | None:
    words = (headers.get(name, "").strip().lower() for name in names)
    return next((_SWITCH[word] for word in words if word in _SWITCH), None)


def _rate(text: str) -> float | None:
    value = _number(text)
    return value if value is not None and RPS_LEAST <= value <= RPS_MOST else None


def _count(text: str) -> float | None:
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(CONCURRENT_MOST)):
        return None
    return float(text) if 1 <= int(text) <= CONCURRENT_MOST else None


def _number(text: str) -> float | None:
    # float() reads more than a header may hold: 1_000, and the digits of every script.
    if "_" in text or not text.isascii():
        return None
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None


_PACES: tuple[tuple[str, Callable[[str], float | None]], ...] = (
    ("x-aqueduct-rps", _rate),
    ("x-ezthrottle-rps", _rate),
    ("x-aqueduct-max-concurrent", _count),
    ("x-ezthrottle-max-concurrent", _count),
)
