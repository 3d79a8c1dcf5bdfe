"""An outage of one target under load: the real shard and executors, minutes of it in virtual time.

``python -m tests.simulation.outage`` plays the full one: 15 minutes at 1,000 jobs a second.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from orchestrator.domain.exchange import Fault
from orchestrator.domain.ids import JobId
from orchestrator.domain.lifecycle import JobState
from orchestrator.domain.pacing import Pace
from orchestrator.ports.store import Accepted, Duplicate, Ending
from tests.support.rig import IAD, Call, Reply, Rig, RigStore
from tests.support.virtual_loop import VirtualLoop

BEFORE_S = 10
AFTER_S = 60
FULL_RATE_WITHIN_S = 10
SPARE_PACE = 1.2
"""The target bears this much more than what comes, and no more: it is to catch up, and not to fall again."""
KINDS = {
    "refused": Reply(fault=Fault.CONNECT, after_s=0.001),
    "500": Reply(status=500),
    "503": Reply(status=503),
    "503 with Retry-After": Reply(status=503, headers={"retry-after": "2"}),
    "hangs": Reply(after_s=3_600.0),
}


class LeanStore(RigStore):
    """Counts the jobs that end, and forgets them; none comes to its deadline here."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: Counter[JobState] = Counter()

    async def end(self, ending: Ending) -> Sequence[Accepted | Duplicate]:
        """Count a job's end."""
        self.ended[ending.state] += 1
        row = self._rows.pop(ending.job_id)
        del self._keys[row.job.customer, row.job.idempotent_key]
        return ()

    async def overdue(self, now_ms: int, most: int) -> Sequence[JobId]:
        """List nothing: going through a million jobs each second would show nothing."""
        return ()


@dataclass(slots=True, kw_only=True)
class Outage:
    """What happened, by whole virtual seconds."""

    rate: int
    outage_s: int
    jobs: Counter[int] = field(default_factory=Counter)
    sent: Counter[int] = field(default_factory=Counter)
    answered: list[float] = field(default_factory=list)
    overrun: int = 0
    """Requests that the target refused once it was back, for there were too many in a second."""
    failed: int = 0

    @property
    def over_s(self) -> int:
        """When the target is back."""
        return BEFORE_S + self.outage_s

    @property
    def sent_per_job(self) -> float:
        """Requests per job while the target is away."""
        seconds = range(BEFORE_S, self.over_s)
        return sum(self.sent[s] for s in seconds) / sum(self.jobs[s] for s in seconds)

    @property
    def failed_share(self) -> float:
        """Jobs that ended failed, of those that came while the target was away."""
        return self.failed / sum(self.jobs[s] for s in range(BEFORE_S, self.over_s))

    @property
    def rate_after(self) -> float:
        """Answers after the target had its time to come back, of those that its pace allows."""
        return len(self._late_answers()) / ((AFTER_S - FULL_RATE_WITHIN_S) * self.rate * SPARE_PACE)

    @property
    def longest_gap_s(self) -> float:
        """The longest silence from then on: starts come in bursts, a window apart."""
        answers = self._late_answers()
        return max((after - before for before, after in pairwise(answers)), default=float("inf"))

    def _late_answers(self) -> list[float]:
        first_s = self.over_s + FULL_RATE_WITHIN_S
        return [at for at in self.answered if first_s <= at < self.over_s + AFTER_S]


def play(rate: int, outage_s: int, kind: str) -> Outage:
    """Let ``rate`` jobs a second come before, in and after an outage."""
    loop = VirtualLoop(Random(1))
    # What is in flight at most is what the target takes in its usual answer time, with room.
    rig = Rig(loop, Pace(rate * SPARE_PACE, max(2, rate)))
    rig.store = store = LeanStore()
    outage = Outage(rate=rate, outage_s=outage_s)
    loop.run(_play(rig, outage, KINDS[kind]))
    outage.failed = store.ended[JobState.FAILED]
    return outage


async def _play(rig: Rig, outage: Outage, broken: Reply) -> None:
    loop, random = rig.loop, Random(2)
    rig.log = False

    def answer(call: Call) -> Reply:
        outage.sent[int(call.at)] += 1
        if BEFORE_S <= call.at < outage.over_s:
            return broken
        if outage.sent[int(call.at)] > 1.05 * outage.rate * SPARE_PACE:
            outage.overrun += 1
            return Reply(status=503)
        outage.answered.append(call.at)
        return Reply(after_s=random.uniform(0.02, 0.1))

    rig.answer = answer
    await rig.begin()
    ends_at = outage.over_s + AFTER_S
    while (now := loop.time()) < ends_at:
        for _ in range(max(1, outage.rate // 100)):
            await rig.submit(regions=(IAD,))
            outage.jobs[int(now)] += 1
        await asyncio.sleep(max(0.01, 1 / outage.rate))
    await rig.shard.close()


def main() -> None:
    """Play the full outage in every way, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1_000, help="jobs per second")
    parser.add_argument("--minutes", type=float, default=15.0, help="how long the target is away")
    parser.add_argument("--kind", choices=KINDS, action="append", help="how it is away; every way by default")
    options = parser.parse_args()
    for kind in options.kind or KINDS:
        outage = play(options.rate, int(options.minutes * 60), kind)
        print(  # noqa: T201  # what the command is for
            f"{kind}: sent/jobs {outage.sent_per_job:.5f} (<= 1.1), "
            f"failed {outage.failed_share:.4%} (<= 0.1%), "
            f"from {FULL_RATE_WITHIN_S} s after it {outage.rate_after:.1%} of the pace (>= 95%), "
            f"longest gap {outage.longest_gap_s:.2f} s (<= 2), refused as too many {outage.overrun} (0)",
            flush=True,
        )


if __name__ == "__main__":
    main()
