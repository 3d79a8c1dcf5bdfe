"""Process 1 of a machine: gives it its own files, then reaps orphans until it is killed.

    python -m bench.testbed.init NAME DISK KEPT ...

``DISK`` is the directory that is its disk: what is there of ``srv`` and ``etc`` outlives a boot. ``KEPT`` are
paths that are still to be seen where the machine's own ``/tmp`` would hide them: the checkout.
"""

import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

TMP, SRV, SHM = Path("/tmp"), Path("/srv"), Path("/dev/shm")  # the machine's own
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def main() -> None:
    """Become the machine."""
    name, disk, *kept = sys.argv[1:]
    socket.sethostname(name)
    _mount("--make-rprivate", "/")
    _mount("-t", "proc", "proc", "/proc")
    _own_files(Path(disk), [Path(path) for path in kept])
    boot_id = TMP / ".boot_id"
    boot_id.write_text(f"{uuid.uuid4()}\n")
    _mount("--bind", str(boot_id), str(BOOT_ID))
    # Before the word: whoever reads it may want children reaped at once.
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    print("up", flush=True)
    while True:
        signal.pause()


def _own_files(disk: Path, kept: list[Path]) -> None:
    opened = {path: os.open(path, os.O_PATH) for path in kept}
    _mount("--bind", str(disk / "srv"), str(SRV))
    _mount("--bind", str(disk / "etc/hosts"), "/etc/hosts")
    _mount("--bind", str(disk / "etc/resolv.conf"), "/etc/resolv.conf")
    _mount("-t", "tmpfs", "-o", "size=2g", "shm", str(SHM))
    # Last: the disk itself may lie there.
    _mount("--bind", str(disk / "tmp"), str(TMP))
    for path, fd in opened.items():
        path.mkdir(parents=True, exist_ok=True)
        _mount("--no-canonicalize", "--bind", f"/proc/self/fd/{fd}", str(path), shown=(fd,))


def _mount(*arguments: str, shown: tuple[int, ...] = ()) -> None:
    subprocess.run(["mount", *arguments], check=True, pass_fds=shown)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    main()
