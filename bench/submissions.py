"""How fast one client submits: the published one job by job, ours with ``submit_many``, to one service.

The jobs' target keeps the default pace, so that hardly any of them runs meanwhile: this is about submitting.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.figures import over_runs
from bench.loopback import Reply, running_site
from bench.published import published_python
from bench.service import Bystanders, Service, running_service

REQUIRED_RATIO = 5.0

PUBLISHED_PROGRAM = """
import json, sys, time
from ezthrottle import EZThrottle
order = json.load(sys.stdin)
client = EZThrottle(order["api_key"], order["base_url"], order["base_url"])
began = time.perf_counter()
answers = [client.submit_job(**job) for job in order["jobs"]]
took = time.perf_counter() - began
print(json.dumps([took, len({answer["job_id"] for answer in answers})]))
"""
OUR_PROGRAM = """
import json, sys, time
from ezthrottle import EZThrottle
order = json.load(sys.stdin)
client = EZThrottle(order["api_key"], base_url=order["base_url"])
began = time.perf_counter()
answers = client.submit_many(order["jobs"])
took = time.perf_counter() - began
print(json.dumps([took, len({answer["job_id"] for answer in answers})]))
"""


@dataclass(frozen=True, slots=True)
class Program:
    """What submits: its interpreter, with options, and its code."""

    interpreter: tuple[Path | str, ...]
    code: str


@dataclass(frozen=True, slots=True)
class Round:
    """One round's rates, in jobs submitted a second."""

    published_per_s: float
    ours_per_s: float
    others_cores: float

    @property
    def ratio(self) -> float:
        """Ours, as a multiple of the published client's."""
        return self.ours_per_s / self.published_per_s


def rate(service: Service, program: Program, jobs: list[dict[str, str]]) -> float:
    """Let a program submit the jobs; give how many it submitted a second."""
    order = {"api_key": service.api_key, "base_url": service.base_url, "jobs": jobs}
    done = subprocess.run(
        [*program.interpreter, "-c", program.code],
        input=json.dumps(order),
        check=True,
        capture_output=True,
        text=True,
    )
    took_s, taken = json.loads(done.stdout)
    if taken != len(jobs):
        msg = f"{taken} of {len(jobs)} jobs were taken"
        raise RuntimeError(msg)
    return float(taken / took_s)


def measure(service: Service, target: str, rounds: int, count: int) -> list[Round]:
    """Make all rounds; the first of each is another one in turn, so that neither is always the warmer."""
    programs = {
        "published": Program((published_python(), "-I"), PUBLISHED_PROGRAM),
        "ours": Program((sys.executable,), OUR_PROGRAM),
    }
    found = []
    for number in range(rounds):
        others = Bystanders()
        rates = {}
        for name in sorted(programs, reverse=bool(number % 2)):
            jobs = [{"url": f"{target}/{number}/{name}/{each}", "method": "POST"} for each in range(count)]
            rates[name] = rate(service, programs[name], jobs)
        found.append(Round(rates["published"], rates["ours"], others.cores()))
    return found


def show(rounds: list[Round], count: int) -> str:
    """Write down what the rounds found."""
    rows = {
        f"published client, {count} submissions: jobs/s": [each.published_per_s for each in rounds],
        f"submit_many of {count}: jobs/s": [each.ours_per_s for each in rounds],
        f"ratio (required: at least {REQUIRED_RATIO:g})": [each.ratio for each in rounds],
        "cores that others used meanwhile": [each.others_cores for each in rounds],
    }
    return "\n".join(f"{name:52}{over_runs(values)!s:>30}" for name, values in rows.items())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the rounds here")
    options = parser.parse_args()
    with running_site(Reply()) as target, running_service("--allow-private-targets") as service:
        rounds = measure(service, target.url(""), options.rounds, options.jobs)
    print(show(rounds, options.jobs))
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in rounds], indent=1))


if __name__ == "__main__":
    main()
