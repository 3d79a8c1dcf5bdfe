"""Stands in for systemctl where there is no init system: runs the shipped units by `bench.testbed.unit`.

python -m bench.testbed.systemctl restart|stop|enable|disable [--now] UNIT
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.service import descendants

UNITS = Path("/opt/ezthrottle/deploy/ray")
RUN = Path("/srv")


def main() -> None:
    """Do what is asked."""
    verb, *rest = sys.argv[1:]
    # Nothing boots here by itself: what is enabled or disabled without --now is only noted by systemd.
    if verb not in ("restart", "stop") and "--now" not in rest:
        return
    unit = rest[-1]
    pid_file = RUN / f"{unit}.pid"
    _stop(pid_file)
    if verb in ("restart", "enable"):
        settings = list(_settings(UNITS / f"{unit}.service"))
        [command] = [value for name, value in settings if name == "ExecStart"]
        for state in [value for name, value in settings if name == "StateDirectory"]:
            Path("/var/lib", state).mkdir(mode=0o700, exist_ok=True)
        with RUN.joinpath(f"{unit}.log").open("ab") as log:
            started = subprocess.Popen(
                (sys.executable, "-m", "bench.testbed.unit", "-", *shlex.split(command)),
                env=_environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        pid_file.write_text(str(started.pid))


def _settings(unit: Path) -> Iterator[tuple[str, str]]:
    for line in unit.read_text().replace("\\\n", " ").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            yield name, value


def _environment(settings: list[tuple[str, str]]) -> dict[str, str]:
    # As systemd does: nothing of whoever calls it, but for what every process has.
    found = {name: os.environ[name] for name in ("PATH", "HOME")}
    for file in [value for name, value in settings if name == "EnvironmentFile"]:
        path = Path(file.removeprefix("-"))
        if path.exists() or not file.startswith("-"):
            lines = path.read_text().splitlines()
            pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
            found |= {name: "".join(shlex.split(value)) for name, _, value in pairs}
    return found


def _stop(pid_file: Path) -> None:
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    for below in [*descendants(pid), pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(below, signal.SIGKILL)
    pid_file.unlink()


if __name__ == "__main__":
    main()
