"""See the service at work: ``python -m bench.demo [--json]``. Exits 0 only if all of it was so."""

import argparse
import contextlib
import io
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator

from rich.console import Console

from bench.demo.interrupts import interruptible
from bench.demo.receiver import Receiver
from bench.demo.report import Report, Result, show
from bench.demo.scenarios import REGIONS, SCENARIOS, Scenario
from bench.demo.stage import Checks, NotSo, Stage
from bench.loopback import running_site
from bench.service import Service, running_service
from ezthrottle import EZThrottle, EZThrottleError

CUSTOMER = "cust_demo"
SIGNATURES = "signatures"
INTERRUPTED = 130
UNATTENDED_WIDTH = 120


class Performance:
    """One run of all scenarios against a service of its own."""

    def __init__(self, console: Console, sabotaged: frozenset[str]) -> None:
        self._console = console
        self._sabotaged = sabotaged
        self._began_s = time.monotonic()
        self._ready_after_s = 0.0
        self._results: list[Result] = []
        self._webhooks: list[bool] = []

    def run(self) -> Report:
        """Play every scenario; whatever goes wrong is in the report."""
        failures = []
        try:
            # The servers outlive the service: what is under way when it is stopped can still end.
            with contextlib.ExitStack() as stack, _service(self._console) as service:
                self._ready_after_s = service.ready_after_s
                self._play_all(service, stack)
        except (RuntimeError, subprocess.SubprocessError, EZThrottleError) as error:
            failures.append(str(error))
        return Report(
            results=self._results,
            failures=failures,
            webhooks=len(self._webhooks),
            verified=self._webhooks.count(True),
            ready_after_s=self._ready_after_s,
            took_s=time.monotonic() - self._began_s,
        )

    def _play_all(self, service: Service, stack: contextlib.ExitStack) -> None:
        with EZThrottle(service.api_key, base_url=service.base_url) as client:
            receiver = Receiver(self._agree_on_secret(client))
            hook = stack.enter_context(running_site(receiver.receive)).url("/hook")
            for scenario in SCENARIOS:
                sabotaged = scenario.name in self._sabotaged
                stage = Stage(client, stack, receiver, hook, Checks(), sabotaged=sabotaged)
                self._results.append(self._play(scenario, stage))
            self._webhooks += [delivery.verified for delivery in receiver.deliveries()]

    def _agree_on_secret(self, client: EZThrottle) -> str:
        """Set the secret that signs webhooks; give the one that the receiver goes by."""
        secret = secrets.token_urlsafe()
        client.create_webhook_secret(secret)
        return secrets.token_urlsafe() if SIGNATURES in self._sabotaged else secret

    def _play(self, scenario: Scenario, stage: Stage) -> Result:
        self._console.print(f"{scenario.name}: {scenario.asked} ... ", end="")
        story = None
        try:
            story = scenario.play(stage)
        except (NotSo, EZThrottleError) as error:
            stage.checks.failures.append(str(error))
        result = Result(scenario, story, stage.checks.failures)
        self._console.print("[green]ok[/]" if result.ok else "[red]not so[/]")
        return result


@contextlib.contextmanager
def _service(console: Console) -> Iterator[Service]:
    console.print(f"starting the service with regions {', '.join(REGIONS)}: Ray takes about 8 s ... ", end="")
    options = ("--allow-private-targets", "--regions", ",".join(REGIONS))
    with running_service(*options, customer=CUSTOMER) as service:
        console.print(f"ready after {service.ready_after_s:.1f} s")
        yield service
        console.print("stopping the service")


def main() -> int:
    """Run the demo; give its exit code."""
    options = _options()
    _reach_loopback_directly()
    console = _console(to_stderr=options.json)
    try:
        with interruptible():
            report = Performance(console, frozenset(options.sabotaged)).run()
    except KeyboardInterrupt:
        console.print("\ninterrupted; the service has been stopped")
        return INTERRUPTED
    if options.json:
        print(json.dumps(report.document(), indent=2))
    else:
        show(report, console)
    return 0 if report.ok else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.demo", description=__doc__)
    parser.add_argument("--json", action="store_true", help="write JSON to stdout, progress to stderr")
    names = [*(scenario.name for scenario in SCENARIOS), SIGNATURES]
    # For the demo's own test: a demo that can't fail shows nothing.
    parser.add_argument(
        "--break", dest="sabotaged", choices=names, action="append", default=[], help=argparse.SUPPRESS
    )
    return parser.parse_args()


def _console(*, to_stderr: bool) -> Console:
    stream = sys.stderr if to_stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # the bars are not ASCII, and a terminal may be
    return Console(file=stream, width=None if stream.isatty() else UNATTENDED_WIDTH, highlight=False)


def _reach_loopback_directly() -> None:
    # A proxy that the environment names for the outside can't reach this machine's loopback.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))


if __name__ == "__main__":
    sys.exit(main())
