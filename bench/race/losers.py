"""Races over three regions: how soon losers are closed, and what racing gains over one region.

How long a loser lives is measured where it hurts, at the target: from writing the winner's answer to
the end of the loser's connection. There the losers would take half a minute, so that none gets away by
answering first. What racing gains is measured with latencies drawn anew for each job and region.
"""

import argparse
import contextlib
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx

from bench.figures import over_runs, percentile, percentile_over_runs
from bench.loopback import GENEROUS_PACE, Reply, Seen, Site, running_site
from bench.service import Bystanders, Service, running_service

REGIONS = ("iad", "lax", "ord")
MEDIAN_S = 0.05
SIGMA = 0.6
LEAST_S, MOST_S = 0.01, 1.0
HELD_S = 30.0
WEBHOOK_WITHIN_S = 60.0
WARM_UP_JOBS = 20
REQUIRED_CLOSE_MS = 20.0


@dataclass(slots=True)
class Run:
    """One run's times, in ms; ``close_ms``: a loser's end, counted from the winner's answer."""

    close_ms: list[float] = field(default_factory=list)
    race_ms: list[float] = field(default_factory=list)
    single_ms: list[float] = field(default_factory=list)
    most_requests_per_leg: int = 0
    others_cores: float = 0.0


class Track:
    """Where the races are run: a service, a target whose latency differs, and a receiver."""

    def __init__(self, service: Service, target: Site, receiver: Site, seed: int) -> None:
        self._base_url, self._headers = service.base_url, service.headers()
        self._target = target
        self._receiver = receiver
        self._seed = seed
        self._numbers = itertools.count(1)
        target.script("/drawn", self._answer_drawn)
        target.script("/held", _answer_held)

    def run(self, races: int, in_flight: int) -> Run:
        """Run so many jobs of each kind, so many at once."""
        found, others = Run(), Bystanders()
        with (
            httpx.Client(base_url=self._base_url, headers=self._headers, timeout=30) as client,
            ThreadPoolExecutor(in_flight) as pool,
        ):
            for race_ms, single_ms in pool.map(lambda _: self._three(client), range(races)):
                found.race_ms.append(race_ms)
                found.single_ms.append(single_ms)
        found.others_cores = others.cores()
        # A loser may end after the webhook has come: all have to be at rest before they are judged.
        self._target.wait(lambda seen: all(request.ended_at < float("inf") for request in seen))
        _judge(found, self._target.seen())
        self._target.forget()
        self._receiver.forget()
        return found

    def open_gate(self) -> None:
        """Let the target name its pace, and every connection be made."""
        self.run(WARM_UP_JOBS, 1)

    def _three(self, client: httpx.Client) -> tuple[float, float]:
        number = next(self._numbers)
        alone = REGIONS[number % len(REGIONS)]
        self._job(client, f"/held?{alone}-{number}", REGIONS)
        race_ms = self._job(client, f"/drawn?race-{number}", REGIONS)
        return race_ms, self._job(client, f"/drawn?one-{number}", (alone,))

    def _job(self, client: httpx.Client, path: str, regions: Sequence[str]) -> float:
        """Run a job; give the ms until its webhook came."""
        hook = f"/{path.partition('?')[2]}"
        job = {
            "url": self._target.url(path),
            "regions": regions,
            "webhooks": [{"url": self._receiver.url(hook)}],
        }
        began = time.monotonic()
        client.post("/api/v1/jobs", json=job).raise_for_status()
        [webhook] = self._receiver.wait(bool, hook, WEBHOOK_WITHIN_S)
        return (webhook.at - began) * 1000

    def _answer_drawn(self, seen: Seen) -> Reply:
        chance = random.Random(f"{self._seed} {seen.path} {_region(seen)}")
        latency_s = MEDIAN_S * chance.lognormvariate(0, SIGMA)
        return Reply(headers=GENEROUS_PACE, after_s=min(max(latency_s, LEAST_S), MOST_S))


def _answer_held(seen: Seen) -> Reply:
    wins = f"?{_region(seen)}-" in seen.path
    return Reply(headers=GENEROUS_PACE, after_s=MEDIAN_S if wins else HELD_S)


def _region(seen: Seen) -> str:
    return seen.headers["x-ezthrottle-region"]


def _judge(found: Run, requests: Sequence[Seen]) -> None:
    legs = Counter((seen.path, _region(seen)) for seen in requests)
    found.most_requests_per_leg = max(legs.values())
    answered = {seen.path: seen.answered_at for seen in requests if seen.answered_at is not None}
    found.close_ms = [
        (seen.closed_at - answered[seen.path]) * 1000
        for seen in requests
        if seen.closed_at is not None and seen.path.startswith("/held")
    ]


@contextlib.contextmanager
def running_track(seed: int) -> Iterator[Track]:
    """Start everything; stop it with the block."""
    with (
        running_site() as target,
        running_site(Reply()) as receiver,
        running_service("--allow-private-targets") as service,
    ):
        track = Track(service, target, receiver, seed)
        track.open_gate()
        yield track


def show(runs: Sequence[Run]) -> str:
    """Write down what the runs found."""
    rows = {
        f"a loser is closed after the winner's answer (required: p99 at most {REQUIRED_CLOSE_MS:g})": [
            run.close_ms for run in runs
        ],
        "submit to webhook, race over three regions": [run.race_ms for run in runs],
        "submit to webhook, one region": [run.single_ms for run in runs],
    }
    lines = [f"{'ms: median of the runs (least to most)':72}{'p50':>24}{'p99':>24}"]
    for name, values in rows.items():
        p50, p99 = (str(percentile_over_runs(values, share)) for share in (0.5, 0.99))
        lines.append(f"{name:72}{p50:>24}{p99:>24}")
    lines.append(f"{'race / one region':72}{_ratio(runs, 0.5):>24}{_ratio(runs, 0.99):>24}")
    lines.append(f"losers closed: {sum(len(run.close_ms) for run in runs)}")
    lines.append(f"most requests per leg: {max(run.most_requests_per_leg for run in runs)}")
    lines.append(f"cores that others used meanwhile: {over_runs([run.others_cores for run in runs])}")
    return "\n".join(lines)


def _ratio(runs: Sequence[Run], share: float) -> str:
    ratio = over_runs([percentile(run.race_ms, share) / percentile(run.single_ms, share) for run in runs])
    return f"{ratio.median:.2f} ({ratio.least:.2f} to {ratio.most:.2f})"


def plot(runs: Sequence[Run], path: Path) -> None:
    """Draw both distributions."""
    import matplotlib as mpl  # noqa: PLC0415  # only where somebody wants a plot

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # the same

    figure, (closing, gaining) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for run in runs:
        closing.ecdf(run.close_ms, color="tab:blue", alpha=0.6)
    closing.axvline(REQUIRED_CLOSE_MS, color="tab:red", linestyle="--", label="required at p99")
    closing.set(xlabel="ms after the winner's answer", ylabel="share of losers closed", xlim=(0, None))
    closing.set_title("A loser's connection is closed")
    closing.legend()
    gaining.ecdf([ms for run in runs for ms in run.race_ms], label="race over three regions")
    gaining.ecdf([ms for run in runs for ms in run.single_ms], label="one region")
    gaining.set(xlabel="ms", ylabel="share of jobs", xlim=(0, None))
    gaining.set_title("Submit to webhook")
    gaining.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run the races and print what they showed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--races", type=int, default=150, help="jobs of each kind a run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--in-flight", type=int, default=1, help="jobs at once")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the runs here")
    parser.add_argument("--plot", type=Path, help="draw both distributions here")
    options = parser.parse_args()
    with running_track(options.seed) as track:
        runs = [track.run(options.races, options.in_flight) for _ in range(options.runs)]
    print(f"{options.runs} runs of {options.races} races, {options.in_flight} at once, seed {options.seed}")
    print(show(runs))
    if options.json:
        options.json.write_text(json.dumps([asdict(run) for run in runs], indent=1))
    if options.plot:
        plot(runs, options.plot)


if __name__ == "__main__":
    main()
