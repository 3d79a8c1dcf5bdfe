"""What follows when an attempt ends: the job is won, lost, repeated, or its other legs go on."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.exchange import Fault, HttpResponse, Phases
from orchestrator.domain.execution.retry import (
    DEFAULT_POLICY,
    PROBE_AGAIN_MOST_MS,
    Verdict,
    backoff_ms,
    judge_fault,
    judge_response,
)
from orchestrator.domain.execution.run import (
    FANOUT_BYTES,
    LAST_SEEN_BYTES,
    Answer,
    Attempt,
    LegState,
    Run,
    abandon,
    find_attempt,
    set_leg,
    update_attempt,
)
from orchestrator.domain.health.breaker import Cause
from orchestrator.domain.health.routing import reroute_target
from orchestrator.domain.ids import AttemptId, RegionName
from orchestrator.domain.jobs.job import JobSpec


class FailureCode(StrEnum):
    """Why a job failed, as webhooks and the API say it."""

    STATUS = "status"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    TARGET_NOT_ALLOWED = "target_not_allowed"
    INVALID_REQUEST = "invalid_request"
    REGIONS_DOWN = "regions_down"
    UNKNOWN_OUTCOME = "unknown_outcome"
    POISON = "poison"
    DAMAGED = "damaged"
    """What was stored of it can't be read."""


class Failure(Struct, frozen=True):
    """Why a job failed: a code for programs and a sentence for people."""

    code: FailureCode
    message: str


class Ended(Struct, frozen=True):
    """What became of an attempt: an answer, or a fault with its message. ``written`` says whether
    the target may have seen any of it; ``probe``, that it was let out to see whether the target is back;
    ``phases``, where its time went if it was answered and belongs to a trace.
    """

    response: HttpResponse | None
    fault: Fault | None = None
    message: str = ""
    retry_after_s: float | None = None
    written: bool = True
    probe: bool = False
    phases: Phases | None = None

    @property
    def cause(self) -> Cause:
        """Say what it is to breakers and retry budgets: a status, or a fault."""
        return Cause(self.response.status if self.response is not None else None, self.fault)

    @property
    def asks_to_wait(self) -> bool:
        """Whether it named a wait that lies ahead."""
        return self.retry_after_s is not None and self.retry_after_s > 0


class Succeed(Struct, frozen=True):
    """The job is won, and its other legs have been given up."""

    leg: int
    response: HttpResponse


class Fail(Struct, frozen=True):
    """The job is lost."""

    failure: Failure
    answer: Answer | None


class Repeat(Struct, frozen=True):
    """Queue the leg again, not before its ``not_before_ms``. ``spends``: it counts as a retry or reroute."""

    leg: int
    spends: bool = False


class Await(Struct, frozen=True):
    """Other legs are still at work."""


Decision = Succeed | Fail | Repeat | Await


def settle(
    run: Run,
    spec: JobSpec,
    attempt: AttemptId,
    ended: Ended,
    *,
    now_ms: int,
    jitter: float,
    up: Sequence[RegionName],
    handed_on: Collection[int] = (),
) -> tuple[Run, Decision]:
    """Record an attempt's end and decide what follows.

    Args:
        run: The run so far.
        spec: The job.
        attempt: The attempt that ended; one that the run does not know changes nothing.
        ended: How.
        now_ms: Unix ms.
        jitter: Uniform in [0, 1), for the backoff.
        up: Regions that take work now and find the target well, the fastest first.
        handed_on: Status codes that a fallback waits for: they end a leg, unless the job's own policy
            lists them; then when that is spent.

    """
    found = find_attempt(run, attempt)
    if found is None or found.verdict is not None:
        return run, Await()
    verdict = _judge(spec, ended, handed_on)
    run = _note(run, found, ended, verdict, now_ms)
    return _follow(run, spec, found, ended, verdict, now_ms, jitter, up)


def _note(run: Run, found: Attempt, ended: Ended, verdict: Verdict, now_ms: int) -> Run:
    if ended.fault is not Fault.LOST and run.crashes:
        run = replace(run, crashes=0)
    run = update_attempt(
        run,
        found.id,
        ended_ms=now_ms,
        status=ended.response.status if ended.response else None,
        fault=ended.fault,
        written=ended.written,
        verdict=verdict,
        **_phases_in_ms(ended.phases),
    )
    repeats = verdict in (Verdict.WAIT, Verdict.RETRY, Verdict.REROUTE)
    return _remember(run, found.region, ended) if repeats else run


def _phases_in_ms(phases: Phases | None) -> dict[str, float]:
    return {} if phases is None else {"write_ms": phases.write_s * 1000, "wait_ms": phases.wait_s * 1000}


def _follow(
    run: Run,
    spec: JobSpec,
    found: Attempt,
    ended: Ended,
    verdict: Verdict,
    now_ms: int,
    jitter: float,
    up: Sequence[RegionName],
) -> tuple[Run, Decision]:
    match verdict:
        case Verdict.SUCCESS:
            return _success(run, spec, found.leg, ended, now_ms)
        case Verdict.WAIT:
            return _repeat(run, found.leg, ended, now_ms, jitter)
        case Verdict.RETRY:
            return _retry(run, spec, found, ended, now_ms, jitter)
        case Verdict.REROUTE:
            return _reroute(run, spec, found, ended, now_ms, jitter, up)
        case Verdict.END | Verdict.UNKNOWN:
            return _end_leg(run, spec, found, ended, verdict)
        case _:
            assert_never(verdict)


def _judge(spec: JobSpec, ended: Ended, handed_on: Collection[int]) -> Verdict:
    if ended.response is not None:
        listed = spec.retry_policy.retry_codes | spec.retry_policy.reroute_codes if spec.retry_policy else ()
        if ended.response.status in handed_on and ended.response.status not in listed:
            return Verdict.END
        return _of_probe(judge_response(spec, ended.response, asks_to_wait=ended.asks_to_wait), ended)
    return _of_probe(judge_fault(spec, ended.fault or Fault.BROKEN, written=ended.written), ended)


def _of_probe(verdict: Verdict, ended: Ended) -> Verdict:
    """Probing for an open breaker spends nothing."""
    repeats = verdict in (Verdict.RETRY, Verdict.REROUTE)
    return Verdict.WAIT if ended.probe and repeats else verdict


def _success(run: Run, spec: JobSpec, leg: int, ended: Ended, now_ms: int) -> tuple[Run, Decision]:
    run = set_leg(run, leg, state=LegState.WON)
    response = ended.response
    if response is None:
        msg = "a success carries a response"
        raise ValueError(msg)
    if spec.execution_mode.conduct.tells_all:
        run = _keep_answer(run, spec, leg, response)
        return run, _fanout_end(run, spec)
    return abandon(run, now_ms), Succeed(leg, response)


def _fanout_end(run: Run, spec: JobSpec) -> Decision:
    if not all(leg.state.over for leg in run.legs):
        return Await()
    won = next(index for index, leg in enumerate(run.legs) if leg.state is LegState.WON)
    well = [answer for answer in run.answers if answer.response.successful]
    # Not by where it ran: another leg may have stood in for its own region there.
    answer = next((answer for answer in well if answer.asked == spec.regions[won]), well[0])
    return Succeed(won, answer.response)


def _retry(
    run: Run, spec: JobSpec, found: Attempt, ended: Ended, now_ms: int, jitter: float
) -> tuple[Run, Decision]:
    policy = spec.retry_policy or DEFAULT_POLICY
    if run.retries >= policy.max_retries:
        return _spent(run, spec, found, ended, now_ms)
    run, _ = _repeat(replace(run, retries=run.retries + 1), found.leg, ended, now_ms, jitter)
    return run, Repeat(found.leg, spends=True)


def _reroute(
    run: Run,
    spec: JobSpec,
    found: Attempt,
    ended: Ended,
    now_ms: int,
    jitter: float,
    up: Sequence[RegionName],
) -> tuple[Run, Decision]:
    policy = spec.retry_policy or DEFAULT_POLICY
    used: Collection[RegionName] = run.used_regions | {leg.region for leg in run.legs}
    region = reroute_target(listed=spec.regions, policy=spec.region_policy, up=up, used=used)
    if region is None:
        return _retry(run, spec, found, ended, now_ms, jitter)
    if run.reroutes >= policy.max_reroutes:
        return _spent(run, spec, found, ended, now_ms)
    run = set_leg(run, found.leg, region=region, state=LegState.WAITING, not_before_ms=now_ms)
    return replace(run, reroutes=run.reroutes + 1), Repeat(found.leg, spends=True)


def _spent(run: Run, spec: JobSpec, found: Attempt, ended: Ended, now_ms: int) -> tuple[Run, Decision]:
    """Nothing is left to try: a success that stops short is taken as it is."""
    if ended.response is not None and ended.response.successful:
        return _success(
            update_attempt(run, found.id, verdict=Verdict.SUCCESS), spec, found.leg, ended, now_ms
        )
    return _end_leg(run, spec, found, ended, Verdict.END)


def _remember(run: Run, region: RegionName, ended: Ended) -> Run:
    """Keep a response that is not the end: a job that fails without another one tells of it."""
    if ended.response is None:
        return run
    return replace(run, last_seen=Answer(region, ended.response.with_body_cut(LAST_SEEN_BYTES)))


def _repeat(run: Run, index: int, ended: Ended, now_ms: int, jitter: float) -> tuple[Run, Decision]:
    leg = run.legs[index]
    lost = ended.fault is Fault.LOST
    again = sum(a.leg == index and a.status is not None and a.verdict in _REPEATED for a in run.attempts) > 1
    delay = 0 if lost else backoff_ms(leg.repeats, ended.retry_after_s, jitter, again=again)
    if ended.probe and not ended.asks_to_wait:
        # Another job is the next probe: one that can never succeed must not keep the breaker open.
        delay = min(delay, PROBE_AGAIN_MOST_MS)
    run = set_leg(run, index, state=LegState.WAITING, repeats=leg.repeats + 1, not_before_ms=now_ms + delay)
    return run, Repeat(index)


_REPEATED = (Verdict.WAIT, Verdict.RETRY)


def give_up(run: Run, spec: JobSpec, leg: int, failure: Failure) -> tuple[Run, Decision]:
    """End a leg that waits, for it can't be sent."""
    run = set_leg(run, leg, state=LegState.ENDED)
    if not all(other.state.over for other in run.legs):
        return run, Await()
    if any(other.state is LegState.WON for other in run.legs):
        return run, _fanout_end(run, spec)
    known = _failure(Ended(run.answers[0].response)) if run.answers else failure
    return run, Fail(known, answer_to_show(run))


def _end_leg(run: Run, spec: JobSpec, found: Attempt, ended: Ended, verdict: Verdict) -> tuple[Run, Decision]:
    run = update_attempt(run, found.id, verdict=verdict)
    run = set_leg(run, found.leg, state=LegState.ENDED)
    if ended.response is not None:
        run = _keep_answer(run, spec, found.leg, ended.response)
    if verdict is Verdict.UNKNOWN:
        return run, Fail(_unknown(ended), answer_to_show(run))
    if spec.execution_mode.conduct.tells_all and any(leg.state is LegState.WON for leg in run.legs):
        return run, _fanout_end(run, spec)
    if not all(leg.state.over for leg in run.legs):
        return run, Await()
    failure = _failure(Ended(run.answers[0].response) if run.answers else ended)
    return run, Fail(failure, answer_to_show(run))


def answer_to_show(run: Run) -> Answer | None:
    """Choose the response that a failed job shows: the first that ended a leg, else the latest seen."""
    return run.answers[0] if run.answers else run.last_seen


def _keep_answer(run: Run, spec: JobSpec, leg: int, response: HttpResponse) -> Run:
    """Keep an answer that ended a leg: a fan-out tells all of them, which share their bytes; otherwise the
    first is told, and of the others their status.
    """
    most, asked = 0 if run.answers else len(response.body), None
    if spec.execution_mode.conduct.tells_all:
        most, asked = FANOUT_BYTES // len(run.legs), spec.regions[leg]
    answer = Answer(run.legs[leg].region, response.with_body_cut(most), asked)
    return replace(run, answers=(*run.answers, answer))


def _failure(ended: Ended) -> Failure:
    if ended.response is not None:
        return Failure(FailureCode.STATUS, f"the target answered {ended.response.status}")
    fault = ended.fault or Fault.BROKEN
    return Failure(_CODES[fault], ended.message or fault.value)


def _unknown(ended: Ended) -> Failure:
    what = ended.message or (ended.fault or Fault.BROKEN).value
    return Failure(FailureCode.UNKNOWN_OUTCOME, f"the request may have taken effect: {what}")


_CODES = {
    Fault.CONNECT: FailureCode.CONNECTION,
    Fault.CONNECT_TIMEOUT: FailureCode.CONNECTION,
    Fault.TIMEOUT: FailureCode.TIMEOUT,
    Fault.BROKEN: FailureCode.CONNECTION,
    Fault.NOT_ALLOWED: FailureCode.TARGET_NOT_ALLOWED,
    Fault.INVALID: FailureCode.INVALID_REQUEST,
    Fault.CANCELLED: FailureCode.CANCELLED,
    Fault.LOST: FailureCode.REGIONS_DOWN,
}
