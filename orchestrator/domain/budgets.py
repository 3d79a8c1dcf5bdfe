"""Budgets that targets announce in response headers, in every dialect that is common.

- IETF ``RateLimit`` and ``RateLimit-Policy``, draft-ietf-httpapi-ratelimit-headers-11 (structured fields),
  and the dictionary form of its draft 07
- the older ``RateLimit-Limit`` / ``-Remaining`` / ``-Reset`` (drafts up to 06)
- ``X-RateLimit-*`` with the resets found in the field: seconds left, Unix s, Unix ms, durations, dates
- OpenAI's ``x-ratelimit-*-requests|tokens`` and Anthropic's ``anthropic-ratelimit-*``

A header is a stranger's input: what can't be read changes nothing.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from itertools import islice
from typing import Any

import http_sf

LONGEST_RESET_S = 31 * 24 * 3600.0
UNIX_S_FROM = 1e9
UNIX_MS_FROM = 1e12
LARGEST = 1e15
"""No budget in the field is larger; above it a number is taken for garbage."""
BUDGETS_MOST = 8
LONGEST_FIELD = 2_048
"""Characters of a structured field that are worth parsing."""


class BudgetUnit(StrEnum):
    """What a budget counts (``qu`` of the IETF draft; tokens are the model providers')."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent-requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What is left, and until when. A field is None where the target did not say.

    ``limit`` units may be spent per ``window_s`` seconds; ``remaining`` of them are left for the next
    ``reset_s`` seconds. ``partition`` names whom it binds, where the target says so (``pk``).
    Where it ``refills`` the budget grows back bit by bit, and ``reset_s`` is when it is whole again.
    ``header`` is where it was read.
    """

    name: str
    unit: BudgetUnit = BudgetUnit.REQUESTS
    limit: float | None = None
    remaining: float | None = None
    window_s: float | None = None
    reset_s: float | None = None
    partition: bytes | None = None
    refills: bool = False
    header: str = field(default="", compare=False)

    @property
    def rate(self) -> float | None:
        """Units per second that the budget bears for ever, where the target said so."""
        return self.limit / self.window_s if self.limit and self.window_s else None

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left of it."""
        return self.remaining is not None and self.remaining < 1


def read_budgets(headers: Mapping[str, str], now: datetime) -> tuple[Budget, ...]:
    """Read every budget in a response's headers (names in lower case), at most BUDGETS_MOST."""
    if not any("ratelimit" in name or "rate-limit" in name for name in headers):
        return ()
    found = (*_structured(headers), *_triples(headers, now))
    return tuple(islice((budget for budget in found if _says_something(budget)), BUDGETS_MOST))


def parse_reset(text: str, now: datetime) -> float | None:
    """Read a reset in any dialect as seconds from ``now``; None where it is none.

    Numbers from 10⁹ on are Unix seconds, from 10¹² on Unix milliseconds, below they are seconds left.
    """
    value = _number(text)
    if value is None:
        seconds = _duration(text.strip())
        return _bounded(seconds if seconds is not None else _moment(text.strip(), now))
    if value >= UNIX_MS_FROM:
        return _bounded(value / 1000 - now.timestamp())
    return _bounded(value - now.timestamp() if value >= UNIX_S_FROM else value)


def _structured(headers: Mapping[str, str]) -> Iterator[Budget]:
    """Join ``RateLimit`` (what is left) with ``RateLimit-Policy`` (the quota) by their names."""
    policies = _items(headers.get("ratelimit-policy", ""))
    states = _items(headers.get("ratelimit", ""))
    for name in policies | states:
        policy, state = policies.get(name, {}), states.get(name, {})
        unit = _unit(policy.get("qu", BudgetUnit.REQUESTS))
        if unit is not None:
            yield Budget(
                name=name,
                unit=unit,
                limit=_positive(policy.get("q")),
                window_s=_positive(policy.get("w")),
                remaining=_amount(state.get("r")),
                reset_s=_bounded(_amount(state.get("t"))),
                partition=_partition(state.get("pk", policy.get("pk"))),
                header="ratelimit" if state else "ratelimit-policy",
            )
    yield from _draft_7(headers)


def _draft_7(headers: Mapping[str, str]) -> Iterator[Budget]:
    """Read ``RateLimit: limit=100, remaining=50, reset=5``, with ``RateLimit-Policy: 100;w=60``."""
    fields = _parse(headers.get("ratelimit", ""), "dictionary")
    if isinstance(fields, dict) and "remaining" in fields:
        values = {name: _amount(item[0]) for name, item in fields.items() if isinstance(item, tuple)}
        yield Budget(
            name="ratelimit",
            limit=_positive(values.get("limit")),
            window_s=_window(headers.get("ratelimit-policy", "")),
            remaining=values.get("remaining"),
            reset_s=_bounded(values.get("reset")),
            header="ratelimit",
        )


def _triples(headers: Mapping[str, str], now: datetime) -> Iterator[Budget]:
    """Read the dialects that spread one budget over three headers."""
    for triple in _TRIPLES:
        limit, remaining = headers.get(triple.limit, ""), headers.get(triple.remaining, "")
        if limit or remaining:
            policy = headers.get("ratelimit-policy", "") if triple.limit == "ratelimit-limit" else ""
            yield Budget(
                name=triple.limit,
                unit=triple.unit,
                limit=_positive(_number(re.split("[,;]", limit, maxsplit=1)[0])),
                window_s=_window(limit) or _window(policy),
                remaining=_amount(_number(remaining)),
                reset_s=parse_reset(headers.get(triple.reset, ""), now),
                refills=triple.refills,
                header=triple.limit,
            )


def _items(text: str) -> dict[str, dict[str, Any]]:
    """Parse a structured-field list of strings with parameters (RFC 9651): name to parameters."""
    parsed = _parse(text, "list")
    pairs = [item for item in parsed if isinstance(item, tuple)] if isinstance(parsed, list) else []
    return {name: dict(parameters) for name, parameters in pairs if isinstance(name, str)}


def _parse(text: str, kind: str) -> object:
    if not text.strip() or len(text) > LONGEST_FIELD:
        return None
    try:
        return http_sf.parse(text.encode("ascii"), tltype=kind)
    except ValueError:
        return None


def _unit(value: object) -> BudgetUnit | None:
    try:
        return BudgetUnit(str(value))
    except ValueError:
        return None


def _partition(value: object) -> bytes | None:
    return value if isinstance(value, bytes) else None


def _window(text: str) -> float | None:
    """Read the window of the older form: ``100, 100;w=60``."""
    found = re.search(r";\s*(?:w|window)=([0-9]{1,9})\b", text)
    return _positive(float(found[1])) if found else None


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if re.fullmatch(r"[0-9]{1,16}(\.[0-9]{1,9})?", text) else None


def _amount(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= LARGEST else None


def _positive(value: object) -> float | None:
    return _amount(value) or None


def _bounded(seconds: float | None) -> float | None:
    """A moment that has passed means now; one beyond a month means that it was no reset."""
    if seconds is None or seconds > LONGEST_RESET_S:
        return None
    return max(0.0, seconds)


def _duration(text: str) -> float | None:
    """Read ``6m0s``, ``1h2m3.5s``, ``120ms``."""
    if len(text) > len("999999999.999999999ms") or not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION_PART.findall(text))


def _moment(text: str, now: datetime) -> float | None:
    """Read a date and time: RFC 3339, or HTTP's own form."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            at = read(text)
            return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
        except (ValueError, IndexError, OverflowError, TypeError):
            continue
    return None


def _says_something(budget: Budget) -> bool:
    return budget.limit is not None or budget.remaining is not None


@dataclass(frozen=True, slots=True)
class _Triple:
    """Three headers that tell one budget."""

    limit: str
    remaining: str
    reset: str
    unit: BudgetUnit = BudgetUnit.REQUESTS
    refills: bool = False


def _openai(unit: BudgetUnit) -> _Triple:
    limit, remaining, reset = (f"x-ratelimit-{part}-{unit}" for part in ("limit", "remaining", "reset"))
    return _Triple(limit, remaining, reset, unit, refills=True)


def _anthropic(what: str, unit: BudgetUnit) -> _Triple:
    limit, remaining, reset = (
        f"anthropic-ratelimit-{what}-{part}" for part in ("limit", "remaining", "reset")
    )
    return _Triple(limit, remaining, reset, unit, refills=True)


_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|[smhd]))+")
_DURATION_PART = re.compile(r"([0-9.]+)(ms|[smhd])")
_TRIPLES = (
    _Triple("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
    _Triple("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
    _Triple("x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"),
    _openai(BudgetUnit.REQUESTS),
    _openai(BudgetUnit.TOKENS),
    _anthropic("requests", BudgetUnit.REQUESTS),
    _anthropic("tokens", BudgetUnit.TOKENS),
    _anthropic("input-tokens", BudgetUnit.TOKENS),
    _anthropic("output-tokens", BudgetUnit.TOKENS),
)
