"""An outage of one target under load: the real shard and executors, minutes of it in virtual time.

``python -m tests.simulation.outage`` plays the full one: 15 minutes at 1,000 jobs a second.
"""

import argparse
import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from random import Random

from msgspec import Struct

from orchestrator.adapters.memory.tables import Tables
from orchestrator.domain.exchange import Fault
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.pace.pacing import Pace
from orchestrator.ports.store import Accepted, Duplicate, Ending
from tests.support.rig import IAD, Call, Reply, Rig, RigJobs, RigStore
from tests.support.virtual_loop import VirtualLoop

BEFORE_S = 10
AFTER_S = 60
FULL_RATE_WITHIN_S = 10
SPARE_PACE = 1.2
"""The target bears this much more than what comes, and no more: it is to catch up, and not to fall again."""
WINDOW_S = 1.0
FLAPS_EVERY_S = 7.0


class Away(Struct, frozen=True):
    """How a target is away; for ``well_s`` of every seven seconds it is well all the same."""

    reply: Reply
    well_s: float = 0.0

    def meets(self, call: Call) -> bool:
        """Whether it is away at this moment."""
        return call.at % FLAPS_EVERY_S >= self.well_s


KINDS = {
    "refused": Away(Reply(fault=Fault.CONNECT, after_s=0.001)),
    "500": Away(Reply(status=500)),
    "503": Away(Reply(status=503)),
    "503 with Retry-After": Away(Reply(status=503, headers={"retry-after": "2"})),
    "503 but for moments": Away(Reply(status=503), well_s=0.3),
    "hangs": Away(Reply(after_s=3_600.0)),
}


class Known(StrEnum):
    """How what the target bears is known."""

    CONFIGURED = "configured"
    RAISED = "raised"
    """The operator knows nothing; the target names its pace with every answer."""
    LOWERED = "lowered"
    """The operator takes it for twice as fast; the target names its pace."""
    UNNAMED = "unnamed"
    """The operator takes it for twice as fast, and the target answers 429 to what is too much."""

    def pace(self, borne: Pace) -> Pace:
        """The operator's pace for a target that bears ``borne``."""
        match self:
            case Known.CONFIGURED:
                return borne
            case Known.RAISED:
                return Pace()
            case Known.LOWERED | Known.UNNAMED:
                return Pace(2 * borne.rps, 2 * borne.max_concurrent)

    def headers(self, borne: Pace) -> dict[str, str]:
        """What each answer says of it."""
        if self in (Known.CONFIGURED, Known.UNNAMED):
            return {}
        return {
            "x-ezthrottle-rps": str(borne.rps),
            "x-ezthrottle-max-concurrent": str(borne.max_concurrent),
        }


class LeanJobs(RigJobs):
    """Counts the jobs that end, and forgets them; none comes to its deadline here."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        self.ended: Counter[JobState] = Counter()

    async def end(self, ending: Ending) -> Sequence[Accepted | Duplicate]:
        """Count a job's end."""
        self.ended[ending.state] += 1
        row = self._tables.rows.pop(ending.job_id)
        del self._tables.keys[row.job.customer, row.job.idempotent_key]
        return ()

    async def overdue(self, now_ms: int, most: int) -> Sequence[JobId]:
        """List nothing: going through a million jobs each second would show nothing."""
        return ()


class LeanStore(RigStore):
    """A store that keeps none of the jobs that have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: LeanJobs = LeanJobs(self.tables)


@dataclass(slots=True, kw_only=True)
class Outage:
    """What happened, by whole virtual seconds."""

    rate: int
    outage_s: int
    jobs: Counter[int] = field(default_factory=Counter)
    sent: Counter[int] = field(default_factory=Counter)
    answered: list[float] = field(default_factory=list)
    overrun: int = 0
    """Requests that the target refused once it was back, for there were too many in a rolling second."""
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
    def overrun_share(self) -> float:
        """Requests refused as too many once the target was back, of all that it got from then on."""
        return self.overrun / max(1, sum(self.sent[s] for s in range(self.over_s, self.over_s + AFTER_S)))

    @property
    def longest_gap_s(self) -> float:
        """The longest silence from then on: starts come in bursts, a window apart."""
        answers = self._late_answers()
        return max((after - before for before, after in pairwise(answers)), default=float("inf"))

    def _late_answers(self) -> list[float]:
        first_s = self.over_s + FULL_RATE_WITHIN_S
        return [at for at in self.answered if first_s <= at < self.over_s + AFTER_S]


def play(rate: int, outage_s: int, kind: str, known: Known = Known.CONFIGURED) -> Outage:
    """Let ``rate`` jobs a second come before, in and after an outage."""
    loop = VirtualLoop(Random(1))
    # What is in flight at most is what the target takes in its usual answer time, with room.
    borne = Pace(rate * SPARE_PACE, max(2, rate))
    rig = Rig(loop, known.pace(borne))
    rig.store = store = LeanStore()
    outage = Outage(rate=rate, outage_s=outage_s)
    rig.answer = Target(outage, KINDS[kind], borne, known.headers(borne)).answer
    loop.run(_play(rig, outage))
    outage.failed = store.jobs.ended[JobState.FAILED]
    return outage


class Target:
    """Bears its pace in any rolling second and refuses the rest, while it is not away."""

    def __init__(self, outage: Outage, away: Away, borne: Pace, headers: dict[str, str]) -> None:
        self._outage = outage
        self._away = away
        self._borne = borne
        self._headers = headers
        self._random = Random(2)
        self._taken: deque[float] = deque()

    def answer(self, call: Call) -> Reply:
        """Meet a request."""
        self._outage.sent[int(call.at)] += 1
        if BEFORE_S <= call.at < self._outage.over_s and self._away.meets(call):
            return self._away.reply
        while self._taken and self._taken[0] <= call.at - WINDOW_S:
            self._taken.popleft()
        if len(self._taken) >= self._borne.rps:
            self._outage.overrun += call.at >= self._outage.over_s
            return Reply(status=429, headers=self._headers)
        self._taken.append(call.at)
        self._outage.answered.append(call.at)
        return Reply(after_s=self._random.uniform(0.02, 0.1), headers=self._headers)


async def _play(rig: Rig, outage: Outage) -> None:
    rig.log = False
    await rig.begin()
    ends_at = outage.over_s + AFTER_S
    while (now := rig.loop.time()) < ends_at:
        for _ in range(max(1, outage.rate // 100)):
            await rig.submit(regions=(IAD,))
            outage.jobs[int(now)] += 1
        await asyncio.sleep(max(0.01, 1 / outage.rate))
    await rig.shard.stop()


def main() -> None:
    """Play the full outage in every way, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1_000, help="jobs per second")
    parser.add_argument("--minutes", type=float, default=15.0, help="how long the target is away")
    parser.add_argument("--kind", choices=KINDS, action="append", help="how it is away; every way by default")
    parser.add_argument(
        "--known", choices=list(Known), default=Known.CONFIGURED, help="how its pace is known"
    )
    options = parser.parse_args()
    for kind in options.kind or KINDS:
        outage = play(options.rate, int(options.minutes * 60), kind, Known(options.known))
        print(  # noqa: T201  # what the command is for
            f"{kind}, {options.known}: sent/jobs {outage.sent_per_job:.5f} (<= 1.1), "
            f"failed {outage.failed_share:.4%} (<= 0.1%), "
            f"from {FULL_RATE_WITHIN_S} s after it {outage.rate_after:.1%} of the pace (>= 95%; >= 90% "
            f"{Known.UNNAMED}), longest gap {outage.longest_gap_s:.2f} s (<= 2), "
            f"refused as too many {outage.overrun_share:.2%} (0; <= 2% {Known.UNNAMED})",
            flush=True,
        )


if __name__ == "__main__":
    main()
