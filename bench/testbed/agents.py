"""A service whose regions are agents, on a testbed."""

import contextlib
from pathlib import Path

from bench.testbed.bed import Testbed
from bench.testbed.machine import Process
from bench.testbed.service import EZTHROTTLE, REGIONS, Service

DOOR_PORT = 8443
_CERTIFICATE, _KEY, _TOKEN = "gateway.crt", "gateway.key", "region.token"


class Agents:
    """An agent on each region's machine, kept running by a unit of its own, and the service that they join.

    Args:
        bed: The machines.
        machine: Where the service runs.
    """

    def __init__(self, bed: Testbed, machine: str = "hub") -> None:
        self._bed = bed
        self._join = f"https://{bed[machine].address}:{DOOR_PORT}"
        self.units: dict[str, Process] = {}
        door = ("--agents-bind", f"0.0.0.0:{DOOR_PORT}")
        tls = ("--tls-cert", f"/srv/{_CERTIFICATE}", "--tls-key", f"/srv/{_KEY}")
        self.service = Service(bed, machine, ("--regions", "", *door, *tls), {})
        self._make_certificate(machine)

    def start(self, *regions: str) -> None:
        """Start the agents of some regions; who has none yet is given a key."""
        for region in regions:
            machine = self._bed[region]
            token = machine.srv / _TOKEN
            if not token.exists():
                token.touch(mode=0o600)
                token.write_text(self.service.make_key("--role", "region", "--region", region))
            self.units[region] = machine.start(
                *("python", "-m", "bench.testbed.unit", "-", *EZTHROTTLE, "region", "--name", region),
                *("--node", region, "--join", self._join, "--ca", f"/srv/{_CERTIFICATE}"),
                *("--token-file", f"/srv/{_TOKEN}", "--allow-private-targets"),
            )

    def pids(self, region: str) -> list[int]:
        """Give the process id of a region's agent, as numbered outside of its machine, while one runs."""
        found = [(pid, _command(pid)) for pid in self.units[region].pids]
        return [pid for pid, words in found if "region" in words and "bench.testbed.unit" not in words]

    def _make_certificate(self, machine: str) -> None:
        address = self._bed[machine].address
        self._bed[machine].run(
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-days", "2", "-subj", "/CN=the testbed's own", "-addext", f"subjectAltName=IP:{address}"),
            *("-keyout", f"/srv/{_KEY}", "-out", f"/srv/{_CERTIFICATE}"),
        )
        certificate = (self._bed[machine].srv / _CERTIFICATE).read_text()
        for region in REGIONS:
            (self._bed[region].srv / _CERTIFICATE).write_text(certificate)


def _command(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return []
