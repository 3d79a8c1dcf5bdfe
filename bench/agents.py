"""Region agents as real processes, beside a service on loopback."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from bench.ports import free_port
from bench.service import EZTHROTTLE

JOINED_WITHIN_S = 20.0


@dataclass(slots=True)
class Gate:
    """Where agents join, and by which authority its certificate is known (None: without TLS). ``host`` is an
    address of this machine.
    """

    data_dir: Path
    port: int
    certificate: Path | None = None
    key: Path | None = None
    host: str = "127.0.0.1"

    @classmethod
    def make(cls, data_dir: Path, tls: tuple[Path, Path] | None = None, host: str = "127.0.0.1") -> "Gate":
        """Choose a port."""
        certificate, key = tls or (None, None)
        return cls(data_dir, free_port(), certificate, key, host)

    @property
    def options(self) -> tuple[str, ...]:
        """Give the options of ``serve``."""
        options = ("--agents-bind", f"{self.host}:{self.port}")
        return (
            options
            if self.key is None
            else (*options, "--tls-cert", str(self.certificate), "--tls-key", str(self.key))
        )

    @property
    def url(self) -> str:
        """Where to join."""
        return f"{'http' if self.key is None else 'https'}://{self.host}:{self.port}"

    def token(self, region: str) -> tuple[str, Path]:
        """Make a region's key; give its id, and a file that holds it."""
        options = ("--role", "region", "--region", region, "--data-dir", str(self.data_dir), "--json")
        created = subprocess.run([*EZTHROTTLE, "keys", "create", *options], check=True, capture_output=True)
        made = json.loads(created.stdout)
        path = self.data_dir / f"{region}-{made['key_id']}.token"
        path.touch(0o600)
        path.write_text(made["api_key"])
        return made["key_id"], path

    def start(self, region: str, token: Path, *options: str, log: Path | None = None) -> "Popen[str]":
        """Start an agent that may call loopback; it joins in its own time."""
        command = [*EZTHROTTLE, "region", "--name", region, "--join", self.url, "--token-file", str(token)]
        if self.certificate is not None:
            command += ["--ca", str(self.certificate)]
        with (log or Path("/dev/null")).open("ab") as sink:
            return Popen(
                [*command, "--allow-private-targets", *options],
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )


def await_joined(agent: "Popen[str]") -> None:
    """Wait until an agent says that it has joined.

    Raises:
        RuntimeError: It ended.

    """
    assert agent.stdout is not None
    if "has joined" not in agent.stdout.readline():
        msg = f"the agent ended with {agent.wait(JOINED_WITHIN_S)}"
        raise RuntimeError(msg)


@contextlib.contextmanager
def running_agents(gate: Gate, *regions: str, log: Path | None = None) -> Iterator[dict[str, "Popen[str]"]]:
    """Run an agent in each region until the block ends."""
    agents = {region: gate.start(region, gate.token(region)[1], log=log) for region in regions}
    try:
        for agent in agents.values():
            await_joined(agent)
        yield agents
    finally:
        for agent in agents.values():
            end(agent)


def end(agent: "Popen[str]") -> None:
    """End an agent at once."""
    agent.kill()
    agent.wait()
    if agent.stdout is not None:
        agent.stdout.close()
