"""The timeline of a job as text bars: who won, who was cancelled, who was skipped, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from bench.demo.stage import Finished

BAR_CELLS_MOST = 44
BAR_CELLS_LEAST = 8
BESIDE_BAR = 66
WAITING, UNDER_WAY = "·", "█"
JUSTIFIED: tuple[JustifyMethod, ...] = ("left", "left", "left", "right", "left")


class Outcome(StrEnum):
    """What became of one attempt, or of a leg that made none."""

    WON = "won"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    REROUTED = "rerouted"
    SKIPPED = "skipped"
    ENDED = "ended"


COLOURS = {
    Outcome.WON: "green",
    Outcome.CANCELLED: "bright_black",
    Outcome.RETRIED: "yellow",
    Outcome.REROUTED: "yellow",
    Outcome.SKIPPED: "bright_black",
    Outcome.ENDED: "red",
}
_BY_VERDICT = {
    "success": Outcome.WON,
    "retry": Outcome.RETRIED,
    "wait": Outcome.RETRIED,
    "reroute": Outcome.REROUTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One attempt. Times are ms from submission; a skipped leg has none."""

    region: str
    outcome: Outcome
    start_ms: int | None = None
    end_ms: int | None = None
    closed_ms: int | None = None
    status_code: int | None = None

    @property
    def remark(self) -> str:
        """What to say beside the bar."""
        match self.outcome:
            case Outcome.SKIPPED:
                return "never sent"
            case Outcome.CANCELLED if self.closed_ms is not None:
                return f"connection closed at {self.closed_ms} ms"
            case _:
                return f"answered {self.status_code}" if self.status_code else "no answer"


@dataclass(frozen=True, slots=True)
class Timeline:
    """A job's bars under a title."""

    title: str
    job_id: str
    bars: tuple[Bar, ...]

    @property
    def length_ms(self) -> int:
        """How long the bars reach."""
        return max(1, *(bar.end_ms or 0 for bar in self.bars))


def timeline_of(title: str, finished: Finished) -> Timeline:
    """Draw what the API says about a job."""
    submitted_ms = finished.submission.at_ms
    attempts = [_attempt_bar(attempt, submitted_ms) for attempt in finished.attempts]
    legs = finished.job["timeline"]["legs"]
    skipped = [
        Bar(region=leg["region"], outcome=Outcome.SKIPPED) for leg in legs if leg["state"] == "skipped"
    ]
    return Timeline(title, finished.submission.job_id, (*attempts, *skipped))


def draw(timeline: Timeline, width: int) -> Table:
    """Lay the bars out for people, on so many columns."""
    room = min(max(width - BESIDE_BAR, BAR_CELLS_LEAST), BAR_CELLS_MOST)
    grid = Table.grid(padding=(0, 2, 0, 0))
    for justify in JUSTIFIED:
        grid.add_column(no_wrap=True, justify=justify)
    for bar in timeline.bars:
        cells = _cells(bar, timeline.length_ms, room)
        row = (f"  {bar.region}", bar.outcome.value, cells, _span(bar), bar.remark)
        grid.add_row(*(Text(text, style=COLOURS[bar.outcome]) for text in row))
    return grid


def _attempt_bar(attempt: Mapping[str, Any], submitted_ms: int) -> Bar:
    def since(name: str) -> int | None:
        return None if attempt[name] is None else attempt[name] - submitted_ms

    return Bar(
        region=attempt["region"],
        outcome=_outcome(attempt),
        start_ms=since("started_at"),
        end_ms=since("ended_at"),
        closed_ms=since("closed_at"),
        status_code=attempt["status_code"],
    )


def _outcome(attempt: Mapping[str, Any]) -> Outcome:
    if attempt["fault"] == "cancelled":
        return Outcome.CANCELLED
    return _BY_VERDICT.get(attempt["verdict"], Outcome.ENDED)


def _cells(bar: Bar, length_ms: int, room: int) -> str:
    if bar.start_ms is None or bar.end_ms is None:
        return WAITING * room
    cells_per_ms = room / length_ms
    before = min(round(bar.start_ms * cells_per_ms), room - 1)
    return WAITING * before + UNDER_WAY * max(1, round(bar.end_ms * cells_per_ms) - before)


def _span(bar: Bar) -> str:
    if bar.start_ms is None or bar.end_ms is None:
        return ""
    return f"{bar.start_ms} - {bar.end_ms} ms"
