"""Acts on all jobs that a filter names: they go on in the background, and say how far they are."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

from msgspec import Struct

from orchestrator.core.views import Done
from orchestrator.domain.errors import Conflict, EZThrottleError
from orchestrator.domain.ids import CustomerId
from orchestrator.ports.store import JobCursor, JobFilter, StoreFailure

AT_ONCE = 200
Step = Callable[[JobFilter, int, JobCursor | None], Awaitable[Done]]


class ManyAct(StrEnum):
    """What is done with many jobs."""

    CANCEL = "cancel"
    REPLAY = "replay"


class Progress(Struct, kw_only=True):
    """How far an act is: with how many jobs it was done of those that were looked at; how many were counted
    before, no further than one past ``wording.MANY``. ``stopped`` says why it ended early.
    """

    act: ManyAct
    counted: int
    looked_at: int = 0
    done: int = 0
    over: bool = False
    stopped: str = ""


class ManyJobsActs:
    """Runs one act of each customer at a time. They end with this process: what is not done then is left."""

    def __init__(self) -> None:
        self._progress: dict[CustomerId, Progress] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, wanted: JobFilter, act: ManyAct, step: Step, counted: int) -> None:
        """Begin an act.

        Raises:
            Conflict: Another one of the customer's is under way.
        """
        last = self._progress.get(wanted.owner)
        if last is not None and not last.over:
            raise Conflict(f"many jobs are being worked at already ({last.act}): wait for its end")
        progress = self._progress[wanted.owner] = Progress(act=act, counted=counted)
        task = asyncio.get_running_loop().create_task(_run(wanted, step, progress))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def progress(self, customer: CustomerId) -> Progress | None:
        """Say how far a customer's latest act is; None where there was none since the service began."""
        return self._progress.get(customer)


async def _run(wanted: JobFilter, step: Step, progress: Progress) -> None:
    before: JobCursor | None = None
    try:
        while True:
            done = await step(wanted, AT_ONCE, before)
            progress.looked_at += done.fitting
            progress.done += done.done
            before = done.next
            if before is None:
                return
    except (EZThrottleError, StoreFailure) as error:
        progress.stopped = str(error)
    finally:
        progress.over = True
