"""The two system calls that Python 3.11 lacks, and whether this machine lets us use them."""

import ctypes
import os
import shutil
from pathlib import Path

CLONE_NEWNET = 0x40000000
TUN = Path("/dev/net/tun")
TOOLS = ("ip", "mount", "nsenter", "openssl", "setpriv", "unshare")

_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """Say why no testbed can be made here; None where it can."""
    if os.geteuid() != 0:
        return "a testbed needs root"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return f"a testbed needs {TUN}"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"a testbed needs {', '.join(missing)}"
    if not Path("/proc/self/ns/time").exists():
        return "a testbed needs time namespaces"
    return None


def open_net() -> int:
    """Open this thread's network namespace: it lasts while it is open."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def new_net() -> int:
    """Move this thread to a network namespace of its own, and open that."""
    _check(_libc.unshare(CLONE_NEWNET))
    return open_net()


def enter_net(fd: int) -> None:
    """Move this thread to a network namespace."""
    _check(_libc.setns(fd, CLONE_NEWNET))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
