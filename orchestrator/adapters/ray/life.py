"""One life of a deployed shard: from its first look at the machine to the lock that lets it serve."""

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path

from orchestrator.adapters.agents.door import server_tls
from orchestrator.adapters.domains_file import load_known_domains
from orchestrator.adapters.http.listening import listen
from orchestrator.adapters.process.directories import (
    HeldError,
    RefusedError,
    RunDir,
    held_data_dir,
    run_dir_path,
)
from orchestrator.adapters.process.start_record import StartRecord
from orchestrator.domain.cluster.deployment import PartState
from orchestrator.domain.cluster.failed_starts import PROVEN_AFTER_S, FailedStarts
from orchestrator.settings import Address, Settings

LOOK_EVERY_S = 0.02
"""For the lock: nobody is acknowledged anything while it is nobody's."""
TROUBLED_EVERY_S = 1.0
RUN_DIR_PREFIX = "ezt-"
STARTS_FILE = "starts.json"


class ShardLife:
    """Checks what it will stand on, and waits for the lock of the data directory, and for the ports.

    Args:
        settings: Those that were deployed.
        run_dir: The name of a directory for its socket, ``ezt-DIGEST``, in the temporary directory.
        again: Whether an earlier life of the same actor has ended: by itself, then.
    """

    def __init__(self, settings: Settings, run_dir: str, *, again: bool = False) -> None:
        self._settings = settings
        self._run_dir = run_dir
        self._again = again
        self._held = ExitStack()
        self._begun = False
        self._starts = StartRecord(settings.data_dir / STARTS_FILE)
        self.state, self.reason = PartState.STARTING, "starting"
        # From its first word on: whoever asks in between is not to hear that all begins afresh.
        self._tell_failures()

    async def begin(self) -> Path:
        """Block until this life may serve; give the directory for its socket."""
        while trouble := await asyncio.to_thread(self._trouble):
            self._note(PartState.BLOCKED, trouble)
            await asyncio.sleep(TROUBLED_EVERY_S)
        await self._pause()
        run_dir = await self._take()
        while trouble := self._doors_trouble():
            self._note(PartState.BLOCKED, trouble)
            await asyncio.sleep(LOOK_EVERY_S)
        self._tell_failures()
        self._begun = True
        self._starts.begin()
        return run_dir

    async def prove(self) -> None:
        """Block until this life has served for long enough: the next one need not wait for its sake then."""
        await asyncio.sleep(PROVEN_AFTER_S)
        self._starts.forget()

    def fail(self, error: BaseException) -> None:
        """Note for the next life what this one dies of."""
        self._starts.fail(f"{type(error).__name__}: {error}")

    def end(self) -> None:
        """Let the next life have the data directory."""
        if self._begun:
            self._starts.forget()
        self._held.close()

    async def _pause(self) -> None:
        """Wait for as long as failed starts ask for; nobody's work waits meanwhile that could be done."""
        if before := self._tell_failures():
            await asyncio.sleep(before.pause_s)

    def _tell_failures(self) -> FailedStarts | None:
        """Say why the last start failed, where it did: that stands until one has succeeded."""
        before = self._starts.read() if self._again else FailedStarts()
        if not before.count:
            return None
        self._note(PartState.FAILED if before.failed else PartState.BLOCKED, str(before))
        return before

    def _note(self, state: PartState, reason: str) -> None:
        self.state, self.reason = state, reason

    def _trouble(self) -> str:
        """Say what of the settings this machine can't keep; nothing where it can."""
        settings = self._settings
        try:
            load_known_domains(settings.domains_file)
            if settings.tls_cert is not None:
                server_tls(settings.tls_cert, settings.tls_key)
            settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            return str(error)
        return ""

    async def _take(self) -> Path:
        """Block until no other process has the data directory."""
        while True:
            try:
                self._held.enter_context(held_data_dir(self._settings.data_dir))
                run_dir = run_dir_path(self._run_dir.removeprefix(RUN_DIR_PREFIX), os.environ.get("TMPDIR"))
                return self._held.enter_context(RunDir.claimed(run_dir)).path
            except HeldError as error:
                self._note(PartState.READY, str(error))
                await asyncio.sleep(LOOK_EVERY_S)
            except RefusedError as error:
                self._held.close()
                self._note(PartState.BLOCKED, str(error))
                await asyncio.sleep(TROUBLED_EVERY_S)

    def _doors_trouble(self) -> str:
        settings = self._settings
        api = Address(settings.host, settings.port)
        for address in filter(None, (api, settings.metrics_address, settings.agents_address)):
            try:
                listen(address).close()
            except OSError as error:
                return f"can't listen on {address} ({error.strerror or error})"
        return ""
