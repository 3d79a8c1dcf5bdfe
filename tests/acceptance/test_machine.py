"""What the machine's other users, and its network, see of a service; and what a killed ``serve`` leaves."""

import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from bench.service import Service, process_name
from orchestrator.adapters.process.directories import run_dir_path
from orchestrator.adapters.process.tree import ProcessTree, tree_id
from tests.support.another_user import as_nobody, needs_root

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]

ENDS_WITHIN_S = 10.0
LISTENING = "0A"
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
"""127.0.0.1, the same mapped into IPv6, and ::1, as /proc/net/tcp and tcp6 write them."""


def tree_of(service: Service) -> ProcessTree:
    return ProcessTree(tree_id(service.data_dir))


def tops_of(service: Service) -> tuple[Path, Path]:
    """Where a service keeps all that it makes."""
    return service.data_dir, run_dir_path(tree_id(service.data_dir), os.environ.get("TMPDIR"))


def sockets_of(pid: int) -> set[str]:
    """Inodes of the sockets that a process has."""
    found = set()
    with suppress(OSError):
        for descriptor in Path("/proc", str(pid), "fd").iterdir():
            with suppress(OSError):
                link = str(descriptor.readlink())
                if link.startswith("socket:["):
                    found.add(link.removeprefix("socket:[").removesuffix("]"))
    return found


def listeners(pids: list[int]) -> dict[str, str]:
    """Addresses that these processes listen on (TCP), each with the name of who does."""
    owners = {inode: process_name(pid) for pid in pids for inode in sockets_of(pid)}
    tables = [Path("/proc/net", table).read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table]
    return {
        fields[1]: owners[fields[9]] for fields in lines if fields[3] == LISTENING and fields[9] in owners
    }


def test_every_process_listens_on_loopback_alone(guarded_service: Service) -> None:
    found = listeners(tree_of(guarded_service).pids())
    assert {"gcs_server", "raylet"} <= set(found.values())
    outside = {address: name for address, name in found.items() if address.partition(":")[0] not in LOOPBACK}
    assert outside == {}


def test_its_directories_are_their_owners_alone(guarded_service: Service) -> None:
    assert [stat.S_IMODE(path.stat().st_mode) for path in tops_of(guarded_service)] == [0o700, 0o700]


@needs_root
def test_another_user_can_neither_read_nor_replace_anything(guarded_service: Service) -> None:
    paths = [path for top in tops_of(guarded_service) for path in top.rglob("*")]
    names = {path.name for path in paths}
    assert {"ray.token", "encryption.key", "ezthrottle.db", "ezthrottle.db-wal", "service.log"} <= names
    assert any(path.suffix == ".sock" for path in paths)

    def try_everything() -> None:
        assert [(path, what.__name__) for path in paths for what in INTRUSIONS if succeeds(what, path)] == []

    as_nobody(try_everything)


def succeeds(what: Callable[[Path], object], path: Path) -> bool:
    try:
        what(path)
    except OSError:
        return False
    return True


def read(path: Path) -> None:
    path.open("rb").close()


def write(path: Path) -> None:
    path.open("ab").close()


def rename(path: Path) -> None:
    path.rename(path.with_name("gone"))


def put_beside(path: Path) -> None:
    path.with_name("intruder").touch()


INTRUSIONS = (read, write, rename, put_beside, Path.unlink, Path.stat)


def test_a_serve_that_is_killed_leaves_nothing_that_answers(guarded_service: Service) -> None:
    doomed = guarded_service
    assert {"gcs_server", "raylet"} <= {process_name(pid) for pid in tree_of(doomed).pids()}
    doomed.process.kill()
    doomed.process.wait()
    deadline = time.monotonic() + ENDS_WITHIN_S
    while left := tree_of(doomed).pids():
        assert time.monotonic() < deadline, [process_name(pid) for pid in left]
        time.sleep(0.02)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{doomed.base_url}/readyz")
