"""What a node on a machine of somebody else's may say: looked at before it counts."""

import math
from collections.abc import Callable
from typing import Any

from orchestrator.domain.exchange import Fault
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
    """Look whether a message is one that a region's node sends, and each field what it is said to be.

    Raises:
        WireError: It is not; the message is named.

    """
    sound = _SOUND.get(type(message))
    if sound is None or not sound(message):
        msg = f"{type(message).__name__} is not what a region may say"
        raise WireError(msg)


def _text(value: object, most: int = ID_MOST) -> bool:
    return isinstance(value, str) and len(value) <= most


def _number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _maybe(value: object, sound: Callable[[Any], bool]) -> bool:
    return value is None or sound(value)


def _between(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and least <= value <= most


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(text, str) for name, text in value.items()
    )


# Fields are what their types say only where this side made them: to these each is anything.
def _response(response: Any) -> bool:
    return (
        _between(response.status, 0, STATUS_MOST)
        and isinstance(response.body, bytes)
        and _texts(response.headers)
        and _texts(response.repeated)
        and isinstance(response.truncated, bool)
        and isinstance(response.headers_truncated, bool)
        and _text(response.incomplete, WORDS_MOST)
        and _maybe(response.phases, lambda phases: _number(phases.write_s) and _number(phases.wait_s))
    )


def _done(message: Any) -> bool:
    return (
        _text(message.attempt)
        and _maybe(message.started_at, _number)
        and _maybe(message.answered_at, _number)
        and _maybe(message.response, _response)
        and _text(message.message, WORDS_MOST)
        and (message.response is None) == isinstance(message.fault, Fault)
    )


def _delivered(message: Any) -> bool:
    return (
        _text(message.delivery)
        and _number(message.attempt)
        and _maybe(message.status, lambda status: _between(status, 0, STATUS_MOST))
        and _between(message.took_ms, 0, SIZE_MOST)
        and _text(message.message, WORDS_MOST)
        and _maybe(message.retry_after_s, _number)
    )


def _heartbeat(beat: Any) -> bool:
    return (
        _text(beat.incarnation)
        and isinstance(beat.epoch, int)
        and isinstance(beat.vitals, dict)
        and len(beat.vitals) <= VITALS_MOST
        and all(_text(name) and _number(value) for name, value in beat.vitals.items())
        and _maybe(beat.places, lambda places: _between(places, 0, PLACES_MOST))
        and _maybe(beat.heard_s, _number)
        and _between(beat.number, 0, BEATS_MOST)
    )


_SOUND: dict[type[Any], Callable[[Any], bool]] = {
    AnswerHeld: lambda m: _text(m.attempt) and _between(m.size, 0, SIZE_MOST),
    AttemptDone: _done,
    AttemptReady: lambda m: _text(m.attempt),
    AttemptStarted: lambda m: _text(m.attempt) and _number(m.at),
    PermitUnused: lambda m: _text(m.attempt),
    Delivered: _delivered,
    NeedResult: lambda m: _text(m.delivery) and _number(m.attempt) and isinstance(m.has_body, bool),
    Heartbeat: _heartbeat,
}
