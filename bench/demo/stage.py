"""What a scenario stands on: a client, targets of its own, and a receiver of webhooks."""

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from bench.demo.receiver import Delivery, Receiver
from bench.loopback import Reply, Script, Seen, Site, running_site
from ezthrottle import EZThrottle, Step
from ezthrottle.types import Attempt, Job

WEBHOOK_WITHIN_S = 10.0
CLOSED_WITHIN_S = 2.0
ASK_AGAIN_S = 0.02


class NotSo(Exception):
    """Something that has to happen did not, and the rest of its scenario hangs on it."""


@dataclass(slots=True)
class Checks:
    """Collects what was not as it has to be, a line each."""

    failures: list[str] = field(default_factory=list)

    def equal(self, what: str, wanted: object, found: object) -> None:
        """Note ``what`` where ``found`` is not ``wanted``."""
        if found != wanted:
            self.failures.append(f"{what}: expected {wanted}, found {found}")

    def true(self, claim: str, holds: bool) -> None:
        """Note a claim that does not hold."""
        if not holds:
            self.failures.append(f"not so: {claim}")


@dataclass(frozen=True, slots=True)
class Submission:
    """A job as the service acknowledged it; ``at_ms`` is Unix ms before it was submitted."""

    at_ms: int
    answer: Mapping[str, Any]

    @property
    def job_id(self) -> str:
        """The job's id."""
        job_id: str = self.answer["job_id"]
        return job_id


@dataclass(frozen=True, slots=True)
class Finished:
    """A job from submission to webhook; ``job`` is what the API says about it."""

    submission: Submission
    delivery: Delivery
    job: Job

    @property
    def took_ms(self) -> int:
        """Milliseconds from submission to webhook."""
        return self.delivery.arrived_ms - self.submission.at_ms

    @property
    def attempts(self) -> list[Attempt]:
        """Its attempts, oldest first."""
        return self.job["timeline"]["attempts"]

    @property
    def regions(self) -> list[str]:
        """Where its attempts ran, oldest first."""
        return [attempt["region"] for attempt in self.attempts]

    @property
    def status_codes(self) -> list[int | None]:
        """What its attempts were answered with, oldest first."""
        return [attempt["status_code"] for attempt in self.attempts]


@dataclass(frozen=True, slots=True)
class Stage:
    """Lets a scenario submit jobs and see what becomes of them. When ``sabotaged``, its targets fail.

    ``stack`` closes the targets; ``hook`` is the receiver's URL.
    """

    client: EZThrottle
    stack: ExitStack
    receiver: Receiver
    hook: str
    checks: Checks
    sabotaged: bool = False

    def target(self, answer: Script) -> Site:
        """Start an API; on a port of its own it is a target domain of its own, with a pace of its own."""
        return self.stack.enter_context(running_site(_fail if self.sabotaged else answer))

    def submit(self, step: Step) -> Submission:
        """Submit a job whose result goes to the receiver."""
        at_ms = time.time_ns() // 1_000_000
        return Submission(at_ms, step.webhooks([{"url": self.hook}]).execute(self.client))

    def run(self, step: Step) -> Finished:
        """Submit a job and wait for its webhook.

        Raises:
            NotSo: The webhook did not come.
        """
        return self.finish(self.submit(step))

    def finish(self, submission: Submission) -> Finished:
        """Wait for a job's webhook and check it.

        Raises:
            NotSo: The webhook did not come.
        """
        delivery = self.receiver.wait_for(submission.job_id, WEBHOOK_WITHIN_S)
        if delivery is None:
            raise NotSo(f"no webhook for {submission.job_id} within {WEBHOOK_WITHIN_S:g} s")
        webhook = f"the webhook of {submission.job_id}"
        self.checks.equal(f"the signature of {webhook}", "valid", delivery.reason)
        self.checks.equal(f"the status in {webhook}", "success", _status(delivery.document))
        return Finished(submission, delivery, self._settled(submission.job_id))

    def _settled(self, job_id: str) -> Job:
        """Ask for a job until it says when each loser's connection closed: after the job's end, it may be."""
        give_up_s = time.monotonic() + CLOSED_WITHIN_S
        while True:
            job = self.client.get_job(job_id)
            if not _open_losers(job["timeline"]["attempts"]) or time.monotonic() > give_up_s:
                return job
            time.sleep(ASK_AGAIN_S)


def _status(document: dict[str, Any]) -> str:
    error = document["error"]
    return f"{document['status']} ({error['message']})" if error else document["status"]


def _open_losers(attempts: Iterable[Attempt]) -> list[Attempt]:
    return [a for a in attempts if a["fault"] == "cancelled" and a["closed_at"] is None]


def _fail(_request: Seen) -> Reply:
    return Reply(status=HTTPStatus.NOT_FOUND)
