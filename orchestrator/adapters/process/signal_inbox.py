"""Sleeping until a signal comes, without a timer and without masks that children would inherit."""

import os
import select
import signal
from types import FrameType
from typing import Self

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})


class SignalInbox:
    """Collects stop signals, and wakes for SIGCHLD, while it is entered. For the main thread only.

    Handlers fall back to the defaults at a child's exec, where a blocked mask would stay blocked.
    Afterwards stop signals are ignored: the process is to exit, with a code that a late one can't change.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in {*STOP_SIGNALS, signal.SIGCHLD}:
            # nohup means that a closed terminal is no reason to stop.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _noted_by_the_wakeup_descriptor)
        return self

    def __exit__(self, *_: object) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)

    def wait(self, timeout_s: float | None) -> list[signal.Signals]:
        """Sleep until a signal comes or ``timeout_s`` has passed; give the stop signals, oldest first."""
        ready, _, _ = select.select([self._read], [], [], timeout_s)
        if not ready:
            return []
        return [signal.Signals(byte) for byte in os.read(self._read, 4096) if byte in STOP_SIGNALS]


def _noted_by_the_wakeup_descriptor(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: a signal needs a handler to reach the wake-up descriptor."""
