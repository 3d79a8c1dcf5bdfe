"""What commands share that work on a data directory, whether the service runs or not."""

import asyncio
import getpass
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import typer

from orchestrator.cli.client import USAGE_ERROR, refuse
from orchestrator.domain.access.audit import Act, AuditEntry, Detail
from orchestrator.ports.audit import AuditLog
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.customers import CustomerStore
from orchestrator.ports.store import StoreFailure
from orchestrator.settings import Settings

DataDir = Annotated[
    Path, typer.Option(envvar="EZTHROTTLE_DATA_DIR", help="Where everything that has to survive lies.")
]
DEFAULT_DIR = Settings().data_dir

_T = TypeVar("_T")


class Opened(Protocol):
    """A data directory, as far as the command line sees it."""

    @property
    def customers(self) -> CustomerStore:
        """Customers, keys and secrets."""

    @property
    def audit(self) -> AuditLog:
        """What operators did."""


def made_here(act: Act, subject: str, **detail: Detail) -> AuditEntry:
    """Write an act of this command's user down."""
    return AuditEntry(
        at_ms=SystemClock().unix_ms(),
        act=act,
        subject=subject,
        who=_user(),
        origin=f"command line on {socket.gethostname()}",
        detail=detail,
    )


def in_directory(data_dir: Path, do: Callable[[Opened], Awaitable[_T]], *, must_exist: bool = False) -> _T:
    """Do something with what lies in a data directory; end the command with a message where that can't be."""
    from orchestrator.adapters.stores import open_administration  # noqa: PLC0415  # serve needs no SQL

    async def done() -> _T:
        async with open_administration(data_dir) as opened:
            return await do(opened)

    return outcome_in(data_dir, done, must_exist=must_exist)


def outcome_in(data_dir: Path, do: Callable[[], Coroutine[Any, Any, _T]], *, must_exist: bool = False) -> _T:
    """Give what came of something that was done to a data directory; end the command where nothing did."""
    from orchestrator.adapters.stores import is_in_use  # noqa: PLC0415  # the same

    if must_exist and not is_in_use(data_dir):
        refuse(f"--data-dir {data_dir}: nothing lies there; 'ezthrottle keys create' makes it", USAGE_ERROR)
    try:
        return asyncio.run(do())
    except OSError as error:
        refuse(f"--data-dir {data_dir}: {error.strerror}: name a directory to write in", USAGE_ERROR)
    except (StoreFailure, ValueError) as error:
        refuse(f"--data-dir {data_dir}: its database can't be used ({error})", USAGE_ERROR)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # In a container nobody need have a name.
        return f"user {os.getuid()}"
