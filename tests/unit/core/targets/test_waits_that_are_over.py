"""Refusals that name a wait which is over, or none that can be read: backing off goes on. In virtual time."""

from itertools import pairwise

import pytest

from orchestrator.domain.jobs.job import RetryPolicy
from orchestrator.domain.jobs.lifecycle import JobState
from tests.support.rig import FAST, Call, Reply, Rig, in_virtual_time

OVER = ["0", "-5", "soon", "", "1e-9", "Wed, 21 Oct 2015 07:28:00 GMT", "99999999999999999999", "0.0"]
BACKOFF_LEAST_S = 0.75 * (1 + 2 + 4 + 8 + 16)


@pytest.mark.parametrize("named", OVER)
@pytest.mark.parametrize("status", [429, 503])
def test_a_budget_of_retries_lasts_as_long_as_its_backoff(status: int, named: str) -> None:
    async def story(rig: Rig) -> None:
        rig.answer = lambda call: Reply(status=status, headers={"retry-after": named})
        began_s = rig.loop.time()
        done = await rig.run(retry_policy=RetryPolicy(max_retries=5))
        assert (done.state, len(rig.calls)) == (JobState.FAILED, 6)
        assert rig.calls[-1].at - began_s >= BACKOFF_LEAST_S

    in_virtual_time(FAST)(story)()


@pytest.mark.parametrize("named", OVER)
@pytest.mark.parametrize("status", [429, 503])
def test_without_a_policy_too_each_repeat_waits_longer_than_the_one_before(status: int, named: str) -> None:
    async def story(rig: Rig) -> None:
        rig.answer = lambda call: Reply(
            status=status if len(rig.calls) < 4 else 200, headers={"retry-after": named}
        )
        await rig.run(retry_policy=None)
        gaps = [late.at - early.at for early, late in pairwise(rig.calls)]
        assert all(gap >= 0.75 * 2**number for number, gap in enumerate(gaps))

    in_virtual_time(FAST)(story)()


@in_virtual_time()
async def test_a_first_refusal_waits_what_was_named_and_the_next_the_longer_of_that_and_its_backoff(
    rig: Rig,
) -> None:
    def answer(call: Call) -> Reply:
        return Reply(status=429 if len(rig.calls) < 6 else 200, headers={"retry-after": "1"})

    rig.answer = answer
    await rig.run(retry_policy=RetryPolicy(max_retries=9))
    gaps = [late.at - early.at for early, late in pairwise(rig.calls)]
    assert 1.0 <= gaps[0] <= 1.2
    assert all(gap >= 0.75 * 2**number for number, gap in enumerate(gaps[1:], 1))
