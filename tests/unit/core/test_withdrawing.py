"""Jobs that end while they wait: what they leave in the queue holds up nobody."""

import pytest

from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.pacing import Pace
from tests.support.outlet import Outlet, SlidingWindow
from tests.support.rig import Rig, in_virtual_time


@in_virtual_time(Pace())
async def test_cancelled_jobs_take_no_turns_of_those_that_come_after_them(rig: Rig) -> None:
    cancelled = [await rig.submit(customer="cust_a") for _ in range(100)]
    for _ in range(100):
        await rig.submit(customer="cust_b")
    for job_id in cancelled:
        await rig.shard.cancel(job_id)
    began = rig.loop.time()
    await rig.ended(await rig.submit(customer="cust_a"))
    assert rig.loop.time() - began <= 2.0, "a turn of the other customer's, or two"


@in_virtual_time(Pace())
async def test_nothing_is_left_of_jobs_that_are_cancelled_while_they_wait(rig: Rig) -> None:
    cancelled = [await rig.submit() for _ in range(10)]
    for job_id in cancelled:
        await rig.shard.cancel(job_id)
    await rig.run()
    domain = next(iter(rig.shard.domains.values()))
    assert (domain.waiting, domain.in_flight, len(rig.shard.dispatcher)) == (0, 0, 0)


@pytest.mark.parametrize("left", ["x", "y"])
def test_the_next_behind_a_gate_goes_on_when_who_was_let_in_is_gone(left: str) -> None:
    headers = {"x-ezthrottle-rps": 1, "x-ezthrottle-max-concurrent": 10}
    outlet = Outlet(SlidingWindow(1, headers), pace=Pace(10.0, 10))
    # After a minute what one customer alone was told binds that customer, and no more the domain.
    outlet.put(60, account="x")
    outlet.run(80)
    before = len(outlet.starts)
    outlet.put(1, account="z")
    for account in ("x", "y"):
        outlet.put(3, account=account)
    outlet.run(0.1)
    for number in range(64, 67) if left == "x" else range(61, 64):
        outlet.limiter.withdraw(CustomerId("cust_a"), number, JobId(f"job_{number:09d}"))
    outlet.run(10)
    assert [start.ticket.account for start in outlet.starts[before:]] == ["z", *[left] * 3]
