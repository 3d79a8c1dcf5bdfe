"""What a target says about the pace that it bears, read from response headers.

A header is a stranger's input: what is not finite, positive and in bounds changes nothing. Where one comes
more than once the stricter of what can be read holds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from orchestrator.domain.headers.header_values import number, target_time_of, values, wait_s

RPS_LEAST = 0.01
RPS_MOST = 100_000.0
CONCURRENT_MOST = 1_000_000
LONGEST_WAIT_S = 24 * 3600.0
"""Who asks for more is waited for so long, and asked again."""
WAIT_HEADERS = ("retry-after", "retry-after-ms")


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


def read_signal(headers: Mapping[str, str]) -> Signal:
    """Read the pacing headers of one response (names in lower case, lines apart). ``X-Aqueduct-*`` wins over
    ``X-EZTHROTTLE-*``, and that over ``X-Aquifer-*``.
    """
    texts = tuple(map(headers.get, _PACING_HEADERS))
    return SILENT if texts == _NOT_SET else _signal(texts)


@lru_cache(256)
def _signal(texts: tuple[str | None, ...]) -> Signal:
    # A target says the same in each answer: it is read once.
    headers = {name: text for name, text in zip(_PACING_HEADERS, texts, strict=True) if text is not None}
    rates = {name: found for name in _RPS if (found := values(headers, name, _rate))}
    counts = {name: found for name in _CONCURRENT if (found := values(headers, name, _count))}
    return Signal(
        rps=min(next(iter(rates.values()), []), default=None),
        max_concurrent=min(next(iter(counts.values()), []), default=None),
        account_queues=_switch(headers),
        source=next(iter(rates | counts), ""),
    )


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read ``Retry-After`` (RFC 9110, 10.2.3) in all its forms, and ``retry-after-ms``: seconds up to
    LONGEST_WAIT_S, of several the longest; None where there is none that can be read. A moment is by the
    target's clock, which the answer's ``Date`` tells; ``now`` stands in where it bears none.
    """
    if not any(name in headers for name in WAIT_HEADERS):
        return None
    target_time = target_time_of(headers, now)
    waits = [
        *values(headers, "retry-after", lambda text: wait_s(text, target_time)),
        *values(headers, "retry-after-ms", _wait_ms),
    ]
    return min(max(waits), LONGEST_WAIT_S) if waits else None


def bears_on_pace(name: str) -> bool:
    """Whether a header (its name in lower case) is read for what it says about pace: its lines matter."""
    return name in _READ_BY_NAME or "ratelimit" in name or "rate-limit" in name


_RPS = ("x-aqueduct-rps", "x-ezthrottle-rps", "x-aquifer-rps")
_CONCURRENT = ("x-aqueduct-max-concurrent", "x-ezthrottle-max-concurrent", "x-aquifer-max-concurrent")
_QUEUES = ("x-aqueduct-account-queue", "x-ezthrottle-account-queue", "x-aquifer-account-queue")
_PACING_HEADERS = (*_RPS, *_CONCURRENT, *_QUEUES)
_READ_BY_NAME = frozenset((*_PACING_HEADERS, *WAIT_HEADERS, "date", "age"))
_NOT_SET = (None,) * len(_PACING_HEADERS)
_SWITCH = {"enabled": True, "disabled": False}


def _switch(headers: Mapping[str, str]) -> bool | None:
    """Of two words that differ neither is stricter: they change nothing."""
    said = (set(values(headers, name, lambda text: _SWITCH.get(text.strip().lower()))) for name in _QUEUES)
    known = next((words for words in said if words), set())
    return known.pop() if len(known) == 1 else None


def _wait_ms(text: str) -> float | None:
    value = number(text)
    return math.ceil(value) / 1000 if value is not None and value >= 0 else None


def _rate(text: str) -> float | None:
    value = _finite(text)
    return value if value is not None and RPS_LEAST <= value <= RPS_MOST else None


def _count(text: str) -> int | None:
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(CONCURRENT_MOST)):
        return None
    return int(text) if 1 <= int(text) <= CONCURRENT_MOST else None


def _finite(text: str) -> float | None:
    # float() reads more than a header may hold: 1_000, and the digits of every script.
    if "_" in text or not text.isascii():
        return None
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None
