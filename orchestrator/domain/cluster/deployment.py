"""From what runs to what should run: which steps are due next.

A part is an actor, and its name bears a digest of all that makes it: its code and its settings. So the
difference between what is there and what should be is one of names, a part of yesterday's is one that nobody
wants any more, and whoever goes on after another controller needs to know nothing but the names.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum, auto
from hashlib import sha256

from msgspec import Struct

DIGEST_LENGTH = 8
SHARD_GROUP = "shard"


class Part(Struct, frozen=True):
    """An actor that should run: what it is called, what it is a part of (the shard, the webhooks, a region),
    and what its machine has to offer.
    """

    name: str
    group: str
    resource: str


class PartState(StrEnum):
    """How far a part is."""

    FAILED = auto()
    """Its start failed again and again: somebody has to look."""
    BLOCKED = auto()
    """It waits for a machine, or its start failed."""
    STARTING = auto()
    READY = auto()
    """A node takes work; a shard waits for the one that serves to make room."""
    SERVES = auto()
    """A shard takes jobs."""

    @property
    def hindered(self) -> bool:
        """Whether something is known that keeps it from going on."""
        return self in (PartState.FAILED, PartState.BLOCKED)


class Seen(Struct, frozen=True, kw_only=True):
    """What is known of a part that is there. ``busy`` counts what a node has under way, ``leaving_s`` is for
    how many seconds it is to be given nothing more, None while it is given work; and ``counted`` is whether
    the shard knew of that when it counted: an earlier count misses what it has sent there since.
    """

    group: str
    state: PartState
    busy: int = 0
    leaving_s: float | None = None
    counted: bool = False


class Act(StrEnum):
    """What can be done to a part."""

    START = auto()
    HAND_OVER = auto()
    """A shard lets what is under way end, and makes room for the one that waits."""
    LEAVE = auto()
    """A node is given nothing more."""
    END = auto()


class Step(Struct, frozen=True):
    """Something that is due."""

    act: Act
    part: str


def digest_of(*makings: str) -> str:
    """Name what an actor is made of by some hex digits."""
    return sha256("\0".join(makings).encode()).hexdigest()[:DIGEST_LENGTH]


def plan(wanted: Sequence[Part], seen: Mapping[str, Seen], *, patience_s: float) -> list[Step]:
    """Say what is due now; nothing where all is as it should be, or has to be waited for.

    The shard is replaced first, for nodes speak its version of the messages or the one before; then group by
    group: the new ones take work before the old ones leave, and these end once they have nothing under way,
    or after ``patience_s``.
    """
    groups = _grouped(wanted, seen)
    shard = groups.pop(SHARD_GROUP)
    steps = [*_starts(shard.absent), *_hand_overs(shard, seen)]
    if shard.old:
        return steps
    in_turn = False
    for group in groups.values():
        if not group.old:
            steps += _starts(group.absent)
        elif not in_turn:
            steps += _starts(group.absent) or _replacements(group, seen, patience_s)
            in_turn = not _blocked(group, seen)
    return steps


def unsettled(wanted: Iterable[Part], seen: Mapping[str, Seen]) -> list[str]:
    """Name the parts that are not yet what they should be, and those that nobody wants any more."""
    done = {part.name: PartState.SERVES if part.group == SHARD_GROUP else PartState.READY for part in wanted}
    late = [name for name, state in done.items() if name not in seen or seen[name].state is not state]
    return [*late, *(name for name in seen if name not in done)]


class _Group(Struct):
    wanted: list[str]
    absent: list[str]
    old: list[str]


def _grouped(wanted: Sequence[Part], seen: Mapping[str, Seen]) -> dict[str, _Group]:
    names = {part.name for part in wanted}
    groups: dict[str, _Group] = {}
    for part in wanted:
        group = groups.setdefault(part.group, _Group([], [], []))
        group.wanted.append(part.name)
        if part.name not in seen:
            group.absent.append(part.name)
    for name, part_seen in seen.items():
        if name not in names:
            groups.setdefault(part_seen.group, _Group([], [], [])).old.append(name)
    return groups


def _blocked(group: _Group, seen: Mapping[str, Seen]) -> bool:
    """Whether a group waits for machines: it holds up no other one then."""
    return any(name in seen and seen[name].state is PartState.BLOCKED for name in group.wanted)


def _starts(names: Iterable[str]) -> list[Step]:
    return [Step(Act.START, name) for name in names]


def _hand_overs(shard: _Group, seen: Mapping[str, Seen]) -> list[Step]:
    waits = all(name in seen and seen[name].state is PartState.READY for name in shard.wanted)
    return [Step(Act.HAND_OVER, name) for name in shard.old] if waits else []


def _replacements(group: _Group, seen: Mapping[str, Seen], patience_s: float) -> list[Step]:
    if not all(seen[name].state is PartState.READY for name in group.wanted):
        return []
    return [step for name in group.old if (step := _farewell(name, seen[name], patience_s))]


def _farewell(name: str, old: Seen, patience_s: float) -> Step | None:
    if old.leaving_s is None:
        return Step(Act.LEAVE, name)
    gone = old.counted and not old.busy
    return Step(Act.END, name) if gone or old.leaving_s >= patience_s else None
