"""What binds an account or a customer at a target: quotas that it was told, and pauses that it was asked for.

Judged by first bytes and by the answers that reached the shard. A permit that was taken before such an
answer may go out after it: those within the disk's slack are let pass.
"""

from collections import defaultdict
from collections.abc import Iterator
from math import inf

from msgspec import Struct

from orchestrator.domain.ids import JobId, TargetDomain, target_domain
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.requests.accounts import CREDENTIALS
from tests.simulation.history import AnswerHeard, History
from tests.simulation.paces import ROUNDING_S, Start, starts_by_domain
from tests.simulation.scenario import Scenario

UNAVAILABLE = 503


class Party(Struct, frozen=True):
    """Whom an answer may bind at a target: everything of a customer, or everything with the same
    credentials; a job's own ``account`` is its customer's.
    """

    domain: TargetDomain
    customer: str | None = None
    account: tuple[str, ...] = ()


def quotas_are_kept(scenario: Scenario, history: History) -> Iterator[str]:
    """From one answer to an account to the next that did not come before it, no more of its requests start
    than it has left, and they cost no more tokens. One that a later one overtook on the way to the same shard
    asks for nothing more: where a job's ``account`` joins what its target counts apart, by credentials, the
    latest word holds.
    """
    starts = _starts_by_party(history)
    for account, answers in _answers_by_account(history).items():
        for index, answer in enumerate(answers):
            if answer.quota is None or _overtaken(scenario, history, answers[: index + 1]):
                continue
            at = answer.quota.at
            later = (a.at for a in answers[index + 1 :] if a.quota is None or a.quota.at >= at)
            next_at = next(later, history.ended_at)
            until = min(next_at, answer.quota.until, _life_ends_at(scenario, history, answer))
            used = [
                _spec(history, start.request.job_id, start.request.url).cost
                for start in starts[account]
                if answer.at + ROUNDING_S < start.grant.taken_at and start.at < until - ROUNDING_S
            ]
            if len(used) > answer.quota.requests or sum(used) > answer.quota.tokens:
                yield f"{account} used {used} tokens until {until:.3f} s of {answer}"


def a_pause_binds_whom_it_is_meant_for(scenario: Scenario, history: History) -> Iterator[str]:
    """A 429 with ``Retry-After`` stops its account, or its customer where the request named none; a 503
    stops the customer in any case.
    """
    starts = _starts_by_party(history)
    for answer in history.heeded():
        if not answer.retry_after_s:
            continue
        customer, account = _parties(history, answer.job_id, answer.url)
        bound = customer if account is None or answer.status == UNAVAILABLE else account
        until = min(answer.at + answer.retry_after_s, _life_ends_at(scenario, history, answer)) - ROUNDING_S
        for start in starts[bound]:
            if answer.at + ROUNDING_S < start.grant.taken_at < until:
                yield f"{bound} was let out at {start.grant.at:.3f} s in spite of {answer}"


def a_told_pace_binds_who_heard_it(scenario: Scenario, history: History) -> Iterator[str]:
    """What a target asks of everybody and one customer alone hears binds that one, as long as it is told.
    Where accounts have queues, what they are told is theirs.
    """
    starts = _starts_by_party(history)
    queues = {target.host for target in scenario.targets if target.account_queues}
    for customer, answers in _answers_by_customer(history).items():
        if customer.domain.partition(":")[0] in queues:
            continue
        told = [answer for answer in answers if answer.steers]
        ends = [answer.at for answer in told[1:]] + [history.ended_at]
        for answer, next_at in zip(told, ends, strict=False):
            if answer.rps is None or answer.rps >= scenario.pace.rps:
                continue
            pace = Pace(answer.rps)
            until = min(next_at, answer.at + pace.lapse_s, _life_ends_at(scenario, history, answer))
            times = sorted(
                s.at for s in starts[customer] if answer.at + ROUNDING_S < s.grant.taken_at < until
            )
            for first, beyond in zip(times, times[pace.starts :], strict=False):
                if beyond - first < pace.window_s - ROUNDING_S:
                    yield f"{customer} started too much from {first:.3f} to {beyond:.3f} s for {answer}"


def _starts_by_party(history: History) -> defaultdict[Party, list[Start]]:
    found = defaultdict(list)
    for starts in starts_by_domain(history).values():
        for start in starts:
            for party in _parties(history, start.request.job_id, start.request.url):
                if party is not None:
                    found[party].append(start)
    return found


def _answers_by_account(history: History) -> dict[Party, list[AnswerHeard]]:
    found = defaultdict(list)
    for answer in history.heeded():
        _, account = _parties(history, answer.job_id, answer.url)
        if account is not None and answer.status != UNAVAILABLE:
            found[account].append(answer)
    return found


def _answers_by_customer(history: History) -> dict[Party, list[AnswerHeard]]:
    found = defaultdict(list)
    for answer in history.heeded():
        found[_parties(history, answer.job_id, answer.url)[0]].append(answer)
    return found


def _parties(history: History, job_id: JobId, url: str) -> tuple[Party, Party | None]:
    domain = target_domain(url)
    if job_id not in history.submitted:
        # Another invariant names it.
        return Party(domain), None
    job, spec = history.submitted[job_id], _spec(history, job_id, url)
    credentials = sorted((name.lower(), value) for name, value in spec.headers if name.lower() in CREDENTIALS)
    customer = Party(domain, customer=job.customer)
    if spec.account is not None:
        return customer, Party(domain, customer=job.customer, account=(spec.account,))
    words = tuple(word for pair in credentials for word in pair)
    return customer, Party(domain, account=words) if words else None


def _spec(history: History, job_id: JobId, url: str) -> JobSpec:
    return next(spec for spec in history.submitted[job_id].spec.steps if spec.url == url)


def _overtaken(scenario: Scenario, history: History, answers: list[AnswerHeard]) -> bool:
    """Whether the last answer was given before one that the same life of the shard had heard already."""
    *before, last = answers
    told_at = last.quota.at if last.quota is not None else inf
    later = (answer for answer in before if answer.quota is not None and answer.quota.at > told_at)
    return any(_life_ends_at(scenario, history, answer) > last.at for answer in later)


def _life_ends_at(scenario: Scenario, history: History, answer: AnswerHeard) -> float:
    """When the shard that heard something was followed by another: quotas die with it."""
    shard = scenario.owner(answer.domain)
    later = (began.at for began in history.shards if began.shard == shard and began.at > answer.at)
    return min(later, default=history.ended_at)
