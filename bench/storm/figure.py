"""The picture: what reaches the target, second by second, let in and refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import over_runs
from bench.storm.outcome import Outcome
from bench.storm.report import Runs
from bench.storm.scenarios import Scenario

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LET_IN, REFUSED, LIMIT = "#2a9d6f", "#d1495b", "#333333"


def draw(plays: Mapping[Scenario, Runs], path: Path) -> None:
    """Draw the first run of each arm, a column for each scenario, and write its medians above it."""
    import matplotlib as mpl  # noqa: PLC0415  # only where somebody wants a plot

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # the same

    arms = list(next(iter(plays.values())))
    size = (5.4 * len(plays), 1.9 * len(arms) + 0.6)
    figure, axes = plt.subplots(
        len(arms), len(plays), figsize=size, layout="constrained", squeeze=False, sharex="col", sharey="col"
    )
    for column, (scenario, runs) in zip(axes.T, plays.items(), strict=True):
        for axis, (arm, outcomes) in zip(column, runs.items(), strict=True):
            _panel(axis, scenario, outcomes[0])
            requests = over_runs([run.requests_per_job for run in outcomes]).median
            took_s = over_runs([run.took_s for run in outcomes]).median
            axis.set_title(f"{arm}: {requests:.2f} requests a job, done after {took_s:.0f} s", fontsize=10)
        column[-1].set_xlabel(f"seconds; {scenario.what}", fontsize=9)
    figure.supylabel("requests per second at the target", fontsize=10)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=110)


def _panel(axis: "Axes", scenario: Scenario, run: Outcome) -> None:
    seconds = range(len(run.let_in))
    axis.bar(seconds, run.let_in, 1.0, align="edge", color=LET_IN, label="let in")
    refused = "refused (429, 503)"
    axis.bar(seconds, run.refused, 1.0, run.let_in, align="edge", color=REFUSED, label=refused)
    axis.axhline(scenario.limit, color=LIMIT, linestyle="--", linewidth=1, label="the target's limit")
    axis.margins(x=0)
