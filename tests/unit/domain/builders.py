"""Short routes to say what a test is about; everything else takes its default."""

from typing import Any

from orchestrator.domain.exchange import Fault, HttpResponse
from orchestrator.domain.execution.run import begin, dispatch
from orchestrator.domain.execution.settling import Decision, Ended, settle
from orchestrator.domain.ids import AttemptId, CustomerId, JobId, RegionName, target_domain
from orchestrator.domain.jobs.job import Job, JobSpec

IAD, LAX, ORD, SEA = (RegionName(name) for name in ("iad", "lax", "ord", "sea"))
REGIONS = (IAD, LAX, ORD)
ACME = CustomerId("cust_acme")
NOW_MS = 1_763_674_210_055
URL = "https://api.example.com/pay?card=4111"


def a_spec(**fields: Any) -> JobSpec:
    return JobSpec(**({"url": URL, "regions": (IAD,), "metadata": {}} | fields))


def a_job(
    number: int = 1,
    *,
    customer: CustomerId = ACME,
    key: str | None = None,
    accepted_ms: int = NOW_MS,
    **fields: Any,
) -> Job:
    spec = a_spec(**fields)
    return Job(
        id=JobId(f"job_{accepted_ms}_{number:06d}"),
        customer=customer,
        domain=target_domain(spec.url),
        idempotent_key=key or f"key-{number}",
        accepted_ms=accepted_ms,
        spec=spec,
    )


def answer(
    status: int, body: bytes = b"", headers: dict[str, str] | None = None, *, incomplete: str = ""
) -> HttpResponse:
    return HttpResponse(status=status, headers=headers or {}, body=body, incomplete=incomplete)


def answered(status: int, body: bytes = b"", *, retry_after_s: float | None = None) -> Ended:
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    return Ended(answer(status, body, headers), retry_after_s=retry_after_s)


def failed(fault: Fault, *, written: bool = True, message: str = "") -> Ended:
    return Ended(None, fault, message, written=written)


class UnderWay:
    """A job whose attempts go out and end as the test says."""

    def __init__(self, spec: JobSpec, *, up: tuple[RegionName, ...] = REGIONS) -> None:
        self.spec = spec
        self.run = begin(spec)
        self.up = up
        self._ids = 0

    def send(self, leg: int = 0, *, region: RegionName | None = None, now_ms: int = NOW_MS) -> AttemptId:
        """Let a leg's attempt out, where it wants to run if no other region is named."""
        self._ids += 1
        attempt = AttemptId(f"1.{self._ids:x}")
        where = region or self.run.legs[leg].region
        self.run, _ = dispatch(self.run, leg, attempt, where, now_ms)
        return attempt

    def end(self, attempt: AttemptId, ended: Ended, *, now_ms: int = NOW_MS, jitter: float = 0.5) -> Decision:
        self.run, decision = settle(
            self.run, self.spec, attempt, ended, now_ms=now_ms, jitter=jitter, up=self.up
        )
        return decision

    def play(self, leg: int, ended: Ended) -> Decision:
        """Send a leg and end its attempt."""
        return self.end(self.send(leg), ended)
