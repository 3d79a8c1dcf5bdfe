"""An event loop in virtual time that holds many simulated processes.

Time stands still while anything can run, and jumps to the next timer when nothing can. A callback belongs
to the process in whose context it was scheduled. Within a process callbacks run first come, first served,
as asyncio promises; which process goes next is drawn from the seed. What a killed process had scheduled
never runs, not even its ``finally`` blocks: that is SIGKILL.
"""

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar
from weakref import WeakSet

TURNS_AT_ONE_TIME = 200_000
"""Far more than any honest work takes without time passing."""

_PROCESS: ContextVar["Process"] = ContextVar("simulated process")
_T = TypeVar("_T")


class LivelockError(Exception):
    """Callbacks keep scheduling callbacks, and time does not pass."""


class Process:
    """A simulated operating-system process: an event loop's worth of callbacks that die together."""

    def __init__(self, loop: "VirtualLoop", name: str) -> None:
        self.name = name
        self.alive = True
        self.busy_until = -math.inf
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)
        self._loop = loop
        self._buried: list[asyncio.Task[Any]] = []

    def call_soon(self, callback: Callable[..., object], *args: object) -> asyncio.Handle:
        """Run something in this process, soon."""
        return self._loop.call_soon(callback, *args, context=self.context)

    def call_at(self, when: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        """Run something in this process at a time in virtual s."""
        return self._loop.call_at(when, callback, *args, context=self.context)

    def spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run a coroutine in this process."""
        return self._loop.create_task(work, context=self.context.copy())

    def stall(self, seconds: float) -> None:
        """Keep this process busy: nothing of it runs for a while, then everything that is due."""
        self.busy_until = max(self.busy_until, self._loop.time() + seconds)
        self._loop.wake_at(self.busy_until)

    def kill(self) -> None:
        """End the process here and now."""
        self.alive = False
        # A task that is collected as garbage runs its handlers: its references are kept until the end.
        self._buried = list(self.tasks)
        self.ready.clear()

    def unfinished(self) -> list[asyncio.Task[Any]]:
        """List the tasks that have not ended, dead or alive."""
        return [task for task in {*self.tasks, *self._buried} if not task.done()]


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs simulated processes; the same seed gives the same order of everything."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Process]] = []
        self._timer_count = 0
        self._turns = 0
        self._runnable: list[Process] = []
        self._processes: list[Process] = []
        self.outside = self.process("outside")

    def process(self, name: str) -> Process:
        """Start a process."""
        process = Process(self, name)
        self._processes.append(process)
        return process

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine outside all simulated processes to its end, then drop everything else."""
        try:
            return self.run_until_complete(self.outside.spawn(work))
        finally:
            self._drop_everything()
            self.close()

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def wake_at(self, when: float) -> None:
        """Let no jump in time pass over ``when``."""
        self.outside.call_at(when, _nothing)

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback for the next turn of its process."""
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._make_ready(self._owner(context), handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Schedule a callback for a time in virtual s."""
        context = copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, handle, self._owner(context)))
        return handle

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Start a task; it belongs to the process of its context."""
        context = copy_context() if context is None else context
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._owner(context).tasks.add(task)
        return task

    def _owner(self, context: Context) -> Process:
        return context.get(_PROCESS, self.outside)

    def _make_ready(self, process: Process, handle: asyncio.Handle) -> None:
        if process.alive:
            if not process.ready:
                self._runnable.append(process)
            process.ready.append(handle)

    def _run_once(self) -> None:
        awake = [p for p in self._runnable if p.busy_until <= self._now]
        if not awake:
            self._jump()
            return
        self._turns += 1
        if self._turns > TURNS_AT_ONE_TIME:
            raise LivelockError(f"time stands still at {self._now:.3f} s in {[p.name for p in awake]}")
        process = awake[self._random.randrange(len(awake))]
        # What is scheduled meanwhile waits for the next turn, as in asyncio.
        for _ in range(len(process.ready)):
            if not process.ready:
                break
            handle = process.ready.popleft()
            if not handle.cancelled():
                handle._run()
        self._runnable = [p for p in self._runnable if p.ready]

    def _jump(self) -> None:
        self._turns = 0
        self._now = max(self._now, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._now:
            _, _, handle, process = heapq.heappop(self._timers)
            if not handle.cancelled():
                self._make_ready(process, handle)

    def _drop_everything(self) -> None:
        self.set_exception_handler(lambda _loop, _context: None)
        for process in self._processes:
            for task in process.unfinished():
                with suppress(RuntimeError):
                    task.get_coro().close()


def _nothing() -> None:
    """Pass a moment."""


class VirtualClock:
    """The Clock port on virtual time. ``skew_s`` is what this machine's monotonic clock is ahead."""

    def __init__(self, loop: VirtualLoop, *, epoch_ms: int, skew_s: float = 0.0) -> None:
        self._loop = loop
        self._epoch_ms = epoch_ms
        self._skew_s = skew_s

    def now(self) -> float:
        """Monotonic seconds of this machine."""
        return self._loop.time() + self._skew_s

    def boot_s(self) -> float:
        """Seconds that go on while this machine sleeps: here it never does."""
        return self.now()

    def unix_ms(self) -> int:
        """Unix milliseconds."""
        return self._epoch_ms + int(self._loop.time() * 1000)

    def step(self, seconds: float) -> None:
        """Set the Unix clock, as people and NTP do."""
        self._epoch_ms += int(seconds * 1000)

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call back at monotonic ``when``, or soon if that has passed."""
        return self._loop.call_at(max(when - self._skew_s, self._loop.time()), callback)
