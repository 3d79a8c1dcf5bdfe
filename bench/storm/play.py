"""Plays a scenario to one arm: starts what it needs, lets it begin, and counts when it is over."""

import asyncio
import contextlib
import time

from bench.figures import percentile
from bench.service import Bystanders, cpu_seconds
from bench.storm.arms import Arm, Behind
from bench.storm.crew import Crew, running_crew
from bench.storm.orders import Order
from bench.storm.outcome import Costs, Outcome, judged
from bench.storm.scenarios import Scenario
from bench.storm.target import Target
from bench.strict_server import Punctuality, running_servers

BEGINS_IN_S = 0.5


async def play(scenario: Scenario, arm: Arm) -> Outcome:
    """Play a scenario to an arm that knows nothing of the target yet."""
    target = Target(scenario)
    with running_servers([target]) as watch, arm.behind(scenario, target.domain) as behind:
        async with running_crew(arm, behind.environment) as crew:
            url = f"http://{target.domain}"
            shares = (scenario.share(number, arm.clients) for number in range(arm.clients))
            await crew.order([Order(url, share) for share in shares])
            meter = Meter(arm, behind, crew, watch)
            began = time.monotonic() + BEGINS_IN_S
            target.begin(began)
            crew.begin(began)
            await _over(scenario, arm, target, crew)
            costs = meter.read()
    return judged(scenario, arm.name, target.log, costs)


async def _over(scenario: Scenario, arm: Arm, target: Target, crew: Crew) -> None:
    """Wait until every job has ended, or patience has."""
    with contextlib.suppress(TimeoutError):
        if arm.knows_ends:
            await asyncio.wait_for(crew.ended(), scenario.patience_s)
        else:
            await asyncio.to_thread(target.finished.wait, scenario.patience_s)


class Meter:
    """Counts what an arm costs, from its making on."""

    def __init__(self, arm: Arm, behind: Behind, crew: Crew, watch: Punctuality) -> None:
        self._arm = arm
        self._behind = behind
        self._crew = crew
        self._watch = watch
        self._others = Bystanders()
        self._clients_s = crew.cpu_s()
        self._behind_s = self._behind_cpu_s()
        watch.late_s.clear()

    def read(self) -> Costs:
        """Give the costs so far."""
        clients_s, behind_s = self._crew.cpu_s() - self._clients_s, self._behind_cpu_s() - self._behind_s
        return Costs(
            clients_cpu_s=clients_s if self._arm.serves else clients_s + behind_s,
            service_cpu_s=behind_s if self._arm.serves else 0.0,
            late_ms=percentile(self._watch.late_s, 0.999) * 1000,
            others_cores=self._others.cores(),
        )

    def _behind_cpu_s(self) -> float:
        return sum(cpu_seconds(pid) for pid in self._behind.pids())
