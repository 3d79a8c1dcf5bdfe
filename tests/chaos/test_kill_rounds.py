"""Kill -9 under load: whatever dies, every acknowledged job ends and its webhook arrives."""

from collections.abc import Iterator
from dataclasses import asdict

import pytest

from bench.kill_rounds import Campaign, Round, Victim, running_campaign
from tests.support.long import LONG, some_of

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

SEED = 20_260_711
PARTS = (Victim.SHARD, Victim.EXECUTOR, Victim.WEBHOOKS, Victim.RAYLET)


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    with running_campaign(SEED) as campaign:
        yield campaign


def assert_nothing_is_missing(found: Round) -> None:
    assert not found.void, asdict(found)
    assert found.passed, asdict(found)


def test_no_job_is_lost_when_everything_is_killed_at_once(campaign: Campaign) -> None:
    assert_nothing_is_missing(campaign.run(Victim.TREE))


@LONG
def test_no_job_is_lost_when_serve_alone_is_killed(campaign: Campaign) -> None:
    found = campaign.run(Victim.SERVE)

    assert_nothing_is_missing(found)
    assert found.left_over == 0


@pytest.mark.parametrize("victim", some_of(PARTS, Victim.SHARD))
def test_the_service_comes_back_by_itself_when_a_part_of_it_is_killed(
    campaign: Campaign, victim: Victim
) -> None:
    serve = campaign.service.process

    assert_nothing_is_missing(campaign.run(victim))

    assert campaign.service.process is serve
    assert serve.poll() is None
