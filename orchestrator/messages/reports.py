"""What a node on a machine of somebody else's may say: looked at before it counts.

That each field is of its type the codec has seen to.
"""

import math
from collections.abc import Callable
from typing import Any

from orchestrator.messages.codec import WireError
from orchestrator.messages.types import (
    AnswerHeld,
    AttemptDone,
    AttemptReady,
    AttemptStarted,
    Delivered,
    Heartbeat,
    Message,
    NeedResult,
    PermitUnused,
)

ID_MOST = 256
WORDS_MOST = 4 * 1024
VITALS_MOST = 32
STATUS_MOST = 999
SIZE_MOST = 1024 * 1024 * 1024
PLACES_MOST = 1_000_000
BEATS_MOST = 2**48


def inspect(message: Message) -> None:
    """Look whether a message is one that a region's node sends, and each field within its bounds.

    Raises:
        WireError: It is not; the message is named.

    """
    sound = _SOUND.get(type(message))
    if sound is None or not sound(message):
        msg = f"{type(message).__name__} is not what a region may say"
        raise WireError(msg)


def _text(value: str, most: int = ID_MOST) -> bool:
    return len(value) <= most


def _finite(*values: float | None) -> bool:
    return all(value is None or math.isfinite(value) for value in values)


def _between(value: int | None, least: int, most: int) -> bool:
    return value is None or least <= value <= most


def _done(message: AttemptDone) -> bool:
    response = message.response
    return (
        _text(message.attempt)
        and _finite(message.started_at, message.answered_at, message.write_s, message.wait_s)
        and _text(message.message, WORDS_MOST)
        and (response is None) == (message.fault is not None)
        and (response is None or (_status(response.status) and _text(response.incomplete, WORDS_MOST)))
    )


def _status(status: int | None) -> bool:
    return _between(status, 0, STATUS_MOST)


def _delivered(message: Delivered) -> bool:
    return (
        _text(message.delivery)
        and _status(message.status)
        and _between(message.took_ms, 0, SIZE_MOST)
        and _text(message.message, WORDS_MOST)
        and _finite(message.retry_after_s)
    )


def _heartbeat(beat: Heartbeat) -> bool:
    return (
        _text(beat.incarnation)
        and len(beat.vitals) <= VITALS_MOST
        and all(map(_text, beat.vitals))
        and _finite(*beat.vitals.values(), beat.heard_s)
        and _between(beat.places, 0, PLACES_MOST)
        and _between(beat.number, 0, BEATS_MOST)
    )


_SOUND: dict[type[Any], Callable[[Any], bool]] = {
    AnswerHeld: lambda m: _text(m.attempt) and _between(m.size, 0, SIZE_MOST),
    AttemptDone: _done,
    AttemptReady: lambda m: _text(m.attempt),
    AttemptStarted: lambda m: _text(m.attempt) and _finite(m.at),
    PermitUnused: lambda m: _text(m.attempt),
    Delivered: _delivered,
    NeedResult: lambda m: _text(m.delivery),
    Heartbeat: _heartbeat,
}
