"""Kill -9 under load, come back, and look for what is missing: ``python -m bench.kill_rounds --rounds 10``.

A round submits jobs without a pause, kills at a random moment, and then asks for every job that was
acknowledged: it has to end, and its webhook to arrive, signed.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

import httpx

from bench.loopback import GENEROUS_PACE, Reply, Seen, Site, is_signed, running_site
from bench.service import (
    READY_WITHIN_S,
    Service,
    await_ready,
    children,
    kill_service,
    process_name,
    processes_of,
    resume_service,
    start_service,
    stop_service,
)

OPEN_AT_LEAST = 20
"""A round with fewer jobs open when it kills proves little: it is void."""
SUBMITTERS = 6
PAUSE_S = 0.04
MOMENT_MOST_S = 2.0
WEBHOOKS_WITHIN_S = 90.0
HELD_S = 600.0
SECRET = "a secret of thirty-two characters"
REGIONS = ("iad", "lax", "ord")
DRIVER = "orchestrator.adapters.ray.driver"
PATHS = ("/plain", "/race", "/reroute", "/retry")


def _is_driver(pid: int) -> bool:
    """Tell the driver from the guardian that sleeps beside it."""
    with contextlib.suppress(OSError):
        return DRIVER.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


class Victim(StrEnum):
    """What a round kills."""

    TREE = "tree"
    """Every process at once."""
    SERVE = "serve"
    """The ``serve`` that was started; a guardian ends its children, unless the next one is there first."""
    DRIVER = "driver"
    SHARD = "ray::ShardActor"
    EXECUTOR = "ray::ExecutorActor"
    WEBHOOKS = "ray::WebhookActor"
    RAYLET = "raylet"
    GCS = "gcs_server"

    @property
    def ends_the_service(self) -> bool:
        """Whether somebody has to start it again."""
        return self in (Victim.TREE, Victim.SERVE)

    @property
    def ends_deliveries(self) -> bool:
        """Whether webhooks on their way are cut off, soon if not at once."""
        return self not in (Victim.SHARD, Victim.EXECUTOR)


@dataclass(slots=True)
class Round:
    """What one round found. Times are seconds; ``recovered_s`` counts from the kill to the last webhook."""

    victim: Victim
    moment_s: float
    open_at_kill: int
    accepted: int = 0
    ended: int = 0
    failed: int = 0
    webhooks: int = 0
    unsigned: int = 0
    unknown_webhooks: int = 0
    orphans: int = 0
    left_over: int = 0
    ready_s: float = 0.0
    recovered_s: float = 0.0
    missing: list[str] = field(default_factory=list)

    @property
    def void(self) -> bool:
        """Whether too few jobs were open for the round to mean anything."""
        return self.open_at_kill < OPEN_AT_LEAST

    @property
    def passed(self) -> bool:
        """Whether nothing was missing, and nothing came that nobody had asked for."""
        whole = self.ended == self.webhooks == self.accepted and not self.missing
        return whole and not (self.unsigned or self.unknown_webhooks or self.left_over)


class Load:
    """Submits jobs from several threads until it is stopped or the service is gone."""

    def __init__(self, service: Service, target: Site, receiver: Site, name: str) -> None:
        self._service = service
        self._target = target
        self._hook = receiver.url(f"/{name}")
        self._name = name
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.submitted: set[str] = set()
        self.accepted: set[str] = set()
        self._threads = [threading.Thread(target=self._submit, args=(n,)) for n in range(SUBMITTERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Submit nothing more; what is under way is awaited."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def open_jobs(self, told: set[str]) -> int:
        """Count the jobs that were acknowledged and whose receivers were not told."""
        with self._lock:
            return len(self.accepted - told)

    def _submit(self, submitter: int) -> None:
        base_url, headers = self._service.base_url, self._service.headers()
        with httpx.Client(base_url=base_url, headers=headers, timeout=10) as client:
            number = 0
            while not self._stopping.wait(PAUSE_S):
                number += 1
                key = f"{self._name}-{submitter}-{number}"
                with self._lock:
                    self.submitted.add(key)
                try:
                    answer = client.post("/api/v1/jobs", json=self._job(key, number))
                except httpx.TransportError:
                    # Whether this one was taken nobody knows: it is asked of no one.
                    return
                if answer.status_code == httpx.codes.ACCEPTED:
                    with self._lock:
                        self.accepted.add(answer.json()["job_id"])

    def _job(self, key: str, number: int) -> dict[str, object]:
        """Take turns: a plain job, a race, one that is rerouted, one that is retried."""
        path = PATHS[number % len(PATHS)]
        return {
            "url": self._target.url(path),
            "method": "POST",
            "body": key,
            "idempotent_key": key,
            "webhooks": [{"url": self._hook}],
            "regions": REGIONS if path == "/race" else REGIONS[:1],
        }


class Campaign:
    """Rounds on one data directory, with one target and one receiver."""

    def __init__(self, service: Service, target: Site, receiver: Site, seed: int) -> None:
        self.service = service
        self._target = target
        self._receiver = receiver
        self._random = random.Random(seed)
        self._rounds = 0

    def run(self, victim: Victim) -> Round:
        """Load, kill, come back, and count."""
        self._rounds += 1
        name = f"round-{os.getpid()}-{self._rounds}"
        if victim.ends_deliveries:
            # So that in each round a webhook is on its way when the kill comes.
            self._receiver.on(f"/{name}", Reply(after_s=HELD_S), Reply())
        load = Load(self.service, self._target, self._receiver, name)
        try:
            found = self._await_moment(load, victim, name)
            before = self._pids_of(victim)
            killed = self._kill(victim, before)
            killed_at = time.monotonic()
            if victim.ends_the_service:
                self._serve_again(found)
            else:
                self._await_return(victim, len(before), killed)
            found.ready_s = time.monotonic() - killed_at
        finally:
            load.stop()
        self._count(found, load, name, killed_at)
        return found

    def _await_moment(self, load: Load, victim: Victim, name: str) -> Round:
        deadline = time.monotonic() + READY_WITHIN_S
        while load.open_jobs(self._told(name)) < OPEN_AT_LEAST and time.monotonic() < deadline:
            time.sleep(0.01)
        moment_s = self._random.uniform(0, MOMENT_MOST_S)
        time.sleep(moment_s)
        return Round(victim, moment_s, load.open_jobs(self._told(name)))

    def _kill(self, victim: Victim, pids: list[int]) -> int:
        if victim is Victim.TREE:
            kill_service(self.service)
            return self.service.process.pid
        killed = self._random.choice(pids)
        os.kill(killed, signal.SIGKILL)
        return killed

    def _pids_of(self, victim: Victim) -> list[int]:
        if victim.ends_the_service:
            return [self.service.process.pid]
        if victim is Victim.DRIVER:
            return [pid for pid in children(self.service.process.pid) if _is_driver(pid)]
        return [pid for pid in self.service.pids() if process_name(pid).startswith(victim)]

    def _serve_again(self, found: Round) -> None:
        self.service.process.wait()
        orphans = set(processes_of(self.service.data_dir))
        found.orphans = len(orphans)
        self.service = resume_service(self.service)
        # While orphans live, it may be theirs what answers.
        deadline = time.monotonic() + READY_WITHIN_S
        while (left := orphans & set(processes_of(self.service.data_dir))) and time.monotonic() < deadline:
            time.sleep(0.05)
        found.left_over = len(left)
        await_ready(self.service.process, self.service.base_url, len(REGIONS))

    def _await_return(self, victim: Victim, count: int, killed: int) -> None:
        # Until it is noticed that what was killed is gone, all looks well: so its successor is awaited.
        deadline = time.monotonic() + READY_WITHIN_S
        while len({*self._pids_of(victim)} - {killed}) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        await_ready(self.service.process, self.service.base_url, len(REGIONS))

    def _told(self, name: str) -> set[str]:
        seen = self._receiver.seen(f"/{name}")
        return {webhook.json()["job_id"] for webhook in seen if webhook.answered_at is not None}

    def _count(self, found: Round, load: Load, name: str, killed_at: float) -> None:
        def all_told(seen: list[Seen]) -> bool:
            return len(seen) >= len(load.accepted) and load.accepted <= self._told(name)

        with contextlib.suppress(TimeoutError):
            self._receiver.wait(all_told, f"/{name}", WEBHOOKS_WITHIN_S)
        seen = self._receiver.seen(f"/{name}")
        found.accepted = len(load.accepted)
        found.webhooks = len(load.accepted & self._told(name))
        found.unsigned = sum(not is_signed(webhook, SECRET) for webhook in seen)
        found.unknown_webhooks = len({w.json()["idempotent_key"] for w in seen} - load.submitted)
        found.recovered_s = max((webhook.at for webhook in seen), default=killed_at) - killed_at
        states = self._states(load.accepted)
        found.failed = sum(state == "failed" for state in states.values())
        found.ended = found.failed + sum(state == "success" for state in states.values())
        found.missing = sorted(load.accepted - self._told(name)) + sorted(
            job_id for job_id, state in states.items() if state not in ("success", "failed")
        )

    def _states(self, job_ids: set[str]) -> dict[str, str]:
        with httpx.Client(base_url=self.service.base_url, headers=self.service.headers()) as client:
            answers = {job_id: client.get(f"/api/v1/jobs/{job_id}") for job_id in job_ids}
        return {
            job_id: answer.json()["state"] if answer.is_success else str(answer.status_code)
            for job_id, answer in answers.items()
        }


@contextlib.contextmanager
def running_campaign(seed: int) -> Iterator[Campaign]:
    """Start a service, a target whose answers take their time, and a receiver; end all with the block."""
    chance = random.Random(seed)
    with contextlib.ExitStack() as stack:
        target, receiver = stack.enter_context(running_site()), stack.enter_context(running_site(Reply()))
        for path in PATHS:
            target.script(path, lambda seen: _answer(seen, chance))
        data_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="ezthrottle-"))
        campaign = Campaign(start_service(Path(data_dir), "--allow-private-targets"), target, receiver, seed)
        stack.callback(lambda: stop_service(campaign.service))
        _prepare(campaign.service, target)
        yield campaign


def _prepare(service: Service, target: Site) -> None:
    """Store a secret, and let the target name its pace."""
    with httpx.Client(base_url=service.base_url, headers=service.headers(), timeout=30) as client:
        client.post("/api/v1/webhook-secrets", json={"primary_secret": SECRET}).raise_for_status()
        job = client.post("/api/v1/jobs", json={"url": target.url("/opens-the-gate")}).json()
        client.get(f"/api/v1/jobs/{job['job_id']}", params={"wait": 20}).raise_for_status()


def _answer(seen: Seen, chance: random.Random) -> Reply:
    first = seen.headers["x-ezthrottle-attempt"] == "1"
    after_s = chance.uniform(0.1, 0.8)
    if first and seen.path == "/reroute":
        return Reply(status=500, headers=GENEROUS_PACE, after_s=after_s / 2)
    if first and seen.path == "/retry":
        return Reply(status=503, headers={**GENEROUS_PACE, "Retry-After": "0"}, after_s=after_s / 2)
    return Reply(headers=GENEROUS_PACE, after_s=after_s)


HEADINGS = ("victim", "moment", "open", "accepted", "ended", "webhooks", "ready", "recovered", "verdict")


def show(found: Round) -> str:
    """Write a round as a line of the table."""
    verdict = "passed" if found.passed else f"LOST {len(found.missing)}" if found.missing else "FAILED"
    cells = (
        found.victim.removeprefix("ray::"),
        f"{found.moment_s:.2f} s",
        found.open_at_kill,
        found.accepted,
        found.ended,
        found.webhooks,
        f"{found.ready_s:.1f} s",
        f"{found.recovered_s:.1f} s",
        "void" if found.void and found.passed else verdict,
    )
    return line(*cells)


def line(*cells: object) -> str:
    """Write cells in columns."""
    return f"{cells[0]!s:14}" + "".join(f"{cell!s:>10}" for cell in cells[1:])


def victims(choice: Sequence[Victim], rounds: int) -> list[Victim]:
    """Take turns."""
    return [choice[number % len(choice)] for number in range(rounds)]


def main() -> int:
    """Run the rounds; the exit code is 0 if none lost anything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--victims",
        type=lambda text: [Victim[name.strip().upper()] for name in text.split(",")],
        default=[*[Victim.TREE] * 4, Victim.SERVE],
        help=f"what to kill, by turns: {', '.join(victim.name.lower() for victim in Victim)}",
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--json", type=Path, help="write the rounds here")
    options = parser.parse_args()
    print(f"seed {options.seed}\n{line(*HEADINGS)}", flush=True)
    found = []
    with running_campaign(options.seed) as campaign:
        for victim in victims(options.victims, options.rounds):
            found.append(campaign.run(victim))
            print(show(found[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(round_) for round_ in found], indent=1))
    lost = sum(not round_.passed for round_ in found)
    void = sum(round_.void for round_ in found)
    jobs = sum(round_.accepted for round_ in found)
    print(f"{len(found)} rounds, {jobs} jobs acknowledged, {lost} rounds with a fault, {void} void")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
