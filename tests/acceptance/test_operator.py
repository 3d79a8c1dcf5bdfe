"""What an operator sees of a target and does to it, from outside: the command, and what the target gets."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.loopback import Reply, Site, running_site
from bench.service import Service, kill_service, resume_service, start_service, stop_service
from tests.support.long import LONG

COMMAND = (sys.executable, "-m", "orchestrator")
pytestmark = [pytest.mark.service, pytest.mark.timeout(180), LONG]
STATED = {"X-EZTHROTTLE-RPS": "40", "X-EZTHROTTLE-MAX-CONCURRENT": "40"}


class Operator:
    """An admin at the command line, and a customer with many jobs for one target."""

    def __init__(self, service: Service, target: Site, answers: dict[str, Any]) -> None:
        self.service, self.target, self.answers = service, target, answers
        data_dir = ("--data-dir", str(service.data_dir))
        made = self._run("keys", "create", "--customer", "cust_ops", "--role", "admin", *data_dir, "--json")
        self._key = json.loads(made)["api_key"]
        self.domain = target.url("").removeprefix("http://").strip("/")

    def domains(self, *words: str) -> Any:
        """Run ``ezthrottle domains``."""
        return json.loads(self._run("domains", *words, "--json", key=self._key))

    def shown(self) -> dict[str, Any]:
        """Show the target as the operator sees it."""
        (domain,) = [d for d in self.domains("list")["domains"] if d["domain"] == self.domain]
        return dict(domain)

    def queue(self, count: int) -> None:
        """Submit jobs in one batch."""
        jobs = [{"url": self.target.url(f"/{time.monotonic_ns()}/{number}")} for number in range(count)]
        for job in jobs[:1]:
            assert self._post("/api/v1/jobs", job) in (200, 202)
        assert self._post("/api/v1/jobs:batch", {"jobs": jobs[1:]}) == 200

    def starts_in(self, seconds: float) -> int:
        """Count what the target sees in a while."""
        before, until = len(self.target.seen()), time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.05)
        return len(self.target.seen()) - before

    def _post(self, path: str, document: dict[str, Any]) -> int:
        url = f"{self.service.base_url}{path}"
        return httpx.post(url, json=document, headers=self.service.headers(), timeout=60).status_code

    def _run(self, *words: str, key: str = "") -> str:
        env = os.environ | {"EZTHROTTLE_URL": self.service.base_url, "EZTHROTTLE_API_KEY": key}
        run = subprocess.run(
            [*COMMAND, *words], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert run.returncode == 0, run.stderr
        return run.stdout


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    answers: dict[str, Any] = {"status": 200, "headers": STATED}
    with running_site(lambda _seen: Reply(**answers)) as target:
        service = start_service(tmp_path, "--regions", "iad", "--allow-private-targets")
        operator = Operator(service, target, answers)
        try:
            yield operator
        finally:
            stop_service(operator.service)


def test_what_is_shown_goes_and_what_the_operator_says_holds_over_a_kill(operator: Operator) -> None:
    operator.queue(400)
    operator.starts_in(3.0)
    operator.answers |= {"status": 429, "headers": {}}
    operator.starts_in(6.0)
    slowed = operator.shown()
    seen = operator.starts_in(5.0) / 5
    assert slowed["stated"]["rps"] == 40.0
    assert (slowed["limited_by"]["kind"], slowed["pace"]["rps"] < 20) == ("slowed", True)
    assert seen <= slowed["pace"]["rps"] * 1.5 + 1

    operator.answers |= {"status": 200}
    operator.domains("set", operator.domain, "--rps", "10", "--max-concurrent", "10")
    assert 35 <= operator.starts_in(5.0) <= 55

    operator.domains("pause", operator.target.url("/any"))
    operator.starts_in(0.5)
    assert operator.starts_in(3.0) == 0
    kill_service(operator.service)
    operator.service = resume_service(operator.service)
    assert operator.starts_in(3.0) == 0
    held = operator.shown()
    assert (held["pace"], held["next_start_in_s"]) == (
        {"rps": 0.0, "max_concurrent": 10, "set_by": "operator"},
        None,
    )
    assert (held["operator"]["rps"], held["operator"]["paused_at"] is not None) == (10.0, True)

    operator.domains("resume", operator.domain)
    operator.starts_in(2.0)
    assert 35 <= operator.starts_in(5.0) <= 55

    operator.domains("set", operator.domain, "--lift")
    operator.domains("reset", operator.domain)
    operator.starts_in(2.0)
    assert operator.shown()["operator"] is None
    assert operator.starts_in(5.0) >= 5
    log = (operator.service.data_dir / "service.log").read_text()
    acts = (": domain.paused,", ": domain.resumed,", ": domain.reset,", ": domain.pace_set rps 10.0")
    assert [word in log for word in (*acts, "cust_ops")] == [True] * 5
