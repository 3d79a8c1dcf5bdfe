"""What a shard does now and then."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from orchestrator.core.shard_context import ShardContext
from orchestrator.domain.ids import JobId

OVERDUE_EVERY_S = 0.2
OVERDUE_BATCH = 200
PURGE_EVERY_S = 600.0
PLANS_EVERY_S = 10.0
IDLE_EVERY_S = 60.0


class Maintenance:
    """Ends jobs whose time is over, follows customers' plans, and lets the store forget what is old.

    Args:
        context: What the shard's parts share; the store knows what is overdue, and what is old.
        time_out: Ends one job, and returns when that is on disk.
        watched: Whether somebody else sees to a job's time limit.
        read_plans: Takes note of customers' plans.
        forget_idle: Lets go of what is known of targets that nobody calls.
    """

    def __init__(
        self,
        context: ShardContext,
        time_out: Callable[[JobId], Coroutine[Any, Any, None]],
        watched: Callable[[JobId], bool],
        read_plans: Callable[[], Coroutine[Any, Any, None]],
        forget_idle: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._store = context.store.jobs
        self._clock = context.clock
        self._spawn = context.spawn
        self._time_out = time_out
        self._watched = watched
        self._read_plans = read_plans
        self._forget_idle = forget_idle

    def begin(self) -> None:
        """Do it now, and from now on."""
        self._end_overdue()
        self._follow_plans()
        self._purge()
        self._look_for_idle()

    def _look_for_idle(self) -> None:
        self._spawn(self._forget_idle())
        self._clock.call_at(self._clock.now() + IDLE_EVERY_S, self._look_for_idle)

    def _follow_plans(self) -> None:
        self._spawn(self._read_plans())
        self._clock.call_at(self._clock.now() + PLANS_EVERY_S, self._follow_plans)

    def _end_overdue(self) -> None:
        self._spawn(self._fail_overdue())

    async def _fail_overdue(self) -> None:
        found, skip = OVERDUE_BATCH, 0
        while found == OVERDUE_BATCH:
            overdue = await self._store.overdue(self._clock.unix_ms(), OVERDUE_BATCH, skip)
            left = [job_id for job_id in overdue if not self._watched(job_id)]
            await asyncio.gather(*map(self._time_out, left))
            found = len(overdue)
            # These stay in the list: the Unix clock was set ahead, and has no say in them.
            skip += found - len(left)
        self._clock.call_at(self._clock.now() + OVERDUE_EVERY_S, self._end_overdue)

    def _purge(self) -> None:
        self._spawn(self._store.purge(self._clock.unix_ms()))
        self._clock.call_at(self._clock.now() + PURGE_EVERY_S, self._purge)
