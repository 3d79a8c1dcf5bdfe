"""The pace of a real service, judged by strict servers that answer 429 past their own limit.

First the limits that are stated in headers: how many requests are refused, and how much of the allowed
rate is used. The service knows a limit once it has read the first answer; until then the domain runs at the
default pace, 2 a second. So use is measured from the first request after that moment to the last one before
the limit changes; jobs wait all that time. Refusals are counted from the first request on. Then each limit
drops to a tenth, and rises again. Beside them run servers that say nothing, and forgive nothing: their
domains begin at ten times what they bear.

When a permit was granted, and an answer had been read, is taken from the job's own timeline, in whole
milliseconds, rounded up.
"""

import argparse
import contextlib
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx

from bench.figures import percentile
from bench.pacing_figures import STEADY, Found, Told, judge, judge_unknown
from bench.service import Bystanders, Service, running_service
from bench.strict_rules import Dialect, Kind, Limit
from bench.strict_server import Arrival, Phase, Plan, StrictServer, running_servers
from orchestrator.runtime.interpreter import tune_interpreter

REGIONS = ("iad", "lax", "ord")
DIALECTS = {
    Kind.TOKEN_BUCKET: Dialect.EZTHROTTLE,
    Kind.FIXED_WINDOW: Dialect.X_RATELIMIT,
    Kind.SLIDING_WINDOW: Dialect.IETF,
    Kind.CONCURRENCY: Dialect.EZTHROTTLE,
}
UNKNOWN_RPS = (20, 50)
UNKNOWN_BEGINS_AT = 10
UNKNOWN_AT_ONCE = 100
WAITING_S = 10.0
"""The feeder keeps so many seconds' worth of jobs waiting at each server."""
BATCH = 200
FEED_EVERY_S = 0.5
SHOW_EVERY_S = 10.0
STALLED_AFTER_S = 90.0

_CHANGE_HEADINGS = ("drop: 429s", "over", "full again")
"""429s of what was sent before the lower limit was known; what was over it from then on; seconds until the
rate is full again.
"""

REQUIRED_USED = 0.95
REQUIRED_BACK_S = 2.0
REQUIRED_SHARE_OF_IDEAL = 0.90
ALLOWED_REFUSALS = 0.02


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. ``requests`` at the faster limits, ``slow_requests`` at 2 a second."""

    requests: int
    slow_requests: int
    change_windows: int
    unknown_s: int
    fast_kinds: tuple[Kind, ...]


FULL = Size(10_000, 400, 5, 120, tuple(Kind))
QUICK = Size(800, 24, 2, 24, (Kind.SLIDING_WINDOW,))


@dataclass(slots=True)
class Results:
    """What a run found. ``late_ms``: how late the servers' own loop was, for each round the 99.9th percentile
    and the worst.
    """

    stated: list[Found]
    unknown: list[Found]
    late_ms: list[tuple[float, float]] = field(default_factory=list)
    others_cores: float = 0.0
    too_busy: bool = False
    """Whether the servers' own loop was too late to tell."""

    def failures(self) -> list[str]:
        """Name each requirement that does not hold."""
        return [*_stated_failures(self.stated), *_unknown_failures(self.unknown)]


class Feeder:
    """Submits each server's jobs, spread over the regions, so that some always wait."""

    def __init__(self, client: httpx.Client, servers: Sequence[StrictServer]) -> None:
        self._client = client
        self._servers = servers
        self._submitted = dict.fromkeys((server.domain for server in servers), 0)

    def feed(self) -> None:
        """Submit what the servers used up."""
        for server in self._servers:
            ahead = max(BATCH, round(server.plan.phases[STEADY].limit.rps * WAITING_S))
            wanted = min(server.plan.jobs, server.succeeded + ahead)
            while (lacking := wanted - self._submitted[server.domain]) > 0:
                self._submit(server, min(lacking, BATCH))

    def _submit(self, server: StrictServer, count: int) -> None:
        first = self._submitted[server.domain]
        jobs = [
            {"url": f"http://{server.domain}/{number}", "regions": [REGIONS[number % len(REGIONS)]]}
            for number in range(first, first + count)
        ]
        answers = self._client.post("/api/v1/jobs:batch", json={"jobs": jobs}).raise_for_status().json()
        if not_taken := [each for each in answers["answers"] if each["status"] != "queued"]:
            raise RuntimeError(f"{len(not_taken)} jobs were not taken: {not_taken[0]}")
        self._submitted[server.domain] += count


class Timeline:
    """What the service tells of a request, on the monotonic clock."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._unix_ahead_s = time.time() - time.monotonic()

    def look_up(self, arrival: Arrival) -> Told:
        """Find a request in its job's timeline.

        Raises:
            LookupError: It is not there.
        """
        shown = self._client.get(f"/api/v1/jobs/{arrival.job}").raise_for_status().json()
        for attempt in shown["timeline"]["attempts"]:
            if attempt["attempt"] == arrival.attempt and attempt["ended_at"] is not None:
                return Told(*(self._monotonic(attempt[name]) for name in ("granted_at", "ended_at")))
        raise LookupError(f"attempt {arrival.attempt} of {arrival.job}")

    def _monotonic(self, unix_ms: int) -> float:
        return (unix_ms + 1) / 1000 - self._unix_ahead_s


def stated_plan(kind: Kind, rps: int, size: Size, forgiven: float) -> Plan:
    """Plan a server that states its limit, lowers it to a tenth, and raises it again."""
    limit = Limit(rps, forgiven=forgiven if rps >= UNKNOWN_RPS[0] else 0.0)
    # Below one a second a limit is one in so many seconds; places can't be fewer than one.
    lowered = Limit(
        max(1, rps // 10), 1.0 if kind is Kind.CONCURRENCY else max(1.0, 10 / rps), limit.forgiven
    )
    requests = size.requests if rps >= UNKNOWN_RPS[0] else size.slow_requests
    windows = size.change_windows
    return Plan(
        kind,
        DIALECTS[kind],
        (Phase(limit, requests), Phase(lowered, lowered.count * windows), Phase(limit, rps * windows)),
    )


def unknown_plan(rps: int, size: Size) -> Plan:
    """Plan a server that says nothing, and forgives nothing."""
    return Plan(Kind.SLIDING_WINDOW, Dialect.SILENT, (Phase(Limit(rps), rps * size.unknown_s),))


def rounds(size: Size, rates: Sequence[int], forgiven: float) -> Iterator[list[Plan]]:
    """List which servers run at once: all up to 50 a second and the silent ones; the fast ones one by one."""
    slow = [
        stated_plan(kind, rps, size, forgiven) for rps in rates if rps <= UNKNOWN_RPS[-1] for kind in Kind
    ]
    silent = [unknown_plan(rps, size) for rps in UNKNOWN_RPS if rps <= max(rates)]
    if slow:
        yield [*slow, *silent]
    for rps in rates:
        if rps > UNKNOWN_RPS[-1]:
            yield from ([stated_plan(kind, rps, size, forgiven)] for kind in size.fast_kinds)


def run_round(service: Service, servers: Sequence[StrictServer]) -> None:
    """Feed the servers until each has gone through its plan.

    Raises:
        RuntimeError: Nothing came for a long time.
    """
    with httpx.Client(base_url=service.base_url, headers=service.headers(), timeout=60) as client:
        feeder = Feeder(client, servers)
        shown_at = last_came_at = time.monotonic()
        came = 0
        while not all(server.done.is_set() for server in servers):
            feeder.feed()
            time.sleep(FEED_EVERY_S)
            now = time.monotonic()
            if (count := sum(len(server.arrivals) for server in servers)) > came:
                came, last_came_at = count, now
            if now > last_came_at + STALLED_AFTER_S:
                raise RuntimeError("nothing came: " + progress(servers))
            if now > shown_at + SHOW_EVERY_S:
                print(progress(servers), flush=True)
                shown_at = now


def progress(servers: Sequence[StrictServer]) -> str:
    """Write down how far a round is."""
    return "; ".join(
        f"{server.plan.name}: {server.succeeded}/{server.plan.jobs}"
        + (f", {refused} x 429" if (refused := sum(not a.admitted for a in server.arrivals)) else "")
        for server in servers
        if not server.done.is_set()
    )


def judge_all(service: Service, servers: Sequence[StrictServer], results: Results) -> None:
    """Sum up a round."""
    with httpx.Client(base_url=service.base_url, headers=service.headers(), timeout=60) as client:
        timeline = Timeline(client)
        for server in servers:
            if server.plan.dialect is Dialect.SILENT:
                results.unknown.append(judge_unknown(server.plan, server.arrivals))
            else:
                results.stated.append(judge(server.plan, server.arrivals, timeline.look_up))


def measure(size: Size, rates: Sequence[int], forgiven: float) -> Results:
    """Run all rounds against one service."""
    results = Results([], [])
    servers_by_round = [[StrictServer(plan) for plan in plans] for plans in rounds(size, rates, forgiven)]
    with serving(list(itertools.chain(*servers_by_round))) as service:
        tune_interpreter()
        first = "" if goes_first() else "; the system does not let the servers go first"
        print(f"ready after {service.ready_after_s:.1f} s{first}", flush=True)
        others = Bystanders()
        for servers in servers_by_round:
            with running_servers(servers) as watch:
                run_round(service, servers)
            judge_all(service, servers, results)
            results.too_busy |= watch.too_late
            late_ms = [late_s * 1000 for late_s in watch.late_s]
            results.late_ms.append((percentile(late_ms, 0.999), max(late_ms)))
        results.others_cores = others.cores()
    return results


def goes_first() -> bool:
    """Let this process run whenever it has something to do, where the system allows it: a server that waits
    for its turn on a core sees jitter that was not on the way. What runs already keeps its place.
    """
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        return True
    return False


@contextlib.contextmanager
def serving(servers: Sequence[StrictServer]) -> Iterator[Service]:
    """Run a service that knows where to begin with the servers that say nothing."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as table:
        for server in servers:
            if server.plan.dialect is Dialect.SILENT:
                rps = server.plan.phases[STEADY].limit.count * UNKNOWN_BEGINS_AT
                entry = f'[domains."{server.domain}"]\nrps = {rps}\nmax_concurrent = {UNKNOWN_AT_ONCE}\n'
                table.write(entry)
        table.flush()
        with running_service("--allow-private-targets", "--domains-file", table.name) as service:
            yield service


def show(results: Results) -> str:
    """Write the results for people."""
    lines = [
        _line("limit stated", "headers", "requests", "429s", "used", "most seen", *_CHANGE_HEADINGS),
        *(_stated_line(found) for found in results.stated),
        "",
        _line("limit unknown", "", "after 10 s", "429s", "of ideal", "most seen"),
        *(_unknown_line(found) for found in results.unknown),
        "",
        "the servers' own loop was late, p99.9 / worst of each round, ms: "
        + ", ".join(f"{p999:.0f} / {most:.0f}" for p999, most in results.late_ms),
        f"cores that others used meanwhile: {results.others_cores:.2f}",
    ]
    failures = results.failures()
    lines += failures or ["all requirements hold"]
    return "\n".join([*lines, "too busy to judge"] if failures and results.too_busy else lines)


def _stated_line(found: Found) -> str:
    cells = [found.name, found.dialect, found.requests, found.refused, f"{found.used:.1%}", found.most]
    if found.back_at_full_s is not None:
        cells += [found.changeover_refused, found.over_lowered, f"{found.back_at_full_s:.2f}"]
    return _line(*cells)


def _unknown_line(found: Found) -> str:
    refused = f"{found.refused / max(1, found.requests):.1%}"
    return _line(found.name, found.dialect, found.requests, refused, f"{found.used:.1%}", found.most)


def _line(name: object, dialect: object, *cells: object) -> str:
    return f"{name!s:20}{dialect!s:>18}" + "".join(f"{cell!s:>12}" for cell in cells)


def _stated_failures(stated: Sequence[Found]) -> Iterator[str]:
    for found in stated:
        if found.refused:
            yield f"FAILED {found.name}: {found.refused} of {found.requests} were refused"
        if not found.used >= REQUIRED_USED:
            yield f"FAILED {found.name}: {found.used:.1%} of the allowed rate was used"
        if found.over_lowered:
            yield f"FAILED {found.name}: {found.over_lowered} starts over the lowered limit"
        if found.back_at_full_s is not None and not found.back_at_full_s <= REQUIRED_BACK_S:
            yield f"FAILED {found.name}: at the full rate only after {found.back_at_full_s:.2f} s"


def _unknown_failures(unknown: Sequence[Found]) -> Iterator[str]:
    for found in unknown:
        if not found.used >= REQUIRED_SHARE_OF_IDEAL:
            yield f"FAILED unknown {found.name}: {found.used:.1%} of the ideal"
        if not found.refused <= ALLOWED_REFUSALS * found.requests:
            yield f"FAILED unknown {found.name}: {found.refused} of {found.requests} were refused"


def plot(results: Results, path: Path) -> None:
    """Draw the starts of each rolling second over time, beside what was allowed."""
    import matplotlib as mpl  # noqa: PLC0415  # only where somebody wants a plot

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # the same

    changing = [found for found in results.stated if found.kind is Kind.SLIDING_WINDOW and found.limits]
    shown = [*changing[-2:], *results.unknown]
    figure, panels = plt.subplots(
        len(shown), 1, figsize=(10, 2.6 * len(shown)), layout="constrained", squeeze=False
    )
    for found, panel in zip(shown, panels[:, 0], strict=True):
        seconds, counts = zip(*found.curve, strict=True)
        panel.plot(seconds, counts, label="let in, in the second before", linewidth=1)
        since, limits = zip(*found.limits, strict=True)
        panel.step(
            [*since, seconds[-1]],
            [*limits, limits[-1]],
            where="post",
            color="tab:red",
            linestyle="--",
            linewidth=1,
            label="limit",
        )
        panel.set(title=f"{found.name}, headers: {found.dialect}", ylabel="requests", ylim=(0, None))
        panel.set_xlim(seconds[0], seconds[-1])
        panel.legend(loc="lower left")
    panels[-1, 0].set_xlabel("seconds")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, print, and fail where a requirement does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything: under a minute")
    parser.add_argument(
        "--rps", type=int, nargs="+", default=[2, 50, 500], help="limits, in requests a second"
    )
    parser.add_argument(
        "--forgiven", type=float, default=0.03, help="share that is forgiven from 50 a second on"
    )
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--plot", type=Path, help="draw starts over time here")
    options = parser.parse_args()
    results = measure(QUICK if options.quick else FULL, sorted(options.rps), options.forgiven)
    print(show(results))
    if options.json:
        options.json.write_text(json.dumps(asdict(results)))
    if options.plot:
        plot(results, options.plot)
    sys.exit(bool(results.failures()) and not (options.quick and results.too_busy))


if __name__ == "__main__":
    main()
