"""One customer's large answers, hanging receivers and slow readers: ``make bench-memory``, made small."""

from dataclasses import asdict

import pytest

from bench.memory import KEPT_MIB, PEAK_MIB, Bench, Bystander
from bench.memory_attacks import ATTACKS
from bench.service import Service, create_key
from tests.support.long import some_of

pytestmark = [pytest.mark.service, pytest.mark.timeout(240)]

SOME = ("nul-hooks", "trickle", "readers")
LOOSE_TIMES = 10
"""The machine is shared. One reader thread for everything made others wait for five seconds."""


@pytest.mark.parametrize("name", some_of(SOME, "trickle"))
async def test_no_process_grows_by_the_product_of_its_limits_and_others_go_on(
    service: Service, name: str
) -> None:
    attacks = [attack for attack in ATTACKS if attack.name == name]
    with Bystander(
        service.base_url, create_key(service.data_dir, f"cust_beside_{name}")
    ).running() as bystander:
        bench = Bench(service, bystander, alone_s=1.0, hold_s=4.0)
        outcomes = await bench.run(attacks, lambda _: None)

    [outcome] = outcomes
    assert outcome.attack == name
    assert max(outcome.grown_mib.values()) <= PEAK_MIB, asdict(outcome)
    assert max(outcome.kept_mib.values()) <= KEPT_MIB, asdict(outcome)
    assert outcome.p99_ms <= LOOSE_TIMES * outcome.allowed_ms, asdict(outcome)
