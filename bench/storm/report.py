"""What the runs showed: a table for people, and whether what is required holds."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.figures import Figure, over_runs
from bench.storm.arms import EZTHROTTLE
from bench.storm.outcome import Outcome
from bench.storm.scenarios import Known, Scenario

Runs = Mapping[str, Sequence[Outcome]]
"""The outcomes of a scenario's runs, by arm."""

MOST_REQUESTS_PER_JOB = 1.1
MOST_REFUSED = 0.01
TOO_LATE_MS = 50.0

_COLUMNS: tuple[tuple[str, Callable[[Outcome], float], str], ...] = (
    ("requests a finished job", lambda run: run.requests_per_job, ".2f"),
    ("refused, % of requests", lambda run: run.refused_share * 100, ".1f"),
    ("all finished after, s", lambda run: run.took_s, ".1f"),
    ("clients' CPU, ms a job", lambda run: run.clients_ms_per_job, ".2f"),
    ("service's CPU, ms a job", lambda run: run.service_ms_per_job, ".2f"),
    ("bytes at the target a job", lambda run: run.bytes_per_job, ".0f"),
    ("jobs with over 6 requests", lambda run: run.took_many_requests, ".0f"),
    ("lost", lambda run: run.lost, ".0f"),
)


def table(scenario: Scenario, runs: Runs) -> str:
    """Write a scenario's medians and spread, as Markdown."""
    soonest = f"the target can let in the last job after {scenario.soonest_s:.0f} s at the soonest"
    head = ("arm", *(title for title, _, _ in _COLUMNS))
    lines = [f"{scenario.name}: {scenario.what}; {scenario.jobs:,} jobs, {soonest}", ""]
    lines += [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {arm} | {' | '.join(_cells(outcomes))} |" for arm, outcomes in runs.items()]
    return "\n".join(lines)


def _cells(runs: Sequence[Outcome]) -> Iterator[str]:
    for _, of, spec in _COLUMNS:
        yield _written(over_runs([of(run) for run in runs]), spec)


def _written(figure: Figure, spec: str) -> str:
    if figure.least == figure.most:
        return f"{figure.median:{spec}}"
    return format(figure, spec)


def failures(scenario: Scenario, runs: Runs) -> Iterator[str]:
    """Name what is required of the service in a storm whose target states its limit, and does not hold."""
    ours = runs.get(EZTHROTTLE, ())
    if scenario.known is not Known.STATED or not ours:
        return
    if lost := sum(run.lost for run in ours):
        yield f"FAILED {scenario.name}: {lost} jobs were lost"
    if scenario.away_s:
        return
    requests = over_runs([run.requests_per_job for run in ours]).median
    refused = over_runs([run.refused_share for run in ours]).median
    if not requests <= MOST_REQUESTS_PER_JOB:
        yield f"FAILED {scenario.name}: {requests:.2f} requests per finished job"
    if not refused <= MOST_REFUSED:
        yield f"FAILED {scenario.name}: {refused:.1%} of the requests were refused"


def too_busy(runs: Runs) -> Iterator[str]:
    """Name the plays in which the target's own loop was too late to judge by."""
    for arm, outcomes in runs.items():
        late_ms = max(run.costs.late_ms for run in outcomes)
        if late_ms > TOO_LATE_MS:
            yield f"{outcomes[0].scenario}, {arm}: the target was {late_ms:.0f} ms late: too busy to judge"
