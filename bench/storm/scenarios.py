"""The storms: which jobs come when, what the target lets in, and when it is away. Pure."""

from enum import StrEnum

from msgspec import Struct

SPARE = 1.2
"""A target that was away lets in this much more than what comes, so that it can catch up."""
HICCUP_EVERY = 500
GUESS = 2
"""Where nobody knows the limit, whoever has a setting for it has so many times the limit."""


class Known(StrEnum):
    """Who knows what the target lets in."""

    STATED = "stated"
    """Its answers state it, its refusals say when to come back, and whoever has a setting has the limit."""
    GUESSED = "guessed"
    """Its answers state nothing, and whoever has a setting has set it too high."""


class Scenario(Struct, frozen=True, kw_only=True):
    """``per_s`` jobs a second come for ``seconds`` to a target that lets in ``limit`` in any second, and is
    away for ``away_s`` from ``away_at_s`` on. After ``patience_s`` whatever is not finished counts as lost.
    """

    name: str
    what: str
    per_s: float
    seconds: float
    limit: int
    known: Known
    patience_s: float
    away_at_s: float = 0.0
    away_s: float = 0.0

    @property
    def jobs(self) -> int:
        """How many jobs come."""
        return round(self.per_s * self.seconds)

    @property
    def setting(self) -> int:
        """What somebody sets as the target's limit who has to."""
        return self.limit if self.known is Known.STATED else GUESS * self.limit

    @property
    def soonest_s(self) -> float:
        """When a target that is never idle while a job waits has let in the last one, in seconds."""
        waiting = self.jobs - self.per_s * self.away_at_s if self.away_s else self.jobs
        idle_s = self.away_at_s + self.away_s
        return max(self.seconds, idle_s + waiting / self.limit)

    def due_s(self, number: int) -> float:
        """When a job comes, in seconds from the beginning."""
        return number / self.per_s

    def share(self, client: int, clients: int) -> list[tuple[int, float]]:
        """The jobs that come to one of so many clients: they take turns."""
        return [(number, self.due_s(number)) for number in range(client, self.jobs, clients)]

    def is_away(self, at_s: float) -> bool:
        """Whether the target is away then."""
        return self.away_at_s <= at_s < self.away_at_s + self.away_s

    @staticmethod
    def has_hiccup(number: int) -> bool:
        """Whether a job's first request that is let in is answered 503: one job in 500, whoever asks."""
        return number % HICCUP_EVERY == HICCUP_EVERY // 2


def storm(known: Known, seconds: float = 5.0, limit: int = 100) -> Scenario:
    """Four times as much as the target lets in."""
    name = "storm" if known is Known.STATED else "storm, limit not stated"
    what = f"{4 * limit} jobs/s for {seconds:g} s at a target that lets in {limit}/s"
    return Scenario(
        name=name, what=what, per_s=4.0 * limit, seconds=seconds, limit=limit, known=known, patience_s=300.0
    )


def outage(away_s: float, per_s: float = 100.0, around_s: float = 5.0) -> Scenario:
    """A target that answers nothing but 503 for so long, while jobs keep coming."""
    limit = round(per_s * SPARE)
    what = f"{per_s:g} jobs/s, and the target, which lets in {limit}/s, is away for {away_s:g} s"
    return Scenario(
        name="outage",
        what=what,
        per_s=per_s,
        seconds=away_s + 2 * around_s,
        limit=limit,
        known=Known.STATED,
        patience_s=5 * away_s + 120.0,
        away_at_s=around_s,
        away_s=away_s,
    )
