"""What bench.pacing_troubles makes of what its targets saw."""

import pytest

from bench.pacing_troubles import FULL, RPS, Arm, Seen, Target, jobs_for, judge
from bench.strict_server import Punctuality


def saw(arm: Arm, rps: float, broken_every: int, *, while_refused: float = 1.0) -> Target:
    target = Target(arm, FULL)
    since, until = FULL.refuses_s
    for number in range(int(FULL.seconds * rps)):
        at, broken = number / rps, number % broken_every == 0
        refuses = arm is Arm.ALL and since <= at < until
        if not refuses or number % int(1 / while_refused) == 0:
            target.seen.append(Seen(at, broken, not (broken or refuses)))
    target.listener.close()
    return target


@pytest.mark.parametrize("arm", [Arm.STATED, Arm.UNSTATED])
def test_starts_and_those_to_the_broken_path_are_bounded(arm: Arm) -> None:
    assert [figure.holds for figure in judge(saw(arm, 0.98 * RPS, 60))] == [True, True]
    assert [figure.holds for figure in judge(saw(arm, 0.5 * RPS, 20))] == [False, False]


def test_a_target_that_refuses_everything_is_asked_seldom_and_used_again() -> None:
    assert [figure.holds for figure in judge(saw(Arm.ALL, 0.98 * RPS, 10**6, while_refused=0.05))] == [
        True,
        True,
    ]
    assert [figure.holds for figure in judge(saw(Arm.ALL, 0.5 * RPS, 10**6))] == [False, False]


def test_one_job_in_a_hundred_goes_to_the_broken_path() -> None:
    urls = [job["url"] for job in jobs_for("h:1", 0, 1_000, Arm.STATED)]
    assert sum("/bad" in url for url in urls) == 10
    assert len(set(urls)) == 1_000


def test_a_loop_that_was_late_can_not_judge() -> None:
    assert Punctuality([0.2] * 100).too_late
    assert not Punctuality([0.001] * 100).too_late
