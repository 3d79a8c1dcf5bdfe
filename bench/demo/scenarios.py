"""What the demo asks of the service, and what must come of it.

Each scenario talks to a target of its own. What was not so, it notes in ``stage.checks``.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from bench.demo.stage import Checks, Finished, Stage, Submission
from bench.demo.timeline import Outcome, Timeline, timeline_of
from bench.loopback import Reply, Seen, Site
from ezthrottle import Step, StepType

REGIONS = ("iad", "lax", "ord")
SPEED_S = {"iad": 0.30, "lax": 0.08, "ord": 0.18}
FASTEST = "lax"
TEACHES_PACE = {"X-EZTHROTTLE-RPS": "50", "X-EZTHROTTLE-MAX-CONCURRENT": "10"}
RETRY_AFTER_S = 1
PACED_JOBS = 5
DEFAULT_RPS = 2
JITTER_S = 0.05
"""A busy machine lets the target notice a request late, which brings it nearer to the next."""
ENDS_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Story:
    """What happened, in a line; ``took_ms`` from submission to webhook; and timelines worth a look."""

    happened: str
    took_ms: int
    timelines: Sequence[Timeline] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something to ask of the service. Where ``play`` can't go on it raises NotSo, or an error of the SDK."""

    name: str
    asked: str
    play: Callable[[Stage], Story]


def race(stage: Stage) -> Story:
    """Race three regions at a target that has named a pace at which all three may start."""
    target = stage.target(lambda request: replace(_at_regional_speed(request), headers=TEACHES_PACE))
    stage.run(_step(target.url("/pace")))
    finished = stage.run(_step(target.url("/quote")).regions(list(REGIONS)))
    stage.checks.equal("the submission's status", "racing", finished.submission.answer["status"])
    timeline = timeline_of("race", finished)
    stage.checks.equal("the legs", "iad cancelled, lax won, ord cancelled", _legs(timeline))
    stage.checks.equal("the webhook's region", FASTEST, finished.delivery.document["region"])
    closed = _hung_up_on(target, 1 + len(REGIONS))
    stage.checks.equal("losers whose connections closed before their answers", ["iad", "ord"], closed)
    happened = f"{_winner(timeline)} won; {', '.join(closed) or 'nobody'} closed before answering"
    return Story(happened, finished.took_ms, [timeline])


def paced_race(stage: Stage) -> Story:
    """Race three regions at a target that has named no pace: two start, and one is never sent."""
    target = stage.target(_at_regional_speed)
    finished = stage.run(_step(target.url("/quote")).regions(list(REGIONS)))
    timeline = timeline_of("paced-race", finished)
    legs = {bar.region: bar.outcome for bar in timeline.bars}
    started = [region for region, outcome in legs.items() if outcome is not Outcome.SKIPPED]
    by_speed = sorted(started, key=lambda region: SPEED_S[region])
    closed = _hung_up_on(target, DEFAULT_RPS)
    stage.checks.equal("legs that started", DEFAULT_RPS, len(started))
    stage.checks.equal("the leg that won", by_speed[:1], [_winner(timeline)])
    stage.checks.equal("losers whose connections closed before their answers", by_speed[1:], closed)
    stage.checks.equal("requests at the target", DEFAULT_RPS, len(target.seen()))
    skipped = ", ".join(region for region in REGIONS if legs.get(region) is Outcome.SKIPPED)
    happened = f"{_winner(timeline)} won; {skipped or 'nobody'} was never sent"
    return Story(happened, finished.took_ms, [timeline])


def retry(stage: Stage) -> Story:
    """Answer 429 at first: the job is repeated in its region, not before the target allows."""

    def answer(request: Seen) -> Reply:
        if _attempt(request) == 1:
            return Reply(status=HTTPStatus.TOO_MANY_REQUESTS, headers={"Retry-After": str(RETRY_AFTER_S)})
        return _at_regional_speed(request)

    target = stage.target(answer)
    step = _step(target.url("/charge")).regions([FASTEST])
    finished = stage.run(step.retry_policy({"max_retries": 3, "retry_codes": [429]}))
    waited_s = min(_gaps_s([request.at for request in target.seen()], 1), default=0.0)
    _check_attempts(stage.checks, finished, [429, 200], [FASTEST, FASTEST])
    stage.checks.true(f"the retry came {RETRY_AFTER_S} s later", waited_s >= RETRY_AFTER_S)
    happened = f"{_path(finished)}, {waited_s:.2f} s later"
    return Story(happened, finished.took_ms, [timeline_of("retry", finished)])


def reroute(stage: Stage) -> Story:
    """Answer 500 in one region: the job goes to another."""

    def answer(request: Seen) -> Reply:
        reply = _at_regional_speed(request)
        failing = _region(request) == "iad"
        return replace(reply, status=HTTPStatus.INTERNAL_SERVER_ERROR) if failing else reply

    target = stage.target(answer)
    finished = stage.run(_step(target.url("/charge")).regions(["iad"]))
    elsewhere = finished.delivery.document["region"]
    _check_attempts(stage.checks, finished, [500, 200], ["iad", elsewhere])
    stage.checks.true("the job ended in another region than iad", elsewhere in {"lax", "ord"})
    return Story(_path(finished), finished.took_ms, [timeline_of("reroute", finished)])


def duplicate(stage: Stage) -> Story:
    """Submit the same order three times, the last time after its end: the target hears of it once."""
    target = stage.target(_at_regional_speed)

    def order(number: int) -> Step:
        body = json.dumps({"order": number})
        return _step(target.url("/orders")).method("POST").body(body).idempotent_key(f"order_{number}")

    first, second = stage.submit(order(42)), stage.submit(order(42))
    finished = stage.finish(first)
    third = stage.submit(order(42))
    # Jobs for one target keep their order: once a later one has come, nothing of this one is still to come.
    stage.run(order(43))
    orders = [request.json()["order"] for request in target.seen()]
    for number, again in enumerate((second, third), start=2):
        stage.checks.equal(f"submission {number}'s status", "duplicate", again.answer["status"])
        stage.checks.equal(f"submission {number}'s job", first.job_id, again.job_id)
    stage.checks.equal("orders at the target", [42, 43], orders)
    jobs = len({first.job_id, second.job_id, third.job_id})
    return Story(f"{_count(jobs, 'job')}, {_count(orders.count(42), 'request')}", finished.took_ms)


def pace(stage: Stage) -> Story:
    """Submit five jobs at once to a target that has named no pace: two a second arrive."""
    target = stage.target(_at_regional_speed)
    submissions = [stage.submit(_step(target.url(f"/items/{n}"))) for n in range(PACED_JOBS)]
    jobs = [stage.finish(submission) for submission in submissions]
    arrivals = [request.at for request in target.seen()]
    stage.checks.equal("requests at the target", PACED_JOBS, len(arrivals))
    closest_s = min(_gaps_s(arrivals, DEFAULT_RPS), default=0.0)
    stage.checks.true(f"at most {DEFAULT_RPS} arrivals in any second", closest_s >= 1.0 - JITTER_S)
    offsets = " ".join(f"{(arrived_s - arrivals[0]) * 1000:.0f}" for arrived_s in arrivals)
    took_ms = max(job.delivery.arrived_ms for job in jobs) - submissions[0].at_ms
    return Story(f"arrived at {offsets} ms", took_ms)


def fallback(stage: Stage) -> Story:
    """Answer 500, then 404: the job goes down its chain of fallbacks, each at a target of its own."""
    failing = stage.target(lambda _: Reply(status=HTTPStatus.INTERNAL_SERVER_ERROR))
    missing = stage.target(lambda _: Reply(status=HTTPStatus.NOT_FOUND))
    sound = stage.target(_at_regional_speed)
    chain = _step(failing.url("/charge")).fallback(_step(missing.url("/charge")), trigger_on_error=[500])
    finished = stage.run(chain.fallback(_step(sound.url("/charge")), trigger_on_error=[404]))
    steps = [attempt["step"] for attempt in finished.attempts]
    stage.checks.equal("the steps", ["primary", "fallback_1", "fallback_2"], steps)
    stage.checks.equal("the webhook's step", "fallback_2", finished.delivery.document["step"])
    stage.checks.equal("the answers", [500, 404, 200], finished.status_codes)
    answers = zip(steps, finished.status_codes, strict=True)
    return Story(", ".join(f"{step} {code}" for step, code in answers), finished.took_ms)


def workflow(stage: Stage) -> Story:
    """Charge, and on its success send a receipt: a job of its own, with a signed webhook of its own."""
    target = stage.target(_at_regional_speed)
    receipt = _step(target.url("/receipt")).method("POST").webhooks([{"url": stage.hook}])
    alert = _step(target.url("/alert")).method("POST")
    charge = _step(target.url("/charge")).method("POST").on_success(receipt).on_failure(alert)
    finished = stage.run(charge)
    children = finished.job["timeline"]["children"]
    stage.checks.equal("the children", ["on_success"], [child["place"] for child in children])
    for child in children:
        stage.finish(Submission(finished.submission.at_ms, child))
    paths = [request.path for request in target.seen()]
    stage.checks.equal("requests at the target", ["/charge", "/receipt"], paths)
    return Story(f"{' then '.join(paths)}; two signed webhooks", finished.took_ms)


SCENARIOS = (
    Scenario("race", "GET in iad, lax, ord; the target allows 50 a second", race),
    Scenario("paced-race", "GET in iad, lax, ord; the target names no pace", paced_race),
    Scenario("retry", "GET in lax; 429, Retry-After: 1 at first", retry),
    Scenario("reroute", "GET in iad, where the target answers 500", reroute),
    Scenario("duplicate", "POST an order three times, one key", duplicate),
    Scenario("fallback", "GET with two fallbacks; 500, then 404", fallback),
    Scenario("workflow", "POST with an on_success and an on_failure", workflow),
    Scenario("pace", "5 jobs at once; the target names no pace", pace),
)


def _step(url: str) -> Step:
    return Step().url(url).type(StepType.PERFORMANCE)


def _at_regional_speed(request: Seen) -> Reply:
    region = _region(request)
    return Reply(body=json.dumps({"region": region}).encode(), after_s=SPEED_S.get(region, 0.0))


def _region(request: Seen) -> str:
    return request.headers.get("x-ezthrottle-region", "")


def _attempt(request: Seen) -> int:
    return int(request.headers.get("x-ezthrottle-attempt", "0"))


def _hung_up_on(target: Site, count: int) -> list[str]:
    """Wait until so many requests have ended; list the regions that did not wait for their answers."""

    def ended(seen: Sequence[Seen]) -> bool:
        return sum(request.ended_at < float("inf") for request in seen) >= count

    with contextlib.suppress(TimeoutError):
        target.wait(ended, timeout_s=ENDS_WITHIN_S)
    return sorted(_region(request) for request in target.seen() if request.closed_at is not None)


def _check_attempts(checks: Checks, finished: Finished, statuses: list[int], regions: list[str]) -> None:
    checks.equal("the attempts' status codes", statuses, finished.status_codes)
    checks.equal("the attempts' regions", regions, finished.regions)
    checks.equal("the webhook's attempts", len(statuses), finished.delivery.document["attempts"])


def _gaps_s(times_s: Sequence[float], apart: int) -> list[float]:
    """Measure from each time to the one ``apart`` places later."""
    return [later - earlier for earlier, later in zip(times_s, times_s[apart:], strict=False)]


def _legs(timeline: Timeline) -> str:
    return ", ".join(sorted(f"{bar.region} {bar.outcome}" for bar in timeline.bars))


def _winner(timeline: Timeline) -> str:
    return ", ".join(bar.region for bar in timeline.bars if bar.outcome is Outcome.WON) or "nobody"


def _path(finished: Finished) -> str:
    attempts = zip(finished.regions, finished.status_codes, strict=True)
    return ", then ".join(f"{region} answered {code}" for region, code in attempts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
