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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice, zip_longest
from typing import Any

import http_sf
from msgspec import Struct

from orchestrator.domain.headers.header_values import (
    TargetTime,
    lines,
    number,
    split_list,
    target_time_of,
    values,
    wait_s,
)

LONGEST_RESET_S = 31 * 24 * 3600.0
LARGEST = 1e15
"""No budget in the field is larger; above it a number is taken for garbage."""
BUDGETS_MOST = 8
LONGEST_FIELD = 2_048
"""Characters of a structured field that are worth parsing."""
_DRAFT_7 = {"limit", "remaining"}
_Parameters = dict[str, Any]
_Stricter = Callable[[_Parameters, _Parameters], _Parameters]


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
    """Read every budget in a response's headers (names in lower case, lines apart), at most BUDGETS_MOST,
    the slowest last. Moments are by the target's clock, which the answer's ``Date`` tells; ``now`` stands in
    where it bears none.
    """
    if not any("ratelimit" in name or "rate-limit" in name for name in headers):
        return ()
    every = (*_structured(headers), *_triples(headers, target_time_of(headers, now)))
    found = islice((budget for budget in every if _says_something(budget)), BUDGETS_MOST)
    # Of several that are a pace, the one told last is kept to.
    return tuple(sorted(found, key=lambda budget: -(budget.rate or math.inf)))


def _structured(headers: Mapping[str, str]) -> Iterator[Budget]:
    """Join ``RateLimit`` (what is left) with ``RateLimit-Policy`` (the quota) by their names."""
    policies = _named(headers, "ratelimit-policy", _stricter_policy)
    states = _named(headers, "ratelimit", _stricter_state)
    for name in policies | states:
        policy, state = policies.get(name, {}), states.get(name, {})
        unit = _unit(policy.get("qu", BudgetUnit.REQUESTS))
        if unit is not None:
            reset_s = _bounded(_amount(state.get("t")))
            yield Budget(
                name=name,
                unit=unit,
                limit=_positive(policy.get("q")),
                window_s=_positive(policy.get("w")),
                remaining=_left(state.get("r"), reset_s),
                reset_s=reset_s,
                partition=_partition(state.get("pk", policy.get("pk"))),
                header="ratelimit" if state else "ratelimit-policy",
            )
    yield from _draft_7(headers)


def _named(headers: Mapping[str, str], header: str, stricter: _Stricter) -> dict[str, _Parameters]:
    """Read the lists in all lines of a structured field; of two items of one name and partition the stricter
    counts, of two partitions the last.
    """
    found: dict[tuple[str, bytes | None], _Parameters] = {}
    for line in lines(headers, header):
        for name, parameters in _items(line):
            key = (name, _partition(parameters.get("pk")))
            found[key] = stricter(found[key], parameters) if key in found else parameters
    return {name: parameters for (name, _), parameters in found.items()}


def _stricter_policy(one: _Parameters, other: _Parameters) -> _Parameters:
    rates = [(_positive(p.get("q")) or math.inf) / (_positive(p.get("w")) or 1.0) for p in (one, other)]
    return other if rates[1] < rates[0] else one


def _stricter_state(one: _Parameters, other: _Parameters) -> _Parameters:
    left = min(_numbers("r", one, other), default=None)
    reset = max(_numbers("t", one, other), default=None)
    return one | other | {name: value for name, value in (("r", left), ("t", reset)) if value is not None}


def _numbers(name: str, *parameters: _Parameters) -> list[float]:
    return [value for each in parameters if (value := _finite(each.get(name))) is not None]


def _draft_7(headers: Mapping[str, str]) -> Iterator[Budget]:
    """Read ``RateLimit: limit=100, remaining=50, reset=5``, with ``RateLimit-Policy: 100;w=60``. Where no
    line says all of it, its members are spread over lines (RFC 9651, 3.2).
    """
    apart = [_members(line) for line in lines(headers, "ratelimit")]
    whole = {name: value for fields in apart for name, value in fields.items()}
    if "remaining" in whole:
        said = [fields for fields in apart if fields.keys() >= _DRAFT_7] or [whole]
        resets = [reset for fields in said if (reset := _bounded(_amount(fields.get("reset")))) is not None]
        limit = min((limit for fields in said if (limit := _positive(fields.get("limit")))), default=None)
        reset_s = max(resets, default=None)
        yield Budget(
            name="ratelimit",
            limit=limit,
            window_s=_window(_windows(headers, "ratelimit-policy"), limit),
            remaining=_left(min(_numbers("remaining", *said), default=None), reset_s),
            reset_s=reset_s,
            header="ratelimit",
        )


def _members(line: str) -> _Parameters:
    # Most lines are of the later drafts, and a parse costs more than all of the rest.
    fields = _parse(line, "dictionary") if "=" in line.partition(";")[0] else None
    items = fields.items() if isinstance(fields, dict) else ()
    return {name: item[0] for name, item in items if isinstance(item, tuple)}


def _triples(headers: Mapping[str, str], target_time: TargetTime) -> Iterator[Budget]:
    """Read the dialects that spread one budget over three headers."""
    for triple in _TRIPLES:
        if triple.limit in headers or triple.remaining in headers:
            rows = dict.fromkeys(_rows(headers, triple, target_time))
            for index, (limit, left, reset_s) in enumerate(rows):
                yield Budget(
                    # Each is followed by itself: a limit by the second says nothing of one by the hour.
                    name=f"{triple.limit};{index}" if index else triple.limit,
                    unit=triple.unit,
                    limit=_positive(limit.value),
                    window_s=limit.window_s,
                    remaining=None if limit.none_set else _left(left, reset_s),
                    reset_s=reset_s,
                    refills=triple.refills,
                    header=triple.limit,
                )


def _rows(
    headers: Mapping[str, str], triple: "_Triple", target_time: TargetTime
) -> list[tuple["_Limit", float | None, float | None]]:
    """Put the lines of three headers together: the first with the first and so on where that comes out even,
    else the strictest of each.
    """
    limits = _limits(headers, triple)
    left = values(headers, triple.remaining, number)
    resets = values(headers, triple.reset, lambda text: _bounded(wait_s(text, target_time)))
    count = max(len(limits), len(left), len(resets))
    if {len(limits), len(left), len(resets)} <= {0, count}:
        return list(zip_longest(limits or [_NO_LIMIT] * count, left, resets))
    limit = min(limits, key=_Limit.strictness, default=_NO_LIMIT)
    return [(limit, min(left, default=None), max(resets, default=None))]


def _limits(headers: Mapping[str, str], triple: "_Triple") -> list["_Limit"]:
    policies = _windows(headers, "ratelimit-policy") if triple.limit == "ratelimit-limit" else []
    found = []
    for line in lines(headers, triple.limit):
        first, *rest = split_list(line)
        # What has a window of its own, behind the first, is a policy (draft 3): ``10, 10;w=1, 50;w=60``.
        bare = [
            number(text) for text in (first.partition(";")[0], *(text for text in rest if ";" not in text))
        ]
        windows = _windows_in(line) or policies
        found += [_Limit(value, _window(windows, value)) for value in bare if value is not None]
    return found


def _items(text: str) -> list[tuple[str, _Parameters]]:
    """Parse a structured-field list of strings with parameters (RFC 9651)."""
    parsed = _parse(text, "list")
    pairs = [item for item in parsed if isinstance(item, tuple)] if isinstance(parsed, list) else []
    return [(name, dict(parameters)) for name, parameters in pairs if isinstance(name, str)]


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


def _windows(headers: Mapping[str, str], name: str) -> list[tuple[float, float]]:
    return [pair for line in lines(headers, name) for pair in _windows_in(line)]


def _windows_in(line: str) -> list[tuple[float, float]]:
    """Read the quotas and windows of the older form: ``100, 100;w=60``."""
    found = _WINDOW.findall(line[:LONGEST_FIELD])
    return [(float(quota), float(window)) for quota, window in found if float(window)]


def _window(windows: list[tuple[float, float]], limit: float | None) -> float | None:
    """Choose a limit's window: that of the same quota, else the first."""
    return next((window for quota, window in windows if quota == limit), windows[0][1] if windows else None)


def _left(value: object, reset_s: float | None) -> float | None:
    """Read what is left. Less than nothing until a reset that lies ahead is nothing; else it says nothing."""
    amount = _finite(value)
    if amount is not None and amount < 0:
        return 0.0 if reset_s else None
    return _amount(value)


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _amount(value: object) -> float | None:
    amount = _finite(value)
    return amount if amount is not None and 0 <= amount <= LARGEST else None


def _positive(value: object) -> float | None:
    return _amount(value) or None


def _bounded(seconds: float | None) -> float | None:
    """A reset beyond a month means that it was none."""
    return seconds if seconds is not None and 0 <= seconds <= LONGEST_RESET_S else None


def _says_something(budget: Budget) -> bool:
    return budget.limit is not None or budget.remaining is not None


class _Limit(Struct, frozen=True):
    """A limit as it was told, negative where none is set, and its window."""

    value: float | None
    window_s: float | None = None

    @property
    def none_set(self) -> bool:
        """Whether it says that there is no limit: then nothing is said of what is left either."""
        return self.value is not None and self.value < 0

    def strictness(self) -> tuple[bool, float]:
        """Where it stands among others, the strictest first."""
        return self.none_set, self.value or 0.0


_NO_LIMIT = _Limit(None)


class _Triple(Struct, frozen=True):
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


_WINDOW = re.compile(r"([0-9]{1,15})\s*;\s*(?:w|window)=([0-9]{1,9})\b")
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
