"""What refusals may do: to the rate, once for each job, and to a path class that refuses everything.

Judged by what each limiter made of each answer. That a class is in trouble is never taken on trust: it has to
have its reasons, and an answer ends it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from msgspec import Struct

from orchestrator.domain.ids import JobId
from orchestrator.domain.requests.path_class import path_class
from tests.simulation.history import History
from tests.simulation.lessons import DOMAIN_KEY, Lesson, LimiterLog, TroubledClass
from tests.simulation.paces import ROUNDING_S, PaceLine, Start, account_of_request, starts_by_domain
from tests.simulation.scenario import Scenario

JOBS_LEAST = 3
WITHIN_S = 60.0
OTHERS_LEAST = 4
SHARE = 0.02
TRIED_EVERY_MOST_S = 60.0
BACK_TO_BACK = 2


class _Span(Struct, frozen=True):
    """A class was in trouble. Times are virtual s."""

    of: TroubledClass
    since: float
    until: float


def trouble_has_its_reasons(scenario: Scenario, history: History) -> Iterator[str]:
    """A path class comes into trouble when three of its jobs were refused within a minute, none of it being
    answered, while requests of others were answered that started since.
    """
    for log in history.lessons:
        for index, lesson in enumerate(log.lessons):
            for began in lesson.after.in_trouble - lesson.before.in_trouble:
                if lack := _lacks(log.lessons[: index + 1], began):
                    yield f"{began} of {log.domain} is in trouble from {lesson.at:.3f} s, {lack}"


def an_answer_ends_trouble(scenario: Scenario, history: History) -> Iterator[str]:
    """One request that is let through shows that its path class is well."""
    for log in history.lessons:
        for lesson in log.lessons:
            own = {(None, lesson.ticket.path), (lesson.ticket.account, lesson.ticket.path)}
            if not lesson.refuses and (left := own & lesson.after.in_trouble):
                yield f"{left} of {log.domain} is in trouble after an answer at {lesson.at:.3f} s"


def trouble_binds_nobody_else(scenario: Scenario, history: History) -> Iterator[str]:
    """What a class in trouble is refused with, waits and budgets included, leaves everything as it was."""
    for log in history.lessons:
        for lesson in (lesson for lesson in log.lessons if lesson.contained):
            if new := lesson.after.limits - lesson.before.limits:
                yield f"{lesson.ticket} of {log.domain} bound others at {lesson.at:.3f} s: {new}"
            for key, cuts in lesson.after.cuts.items():
                if cuts - lesson.before.cuts.get(key, Counter()):
                    yield f"{lesson.ticket} of {log.domain} slowed others at {lesson.at:.3f} s"


def a_job_lowers_a_rate_once(scenario: Scenario, history: History) -> Iterator[str]:
    """A job bears witness to a rate once, until it is answered or what it did is taken back."""
    for log in history.lessons:
        counted: defaultdict[str | None, set[JobId]] = defaultdict(set)
        for lesson in log.lessons:
            for key, cuts in lesson.after.cuts.items():
                new = cuts - lesson.before.cuts.get(key, Counter())
                if twice := new.keys() & counted[key]:
                    yield f"{twice} lowered the rate of {log.domain} again at {lesson.at:.3f} s"
                counted[key] |= new.keys()
            answered = set() if lesson.refuses else {lesson.ticket.job_id}
            for key in counted:
                counted[key] = (counted[key] & lesson.after.cuts.get(key, Counter()).keys()) - answered


def what_trouble_explains_is_taken_back(scenario: Scenario, history: History) -> Iterator[str]:
    """When a class comes into trouble, what its refusals did to the rate is undone."""
    for log in history.lessons:
        refused: dict[tuple[JobId, str | None], TroubledClass] = {}
        for lesson in log.lessons:
            if not lesson.refuses:
                refused.pop((lesson.ticket.job_id, lesson.scope), None)
                continue
            refused[lesson.ticket.job_id, lesson.scope] = lesson.scope, lesson.ticket.path
            for scope, path in lesson.after.in_trouble - lesson.before.in_trouble:
                cuts = lesson.after.cuts.get(DOMAIN_KEY if scope is None else scope, ())
                if left := [job for job in cuts if refused.get((job, scope)) == (scope, path)]:
                    yield f"{left} of {path} still slow {log.domain} at {lesson.at:.3f} s"


def classes_in_trouble_share_a_fiftieth(scenario: Scenario, history: History) -> Iterator[str]:
    """All classes in trouble of a target get 2 % of its pace together, two starts of it back to back."""
    starts = starts_by_domain(history)
    queues = {target.host for target in scenario.targets if target.account_queues}
    for log in history.lessons:
        if log.domain.partition(":")[0] in queues:
            continue
        line, spans = PaceLine(scenario, history, log.domain), _spans(log)
        slow = [start for start in starts[log.domain] if _within(spans, start, history)]
        for first, last in zip(slow, slow[BACK_TO_BACK:], strict=False):
            rps = line.fastest(first.grant.at, last.grant.at)
            interval_s = min(1 / (SHARE * rps), TRIED_EVERY_MOST_S)
            if last.grant.at - first.grant.at < interval_s:
                yield f"{log.domain} got {BACK_TO_BACK + 1} starts in trouble until {last.grant.at:.3f} s"


def _lacks(lessons: list[Lesson], began: TroubledClass) -> str:
    """Say which reason a class lacks to be in trouble since the last lesson; empty where it lacks none."""
    (scope, path), now = began, lessons[-1].at
    run: list[Lesson] = []
    for lesson in lessons:
        if lesson.judged and (lesson.scope, lesson.ticket.path) == began:
            run.append(lesson)
        elif not lesson.refuses and lesson.ticket.path == path and scope in (None, lesson.ticket.account):
            run.clear()
    jobs = {lesson.ticket.job_id for lesson in run if lesson.at > now - WITHIN_S}
    if len(jobs) < JOBS_LEAST:
        return f"{len(jobs)} jobs of it having been refused"
    others = [
        lesson
        for lesson in lessons
        if not lesson.refuses and lesson.ticket.path != path and lesson.started_at >= run[0].started_at
    ]
    return "" if len(others) >= OTHERS_LEAST else f"{len(others)} others having been answered"


def _spans(log: LimiterLog) -> list[_Span]:
    """List from when until when each class was in trouble, as far as that is known."""
    began: dict[TroubledClass, float] = {}
    spans: list[_Span] = []
    for lesson in log.lessons:
        ended = began.keys() - lesson.after.in_trouble
        spans += [_Span(each, began.pop(each), lesson.at) for each in ended]
        began.update(dict.fromkeys(lesson.after.in_trouble - began.keys(), lesson.at))
    return [*spans, *(_Span(each, since, log.lessons[-1].at) for each, since in began.items())]


def _within(spans: list[_Span], start: Start, history: History) -> bool:
    """Whether a start's permit was taken while its class was in trouble."""
    spec_class = path_class(start.request.method, start.request.url)
    account = account_of_request(history, start.request)
    return any(
        span.of in ((None, spec_class), (account, spec_class))
        and span.since + ROUNDING_S < start.grant.taken_at < span.until
        for span in spans
    )
