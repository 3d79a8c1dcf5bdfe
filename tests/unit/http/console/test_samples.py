"""What the console samples while somebody looks, and that it stops."""

import asyncio

from orchestrator.adapters.http.console import pulse, starts
from orchestrator.adapters.http.console.pulse import Pulse
from orchestrator.adapters.http.console.starts import StartsSampler
from orchestrator.domain.ids import TargetDomain
from tests.unit.http.gateway import Gateway
from tests.unit.http.test_jobs import submitted


async def test_rates_are_differences_between_samples(gateway: Gateway) -> None:
    sampled = Pulse(gateway.backend.gateway.totals, gateway.clock)
    first, course = sampled.look()
    assert (first.accepted, course[0]) == (None, [])
    for number in range(4):
        await submitted(gateway, idempotent_key=str(number))
    gateway.clock.ahead_s += 2
    sampled._sample()
    rates, course = sampled.look()
    assert rates.accepted is not None
    assert 1.5 < rates.accepted <= 2
    assert len(course[0]) == 1


async def test_nothing_is_sampled_once_nobody_has_looked_for_long(gateway: Gateway) -> None:
    sampled = Pulse(gateway.backend.gateway.totals, gateway.clock)
    sampled.look()
    gateway.clock.ahead_s += pulse.GOES_ON_S + 1
    sampled._sample()
    assert sampled._next is None


async def test_a_targets_starts_are_counted_while_it_is_looked_at(gateway: Gateway) -> None:
    gateway.regions_up()
    domain = TargetDomain("203.0.113.7:80")
    await submitted(gateway)
    sampler = StartsSampler(gateway.backend.gateway.targets.look, gateway.clock)
    assert sampler.course(domain) == [[], [], []]
    gateway.answer_attempts()
    await asyncio.sleep(0)
    gateway.clock.ahead_s += 1
    sampler._sample(domain)
    times, started, paces = sampler.course(domain)
    assert (len(times), paces) == (1, [2.0])
    assert started[0] >= 0
    gateway.clock.ahead_s += starts.GOES_ON_S + 1
    sampler._sample(domain)
    assert sampler._watched == {}
