"""The guarantee is the whole job's, its fallbacks included."""

import pytest

from orchestrator.domain.jobs.job import Fallback, JobSpec, Trigger, with_one_guarantee
from orchestrator.domain.jobs.policies import Guarantee
from tests.unit.domain.builders import a_spec

LEAST, MOST = Guarantee.AT_LEAST_ONCE, Guarantee.AT_MOST_ONCE


def chain(*guarantees: Guarantee) -> JobSpec:
    first, *rest = guarantees
    return a_spec(guarantee=first, fallback=Fallback(Trigger(), chain(*rest)) if rest else None)


@pytest.mark.parametrize("asked", [(MOST, LEAST), (LEAST, MOST), (LEAST, LEAST, MOST), (MOST, LEAST, LEAST)])
def test_all_steps_get_the_strictest_guarantee_that_one_of_them_asks_for(
    asked: tuple[Guarantee, ...],
) -> None:
    steps = with_one_guarantee(chain(*asked)).steps
    assert [step.guarantee for step in steps] == [MOST] * len(asked)


def test_a_job_whose_steps_agree_stays_as_it_is() -> None:
    assert with_one_guarantee(chain(LEAST, LEAST)) == chain(LEAST, LEAST)
