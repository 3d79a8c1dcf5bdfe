"""What the two ends of a connection between machines say first: who they are, and what they speak."""

from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from orchestrator.messages.codec import WIRE_VERSION, WIRE_VERSIONS, WireError

HELLO_BYTES_MOST = 4 * 1024
"""Of all that is read of somebody who has not said yet who it is."""
REGION_PATTERN = r"^[a-z][a-z0-9-]{0,31}$"
NODE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

_Name = Annotated[str, Meta(min_length=1, max_length=64)]
_T = TypeVar("_T", bound=Struct)


class Purpose(StrEnum):
    """What a connection is for: heartbeats have one of their own, so that no batch is in their way."""

    BATCHES = "batches"
    BEATS = "beats"


class Hello(Struct, frozen=True, kw_only=True):
    """Who connects. ``way`` tells a node's gateways apart: a connection replaces the one before of its way
    and purpose. ``only_named``: it takes only jobs that name its region.
    """

    versions: Annotated[list[int], Meta(min_length=1, max_length=8)] = msgspec.field(
        default_factory=lambda: sorted(WIRE_VERSIONS)
    )
    purpose: Purpose
    token: Annotated[str, Meta(max_length=512)]
    region: Annotated[str, Meta(pattern=REGION_PATTERN)]
    node: Annotated[str, Meta(pattern=NODE_PATTERN)]
    incarnation: _Name
    way: Annotated[int, Meta(ge=0, le=15)] = 0
    software: Annotated[str, Meta(max_length=64)] = "unknown"
    only_named: bool = False


class Invitation(Struct, frozen=True, kw_only=True):
    """Where a shard listens for nodes of its cluster's other machines, in PEM the certificate that it shows
    there, and what a node says to be let in as itself: for as long as the shard lives.
    """

    host: str
    port: int
    certificate: str
    token: str


class Welcome(Struct, frozen=True, kw_only=True):
    """The answer: in which version both speak from here on, and for which shard."""

    version: int
    shard: _Name
    software: Annotated[str, Meta(max_length=64)] = "unknown"


class Refusal(Struct, frozen=True):
    """The other answer. ``final``: to ask again is in vain."""

    reason: str
    final: bool = True


class RefusedError(Exception):
    """The other end does not want this one.

    Args:
        refusal: Why, in words.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def written(said: Struct) -> bytes:
    """Write any of these."""
    return msgspec.msgpack.encode(said)


def read(payload: bytes, kind: type[_T]) -> _T:
    """Read one of these.

    Raises:
        WireError: It is none.

    """
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"no {kind.__name__.lower()}: {error}"
        raise WireError(msg) from None


def common_version(versions: list[int]) -> int:
    """Choose the version that both ends speak.

    Raises:
        RefusedError: There is none.

    """
    if common := WIRE_VERSIONS & set(versions):
        return max(common)
    other = "newer: update the gateway first" if min(versions) > WIRE_VERSION else "too old: update the agent"
    spoken, ours = (" and ".join(map(str, sorted(each))) for each in (versions, WIRE_VERSIONS))
    raise RefusedError(
        Refusal(f"the agent speaks wire version {spoken} and the gateway {ours}: it is {other}")
    )
