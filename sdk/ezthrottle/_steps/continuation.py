"""Starting a step from the webhook server's thread."""

from __future__ import annotations

import inspect
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from concurrent.futures import Future

    from ezthrottle._steps.client import Client
    from ezthrottle._steps.spec import ChainedStep

    Starter = Callable[["ChainedStep"], None]

_log = logging.getLogger("ezthrottle")


def starter_for(client: Client | None) -> Starter:
    """Return what starts a step with this client: in a thread, or on the loop that is running now."""
    if client is not None and inspect.iscoroutinefunction(client.submit_job):
        import asyncio  # noqa: PLC0415 - loads slower than this whole package

        return partial(_start_on_loop, asyncio.get_running_loop(), client)
    return partial(_start_in_thread, client)


def _start_in_thread(client: Client | None, step: ChainedStep) -> None:
    threading.Thread(target=_execute, args=(client, step), daemon=True).start()


def _execute(client: Client | None, step: ChainedStep) -> None:
    try:
        step.execute(client)
    except Exception:  # noqa: BLE001 - its thread has nobody else to tell
        _log.exception("A step that follows a job failed")


def _start_on_loop(loop: AbstractEventLoop, client: Client, step: ChainedStep) -> None:
    if loop.is_closed():
        _log.error("A step that follows a job was not started: the client's event loop is closed")
        return
    import asyncio  # noqa: PLC0415 - loads slower than this whole package

    asyncio.run_coroutine_threadsafe(step.execute_async(client), loop).add_done_callback(_log_failure)


def _log_failure(done: Future[Any]) -> None:
    if not done.cancelled() and done.exception() is not None:
        _log.error("A step that follows a job failed", exc_info=done.exception())
