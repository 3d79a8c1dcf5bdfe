"""What the runs showed, as a table, a plot and a page that needs nothing beside itself."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.figures import Figure, over_runs, percentile
from bench.race.arms import ORACLE
from bench.race.outcome import Leg, Outcome, interval
from bench.race.workloads import WORKLOADS

SHARES = (0.5, 0.99, 0.999)
POINTS = 200
"""Of a distribution, as the page draws it."""
_COLUMNS = {
    "workload": "workload",
    "arm": "arm",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "p999": "p99.9 ms",
    "p999_of_all": "p99.9 of all runs",
    "above_oracle_p50": "above the oracle, p50",
    "above_oracle_p99": "p99",
    "extra": "extra requests, %",
    "closed": "losers closed in time, %",
    "close_p99": "closed after, p99 ms",
    "cpu_ms": "CPU ms a job",
}
"""What people are shown of a row."""
_PAGE = Path(__file__).with_name("page.html")


class Row(Struct, frozen=True, kw_only=True):
    """An arm at a workload, over its runs. Times are ms, from the target's first request to the webhook."""

    workload: str
    arm: str
    p50: str
    p99: str
    p999: str
    p999_of_all: str = ""
    whole_p50: str = ""
    above_oracle_p50: str = ""
    above_oracle_p99: str = ""
    extra: str = ""
    closed: str = ""
    close_p99: str = ""
    cpu_ms: str = ""
    curve: list[float]
    replay: list[list[Leg]]


def row(workload: str, runs: Sequence[Outcome]) -> Row:
    """Sum up an arm's runs: medians and spread; of a single run its confidence intervals."""
    times = [run.service_ms for run in runs]
    p50, p99, p999 = (_percentile(times, share) for share in SHARES)
    every = sorted(time for run in times for time in run)
    due = sum(run.losers_due_late for run in runs)
    return Row(
        workload=workload,
        arm=runs[0].arm,
        p50=p50,
        p99=p99,
        p999=p999,
        p999_of_all=f"{percentile(every, SHARES[-1]):.1f}",
        whole_p50=_percentile([run.whole_ms for run in runs], 0.5),
        above_oracle_p50=str(_above(runs, 0.5)),
        above_oracle_p99=str(_above(runs, 0.99)),
        extra=f"{over_runs([run.extra * 100 for run in runs]):.1f}",
        closed=f"{sum(run.losers_closed_in_time for run in runs) / due * 100:.1f}" if due else "",
        close_p99=_percentile([run.close_ms for run in runs if run.close_ms], 0.99) if due else "",
        cpu_ms=f"{over_runs([run.cpu_ms_per_job for run in runs]):.2f}",
        curve=[every[min(len(every) - 1, at * len(every) // POINTS)] for at in range(POINTS)],
        replay=runs[0].replay,
    )


def oracle_row(workload: str, run: Outcome) -> Row:
    """Show the oracle, which every arm shares."""
    every = sorted(run.oracle_ms)
    p50, p99, p999 = (f"{percentile(every, share):.1f}" for share in SHARES)
    curve = [every[at * len(every) // POINTS] for at in range(POINTS)]
    return Row(workload=workload, arm=ORACLE, p50=p50, p99=p99, p999=p999, curve=curve, replay=[])


def table(rows: Sequence[Row]) -> str:
    """Write the rows for people, as Markdown."""
    lines = [f"| {' | '.join(_COLUMNS.values())} |", "|" + "---|" * len(_COLUMNS)]
    lines += [f"| {' | '.join(getattr(r, name) for name in _COLUMNS)} |" for r in rows]
    return "\n".join(lines)


def page(rows: Sequence[Row], made_with: str) -> str:
    """Write a page with the distributions, a table that sorts, and a replay of single races."""
    what = {name: workload.what for name, workload in WORKLOADS.items()}
    data = msgspec.json.encode({"rows": rows, "made_with": made_with, "what": what}).decode()
    # What stands in a script ends it nowhere but at its end.
    return _PAGE.read_text().replace("__DATA__", data.replace("</", "<\\/"))


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw each workload's distributions, the slow end spread out."""
    import matplotlib as mpl  # noqa: PLC0415  # only where somebody wants a plot

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # the same

    workloads = list(dict.fromkeys(r.workload for r in rows))
    figure, axes = plt.subplots(
        len(workloads), 1, figsize=(8, 3.2 * len(workloads)), layout="constrained", squeeze=False
    )
    for axis, workload in zip(axes[:, 0], workloads, strict=True):
        for r in rows:
            if r.workload == workload:
                beyond = [1 - at / POINTS for at in range(POINTS)]
                style = {"color": "black", "linestyle": ":"} if r.arm == ORACLE else {}
                axis.plot(r.curve, beyond, label=r.arm, **style)
        axis.set(xscale="log", yscale="log", xlabel="ms", ylabel="share that takes longer")
        axis.set_title(f"{workload}: {WORKLOADS[workload].what}")
        axis.legend(fontsize="small")
    figure.savefig(path, dpi=110)


def _percentile(runs: Sequence[Sequence[float]], share: float) -> str:
    if len(runs) == 1:
        return str(interval(runs[0], share))
    return str(over_runs([percentile(run, share) for run in runs]))


def _above(runs: Sequence[Outcome], share: float) -> Figure:
    return over_runs([percentile(run.service_ms, share) - percentile(run.oracle_ms, share) for run in runs])
