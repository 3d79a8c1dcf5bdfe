"""What a job may say of how it is run, in words, and what each word means.

This is the one place that tells them apart: a new word is a type error here until its meaning is written.
Meanings are asked for a dozen times a job, so each word keeps its own once it was asked.
"""

from enum import StrEnum
from functools import cached_property
from typing import assert_never

from msgspec import Struct


class Conduct(Struct, frozen=True, kw_only=True):
    """How the legs of a step go. ``together``: there is one for each region from the beginning, otherwise one
    at a time. ``when_late``: the next begins when the one before is late. ``tells_all``: each has to come to
    its end, and all answers are told; otherwise the first success ends the others, and further legs use only
    what no first leg of their target wants.
    """

    together: bool
    when_late: bool
    tells_all: bool


_RACE = Conduct(together=True, when_late=False, tells_all=False)
_FANOUT = Conduct(together=True, when_late=False, tells_all=True)
_HEDGE = Conduct(together=False, when_late=True, tells_all=False)


class ExecutionMode(StrEnum):
    """What several regions are for."""

    RACE = "race"
    """The first success wins and cancels its siblings."""
    FANOUT = "fanout"
    """All execute."""
    HEDGE = "hedge"
    """The next starts only when the one before is late, and nobody else wants the permit."""

    @cached_property
    def conduct(self) -> Conduct:
        """Say how the legs of a step go."""
        match self:
            case ExecutionMode.RACE:
                return _RACE
            case ExecutionMode.FANOUT:
                return _FANOUT
            case ExecutionMode.HEDGE:
                return _HEDGE
            case _:
                assert_never(self)


class RegionPolicy(StrEnum):
    """Whether a leg may leave the regions that the job lists."""

    FALLBACK = "fallback"
    STRICT = "strict"

    @cached_property
    def strict(self) -> bool:
        """Whether it may not."""
        match self:
            case RegionPolicy.STRICT:
                return True
            case RegionPolicy.FALLBACK:
                return False
            case _:
                assert_never(self)


class Guarantee(StrEnum):
    """What happens when nobody can know whether an attempt took effect."""

    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"

    @cached_property
    def once(self) -> bool:
        """Whether nothing is then sent again."""
        match self:
            case Guarantee.AT_MOST_ONCE:
                return True
            case Guarantee.AT_LEAST_ONCE:
                return False
            case _:
                assert_never(self)
