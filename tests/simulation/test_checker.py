"""What the checker lets pass, and what it names, in histories so short that they can be read."""

from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.domain.ids import AttemptId, CustomerId, ShardName, target_domain
from orchestrator.domain.jobs.job import Fallback, Job, Trigger, TriggerKind
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.pace.pacing import Pace
from orchestrator.ports.store import StoredJob
from tests.simulation.bounds import quotas_are_kept
from tests.simulation.faults import Actor, Partition
from tests.simulation.history import (
    AnswerHeard,
    Frozen,
    Grant,
    History,
    QuotaTold,
    ShardBegan,
    TargetRequest,
)
from tests.simulation.legs import (
    ENOUGH_JOBS,
    NOTICED_WITHIN_S,
    fallbacks_begin_rightly,
    little_goes_where_nothing_arrives,
)
from tests.simulation.paces import the_pace_is_never_exceeded
from tests.simulation.scenario import NetworkPlan, Scenario
from tests.unit.domain.builders import IAD, a_job, a_spec

FIRST, SECOND, THIRD = (f"http://{name}.test/" for name in ("first", "second", "third"))
LATE = Trigger(kind=TriggerKind.ON_TIMEOUT, timeout_ms=50)
REFUSED = Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset({429}))
ANN, BOB, CEM = CustomerId("cust_ann"), CustomerId("cust_bob"), CustomerId("cust_cem")
BASE, SLOW, SLOWER = Pace(100, 10), Pace(1, 10), Pace(0.5, 10)
FASTER, FASTEST = Pace(200, 10), Pace(400, 10)
MUCH_LEFT, LITTLE_LEFT = QuotaTold(1.5, 5, 40.0, 8.0), QuotaTold(1.0, 1, 2.0, 9.0)
PLAN = Scenario(
    seed=0, pace=BASE, targets=(), receivers=(), jobs=(), network=NetworkPlan(base_s=()), disk_s=(0, 0)
)


class Story:
    """A history that is told request by request; each job's number is the count of those before it."""

    def __init__(self) -> None:
        self.history = History()

    def submit(self, job: Job) -> Job:
        """A job reached the disk, and goes on for ever."""
        self.history.submitted[job.id] = job
        self.history.final[job.id] = StoredJob(
            job=job, state=JobState.RUNNING, course=None, result=None, ended_ms=None, deliveries=()
        )
        return job

    def sent(self, job: Job, url: str, at: float, *, status: int = 200) -> None:
        """A job's first request of a step was let out, and reached its target."""
        step = next(step for step, spec in enumerate(job.spec.steps) if spec.url == url)
        number, domain = step + 1, target_domain(url)
        what: dict[str, Any] = {"method": "GET", "url": url, "body": None, "region": IAD}
        self.history.requests.append(
            TargetRequest(
                **what,
                domain=domain,
                job_id=job.id,
                number=number,
                first_byte_at=at,
                status=status,
                closed_at=at,
            )
        )
        attempt = AttemptId(f"{job.id}.{step}")
        self.history.grants.append(
            Grant(at, at, attempt, job.id, number, step, 0, IAD, domain, url, again=False)
        )
        self.history.ended_at = at

    def told(
        self, customer: CustomerId, at: float, pace: Pace | None = None, quota: QuotaTold | None = None
    ) -> None:
        """A customer's request was answered, by a target that may have stated its pace, or what is left."""
        job = self.submit(a_job(len(self.history.submitted), customer=customer, url=FIRST, account="own"))
        self.sent(job, FIRST, at)
        rps, most = (pace.rps, pace.max_concurrent) if pace else (None, None)
        self.history.answers.append(
            AnswerHeard(at, job.domain, job.id, 1, FIRST, 200, rps, most, quota=quota)
        )

    @property
    def too_fast(self) -> list[str]:
        """What is said of its pace."""
        return list(the_pace_is_never_exceeded(PLAN, self.history))

    @property
    def overdrawn(self) -> list[str]:
        """What is said of quotas."""
        return list(quotas_are_kept(PLAN, self.history))


def shut_at(url: str, status: int) -> Story:
    """Let so many jobs fail at a target that its breakers may be open."""
    story = Story()
    for number in range(ENOUGH_JOBS):
        story.sent(story.submit(a_job(number, url=url)), url, 1.0, status=status)
    return story


def with_two_fallbacks(first: Trigger, second: Trigger) -> Job:
    last = Fallback(second, a_spec(url=THIRD))
    return a_job(99, url=FIRST, fallback=Fallback(first, a_spec(url=SECOND, fallback=last)))


def test_a_step_whose_trigger_does_not_match_what_shut_the_way_is_passed_over() -> None:
    story = shut_at(FIRST, 503)
    story.sent(story.submit(with_two_fallbacks(LATE, Trigger())), THIRD, 2.0)
    assert not list(fallbacks_begin_rightly(PLAN, story.history))


def test_a_way_that_was_shut_explains_no_fallback_that_waits_for_other_codes() -> None:
    story = shut_at(FIRST, 503)
    story.sent(story.submit(with_two_fallbacks(LATE, REFUSED)), THIRD, 2.0)
    assert list(fallbacks_begin_rightly(PLAN, story.history))


def test_a_way_that_was_shut_to_another_target_explains_no_fallback() -> None:
    story = shut_at("http://elsewhere.test/", 503)
    story.sent(story.submit(with_two_fallbacks(LATE, Trigger())), THIRD, 2.0)
    assert list(fallbacks_begin_rightly(PLAN, story.history))


def who_was_told_for_a_minute() -> Story:
    """Ann alone was told of a lower pace more than a minute ago: what more she is told binds her."""
    story = Story()
    story.told(ANN, 1.0, SLOWER)
    story.told(BOB, 70.0, SLOW)
    story.told(ANN, 80.0, SLOWER)
    return story


def test_whoever_was_told_a_pace_for_a_minute_alone_holds_nobody_else_to_it() -> None:
    story = who_was_told_for_a_minute()
    story.told(BOB, 81.1)
    assert not story.too_fast


def test_what_held_before_holds_on_for_all_others() -> None:
    story = who_was_told_for_a_minute()
    story.told(BOB, 81.1)
    story.told(BOB, 81.2)
    assert story.too_fast


def test_what_two_were_told_within_a_minute_binds_all() -> None:
    story = Story()
    story.told(ANN, 1.0, SLOWER)
    story.told(BOB, 70.0, SLOWER)
    story.told(ANN, 80.0, SLOWER)
    story.told(BOB, 81.1)
    assert story.too_fast


def test_the_first_minute_of_what_one_is_told_binds_all() -> None:
    story = Story()
    story.told(ANN, 1.0, SLOWER)
    story.told(BOB, 2.1)
    assert story.too_fast


def test_whoever_is_alone_at_a_target_keeps_to_what_it_is_told() -> None:
    story = Story()
    for at in (1.0, 70.0, 71.1):
        story.told(ANN, at, SLOWER)
    assert story.too_fast


def many_at(story: Story, customer: CustomerId, at: float, count: int) -> None:
    for _ in range(count):
        job = story.submit(a_job(len(story.history.submitted), customer=customer, url=FIRST, account="own"))
        story.sent(job, FIRST, at)
    story.history.ended_at = at + 1


@pytest.mark.parametrize("lowered", [SLOW, FASTER])
def test_what_another_was_told_holds_again_after_what_one_alone_was_told(lowered: Pace) -> None:
    story = Story()
    story.told(ANN, 1.0, FASTEST)
    story.told(BOB, 3.0, lowered)
    many_at(story, ANN, 70.0, 400)
    assert not story.too_fast
    many_at(story, ANN, 70.0, 1)
    assert story.too_fast


def test_what_two_were_told_within_a_minute_replaces_what_a_third_was_told() -> None:
    story = Story()
    story.told(ANN, 1.0, SLOW)
    story.told(CEM, 3.0, FASTEST)
    story.told(BOB, 5.0, SLOW)
    many_at(story, ANN, 70.0, 101)
    assert story.too_fast


def test_whoever_was_told_more_and_then_less_goes_back_to_the_base() -> None:
    story = Story()
    story.told(ANN, 1.0, FASTEST)
    story.told(ANN, 3.0, SLOW)
    many_at(story, ANN, 70.0, 101)
    assert story.too_fast


def test_an_answer_that_a_later_one_overtook_asks_for_nothing_more() -> None:
    story = Story()
    story.told(ANN, 2.0, quota=MUCH_LEFT)
    story.told(ANN, 2.1, quota=LITTLE_LEFT)
    many_at(story, ANN, 3.0, 4)
    assert not story.overdrawn


def test_what_a_later_answer_told_holds_on_when_one_arrives_that_it_overtook() -> None:
    story = Story()
    story.told(ANN, 2.0, quota=QuotaTold(1.5, 1, 2.0, 8.0))
    story.told(ANN, 2.1, quota=QuotaTold(1.0, 5, 40.0, 9.0))
    many_at(story, ANN, 3.0, 3)
    assert story.overdrawn


def test_an_answer_that_no_other_overtook_is_kept_to() -> None:
    story = Story()
    story.told(ANN, 2.0, quota=LITTLE_LEFT)
    many_at(story, ANN, 3.0, 2)
    assert story.overdrawn


def test_what_an_earlier_life_of_a_shard_heard_overtakes_nothing() -> None:
    story = Story()
    story.told(ANN, 2.0, quota=MUCH_LEFT)
    story.history.shards.append(ShardBegan(2.05, ShardName(Actor.SHARD), 2, {}))
    story.told(ANN, 2.1, quota=LITTLE_LEFT)
    many_at(story, ANN, 3.0, 2)
    assert story.overdrawn


@pytest.mark.parametrize(("frozen_s", "excused"), [(0.0, False), (0.9, False), (1.1, True)])
def test_a_shard_notices_that_nothing_arrives_in_the_time_that_it_has(frozen_s: float, excused: bool) -> None:
    job, url = a_job(1, url=FIRST), FIRST
    history, cut = History(), Partition(IAD, 1.0, 9.0)
    for number, at in enumerate((2.0, 3.0 + NOTICED_WITHIN_S)):
        attempt = AttemptId(f"{Actor.SHARD}:1.{number}")
        history.grants.append(Grant(at, at, attempt, job.id, number, 0, 0, IAD, job.domain, url, again=False))
    history.frozen += [Frozen(Actor.SHARD, 2.1, 2.1 + frozen_s), Frozen(Actor.OTHER_SHARD, 2.1, 5.0)]
    late = list(little_goes_where_nothing_arrives(replace(PLAN, faults=(cut,)), history))
    assert bool(late) is not excused
