"""What a broken path costs the others, and a minute in which a target refuses everything: real servers again.

Three targets on loopback. To two of them one job in a hundred goes to a path that always refuses, with 503
or 429; one states its pace, the other states nothing and refuses what is past its limit, and its domain
begins at ten times that. The third refuses everything for a while, and is well again.
"""

import argparse
import itertools
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import httpx

from bench.figures import percentile
from bench.pacing import BATCH, FEED_EVERY_S, UNKNOWN_AT_ONCE, UNKNOWN_BEGINS_AT, WAITING_S, goes_first
from bench.raw_http import answer
from bench.service import Service, running_service
from bench.strict_rules import Limit, SlidingWindow
from bench.strict_server import Punctuality, Send, running_servers

RPS = 50
BAD_EVERY = 100
SETTLED_AFTER_S = 30.0
REFUSED_MOST = 0.02
STATED_LEAST, UNSTATED_LEAST = 0.95, 0.80
SENT_MOST, BACK_LEAST = 0.10, 0.90
BACK_WITHIN_S = 60.0


class Arm(StrEnum):
    """A way to be in trouble."""

    STATED = "broken-path, stated"
    UNSTATED = "broken-path, not stated"
    ALL = "refuses all"


@dataclass(frozen=True, slots=True)
class Size:
    """How long it runs, and when the third refuses everything, in seconds from the beginning."""

    seconds: float
    settled_s: float
    refuses_s: tuple[float, float]
    back_within_s: float


FULL = Size(180.0, SETTLED_AFTER_S, (50.0, 110.0), BACK_WITHIN_S)
QUICK = Size(60.0, 20.0, (12.0, 42.0), 14.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came, ``at`` seconds from the first one; ``broken``: to the path that refuses always."""

    at: float
    broken: bool
    answered: bool


@dataclass(slots=True)
class Target:
    """One server of an arm, and what it saw."""

    arm: Arm
    size: Size
    seen: list[Seen] = field(default_factory=list)
    rule: SlidingWindow = field(default_factory=lambda: SlidingWindow(Limit(RPS, forgiven=0.03)))
    began: float = 0.0
    listener: socket.socket = field(
        default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=1024)
    )

    @property
    def domain(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def meet(self, head: bytes, send: Send) -> None:
        """Answer one request."""
        send(self._answer(head))

    def _answer(self, head: bytes) -> bytes:
        now = time.monotonic()
        self.began = self.began or now
        at, broken = now - self.began, b" /bad" in head[: head.find(b"\r\n")]
        refuses_all = self.arm is Arm.ALL and self.size.refuses_s[0] <= at < self.size.refuses_s[1]
        answered = not (broken or refuses_all) and (self.arm is not Arm.UNSTATED or self.rule.admit(now))
        self.seen.append(Seen(at, broken, answered))
        stated = "" if self.arm is Arm.UNSTATED else f"X-EZTHROTTLE-RPS: {RPS}\r\n"
        if answered:
            return answer("200 OK", f"{stated}X-EZTHROTTLE-MAX-CONCURRENT: {RPS}\r\n" if stated else "")
        return answer("429 Too Many Requests" if len(self.seen) % 2 else "503 Service Unavailable")

    def between(self, since: float, until: float) -> list[Seen]:
        """List what came in a span of time."""
        return [each for each in self.seen if since <= each.at < until]


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured, and the bound that it has to keep."""

    name: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it keeps its bound."""
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )

    def __str__(self) -> str:
        """Write it for people."""
        bound = f">= {self.least:.0%}" if self.least is not None else f"<= {self.most:.0%}"
        return f"{self.name:62}{self.value:8.1%}  {bound}{'' if self.holds else '  FAILED'}"


def judge(target: Target) -> list[Figure]:
    """Sum up what a target saw."""
    size = target.size
    if target.arm is Arm.ALL:
        since, until = size.refuses_s
        sent = len(target.between(since, until)) / (RPS * (until - since))
        back_s = size.back_within_s
        last_s = min(10.0, back_s)
        back = target.between(until + back_s - last_s, until + back_s)
        return [
            Figure(f"{target.arm}: sent meanwhile, of the pace", sent, most=SENT_MOST),
            Figure(
                f"{target.arm}: {back_s:.0f} s after, of the pace",
                len(back) / (RPS * last_s),
                least=BACK_LEAST,
            ),
        ]
    settled_s = size.seconds - size.settled_s
    settled = target.between(size.settled_s, size.seconds)
    refused = sum(each.broken for each in settled) / max(1, len(settled))
    stated = target.arm is Arm.STATED
    starts = len(settled) if stated else sum(each.answered for each in settled)
    used = Figure(
        f"{target.arm}: {'starts, of the pace' if stated else 'let through, of the limit'}",
        starts / (RPS * settled_s),
        least=STATED_LEAST if stated else UNSTATED_LEAST,
    )
    return [used, Figure(f"{target.arm}: of the starts, to the broken path", refused, most=REFUSED_MOST)]


def jobs_for(domain: str, first: int, count: int, arm: Arm) -> Iterator[dict[str, str]]:
    """Write jobs for a target; those of the broken path are spread evenly."""
    for number in range(first, first + count):
        broken = arm is not Arm.ALL and number % BAD_EVERY == BAD_EVERY // 2
        yield {"url": f"http://{domain}/{'bad' if broken else 'ok'}?{number}", "method": "GET"}


def feed(service: Service, targets: Sequence[Target], seconds: float) -> None:
    """Keep work waiting at every target for so long."""
    submitted = dict.fromkeys((target.domain for target in targets), 0)
    ends_at = time.monotonic() + seconds
    with httpx.Client(base_url=service.base_url, headers=service.headers(), timeout=60) as client:
        while time.monotonic() < ends_at:
            for target in targets:
                domain, wanted = target.domain, len(target.seen) + int(RPS * WAITING_S)
                while submitted[domain] < wanted:
                    jobs = list(jobs_for(domain, submitted[domain], BATCH, target.arm))
                    client.post("/api/v1/jobs:batch", json={"jobs": jobs}).raise_for_status()
                    submitted[domain] += BATCH
            time.sleep(FEED_EVERY_S)


def measure(size: Size) -> tuple[list[Figure], Punctuality]:
    """Run all arms at once, against one service."""
    targets = [Target(arm, size) for arm in Arm]
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as table:
        unstated = next(target.domain for target in targets if target.arm is Arm.UNSTATED)
        rps = RPS * UNKNOWN_BEGINS_AT
        table.write(f'[domains."{unstated}"]\nrps = {rps}\nmax_concurrent = {UNKNOWN_AT_ONCE}\n')
        table.flush()
        options = ("--allow-private-targets", "--domains-file", table.name)
        with running_service(*options) as service, running_servers(targets) as watch:
            goes_first()
            feed(service, targets, size.seconds)
    return list(itertools.chain.from_iterable(map(judge, targets))), watch


def main() -> None:
    """Measure, print, and fail where a requirement does not hold and the machine was free enough to judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under a minute in place of three")
    parser.add_argument("--save", type=Path, help="write what was printed here as well")
    options = parser.parse_args()
    figures, watch = measure(QUICK if options.quick else FULL)
    late_s = percentile(watch.late_s, 0.999)
    lines = [*map(str, figures), f"the servers' own loop was late by {late_s * 1000:.0f} ms at p99.9"]
    failed = not all(figure.holds for figure in figures)
    if failed and watch.too_late:
        lines.append("too busy to judge")
    print("\n".join(lines))
    if options.save:
        options.save.write_text("\n".join(lines) + "\n")
    sys.exit(failed and not watch.too_late)


if __name__ == "__main__":
    main()
