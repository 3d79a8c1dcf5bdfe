"""What happened, as a table with timelines for people and as JSON for machines."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.demo.scenarios import Scenario, Story
from bench.demo.timeline import UNDER_WAY, WAITING, draw


@dataclass(frozen=True, slots=True)
class Result:
    """A scenario after it was played; ``story`` is None where it could not go on to its end."""

    scenario: Scenario
    story: Story | None
    failures: Sequence[str]

    @property
    def ok(self) -> bool:
        """Whether all of it was so."""
        return self.story is not None and not self.failures

    def document(self) -> dict[str, Any]:
        """Show it to machines."""
        story = asdict(self.story) if self.story else {"happened": None, "took_ms": None, "timelines": []}
        names = {"name": self.scenario.name, "asked": self.scenario.asked}
        return names | story | {"ok": self.ok, "failures": list(self.failures)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole run. ``failures`` are those that belong to no scenario; times are seconds."""

    results: Sequence[Result]
    failures: Sequence[str]
    webhooks: int
    verified: int
    ready_after_s: float
    took_s: float

    @property
    def ok(self) -> bool:
        """Whether all of it was so."""
        return not self.failures and all(result.ok for result in self.results)

    def document(self) -> dict[str, Any]:
        """Show it to machines."""
        return {
            "ok": self.ok,
            "ready_after_s": round(self.ready_after_s, 3),
            "took_s": round(self.took_s, 3),
            "webhooks": {"received": self.webhooks, "verified": self.verified},
            "scenarios": [result.document() for result in self.results],
            "failures": list(self.failures),
        }


def show(report: Report, console: Console) -> None:
    """Print the table, the timelines, and what was not so."""
    if report.results:
        console.print()
        console.print(_table(report.results))
        _show_timelines(report.results, console)
    verified = f"{report.verified} of {report.webhooks} webhooks verified"
    console.print(f"\n{verified}; ready after {report.ready_after_s:.1f} s, {report.took_s:.1f} s in all")
    for line in _failure_lines(report):
        console.print(Text(line, style="red"))
    console.print("[bold green]All of it was so.[/]" if report.ok else "[bold red]Not all of it was so.[/]")


def _show_timelines(results: Sequence[Result], console: Console) -> None:
    console.print(f"\nTimelines in ms from submission: {WAITING} waiting, {UNDER_WAY} at the target")
    for result in results:
        for timeline in result.story.timelines if result.story else ():
            console.print(f"\n[bold]{timeline.title}[/]  {timeline.job_id}")
            console.print(draw(timeline, console.width))


def _table(results: Sequence[Result]) -> Table:
    table = Table(title="What was asked of the service, and what came of it", title_justify="left")
    table.add_column("scenario", no_wrap=True)
    for column in ("asked", "happened"):
        table.add_column(column, overflow="fold")
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("ok")
    for result in results:
        table.add_row(*_row(result))
    return table


def _row(result: Result) -> tuple[Text, ...]:
    story = result.story
    verdict = Text("yes", style="green") if result.ok else Text("NO", style="bold red")
    happened, took = (story.happened, f"{story.took_ms} ms") if story else ("it broke off", "")
    return Text(result.scenario.name), Text(result.scenario.asked), Text(happened), Text(took), verdict


def _failure_lines(report: Report) -> list[str]:
    of_scenarios = [
        f"{result.scenario.name}: {line}" for result in report.results for line in result.failures
    ]
    return [*of_scenarios, *report.failures]
