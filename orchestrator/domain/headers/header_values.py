"""Values of pacing headers, in the forms that servers really send: numbers, waits, moments; once or often.

Repeated lines are kept apart by newlines (``HttpResponse.lines_apart``). A proxy may have joined two lines
with a comma itself: where a line can be read as several values it is. Sources: RFC 9110 (5.6.7, 10.2.3),
RFC 3339, RFC 9111 (4.2.3, ``Age``), Go's and the model providers' durations.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TypeVar

UNIX_S_FROM = 1e9
UNIX_MS_FROM = 1e12
LINES_MOST = 16
VALUES_MOST = 32
VALUE_LONGEST = 128
"""Characters of one value that are worth reading."""

_T = TypeVar("_T")
TargetTime = Callable[[], float]
"""Says what time it is at the target, in Unix seconds."""

_NUMBER = re.compile(r"-?[0-9]{1,16}(?:\.[0-9]{1,30})?")
_UNITS_S = {"ms": 0.001, "s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0}
_UNITS_S |= {"h": 3_600.0, "hour": 3_600.0, "d": 86_400.0, "day": 86_400.0}
_PART = r"([0-9]{1,9}(?:\.[0-9]{1,30})?) ?(ms|s|sec|second|m|min|minute|h|hour|d|day)s?(?![a-z])"
_DURATION_PART = re.compile(_PART)
_DURATION = re.compile(f"(?:{_PART} ?)+")
_WEEKDAY = re.compile(r"\s*(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\s*", re.IGNORECASE)


def lines(headers: Mapping[str, str], name: str) -> list[str]:
    """List the lines of a header (its name in lower case), at most LINES_MOST."""
    text = headers.get(name)
    return text.split("\n", LINES_MOST)[:LINES_MOST] if text else []


def values(headers: Mapping[str, str], name: str, read: Callable[[str], _T | None]) -> list[_T]:
    """Read every value of a header that can be read, at most VALUES_MOST, from all its lines."""
    found = [value for line in lines(headers, name) for value in _values_in(line, read)]
    return found[:VALUES_MOST]


def split_list(line: str) -> list[str]:
    """Split a line at its commas, but for those of dates."""
    items: list[str] = []
    for piece in line.split(",", VALUES_MOST)[:VALUES_MOST]:
        if items and _WEEKDAY.fullmatch(items[-1]):
            items[-1] += f",{piece}"
        else:
            items.append(piece)
    return items


def number(text: str) -> float | None:
    """Read a number in plain digits, which may be negative."""
    text = text.strip()
    return float(text) if len(text) <= VALUE_LONGEST and _NUMBER.fullmatch(text) else None


def wait_s(text: str, target_time: TargetTime) -> float | None:
    """Read a wait in seconds, 0 or more, rounded up to the ms; None where it is none.

    Numbers from 10⁹ on are Unix seconds, from 10¹² on Unix milliseconds, below they are seconds left; then
    there are durations (``7s``, ``1h30m``, ``120ms``) and dates. A moment that has passed means now.
    """
    text = text.strip()
    if not text or len(text) > VALUE_LONGEST:
        return None
    seconds = number(text)
    if seconds is None:
        seconds = _duration(text)
        return _up_to_ms(seconds) if seconds is not None else _until(_moment(text), target_time)
    if seconds < 0:
        return None
    if seconds >= UNIX_S_FROM:
        return _until(seconds / 1000 if seconds >= UNIX_MS_FROM else seconds, target_time)
    return _up_to_ms(seconds)


def target_time_of(headers: Mapping[str, str], now: datetime) -> TargetTime:
    """Tell the target's time when it answered: by the answer's ``Date``, and ``Age`` where a cache had kept
    it; by ``now`` where it bears no date. The earliest of several is the one with the longest waits.
    """

    def unix_s() -> float:
        dates = values(headers, "date", _moment)
        ages = [age for age in values(headers, "age", number) if 0 <= age < UNIX_S_FROM]
        return min(dates) + min(ages, default=0.0) if dates else now.timestamp()

    return unix_s


def _values_in(line: str, read: Callable[[str], _T | None]) -> list[_T]:
    items = split_list(line)
    found = [value for item in items if (value := read(item)) is not None]
    if found or len(items) == 1:
        return found
    whole = read(line)
    return [] if whole is None else [whole]


def _until(unix_s: float | None, target_time: TargetTime) -> float | None:
    return None if unix_s is None else _up_to_ms(max(0.0, unix_s - target_time()))


def _up_to_ms(seconds: float) -> float:
    # What a binary fraction adds to a millisecond is no part of it.
    return math.ceil(round(seconds * 1000, 6)) / 1000


def _duration(text: str) -> float | None:
    text = text.lower()
    if not text[0].isdigit() or not _DURATION.fullmatch(text):
        return None
    return sum(float(amount) * _UNITS_S[unit] for amount, unit in _DURATION_PART.findall(text))


def _moment(text: str) -> float | None:
    """Read a date and time, RFC 3339 or one of HTTP's own forms, as Unix seconds."""
    return _parsed_moment(text.strip()) if len(text) <= VALUE_LONGEST else None


@lru_cache(256)
def _parsed_moment(text: str) -> float | None:
    # Many answers bear the same date.
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            at = read(text)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, IndexError, OverflowError, TypeError, AttributeError):
            continue
    return None
