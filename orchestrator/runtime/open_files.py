"""How many files this process may open, connections included, and how many it could open still."""

import resource
from pathlib import Path

FILES_MOST = 65_536
"""More are not asked for: systems that allow a thousand million make some programs close each of them."""
_OPEN = Path("/proc/self/fd")


def raise_file_limit() -> None:
    """Allow this process as many open files as it may allow itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MOST if hard == resource.RLIM_INFINITY else min(hard, FILES_MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def files_left() -> int:
    """Count the files that could be opened still; FILES_MOST where that can't be told."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        opened = sum(1 for _ in _OPEN.iterdir())
    except OSError:
        return FILES_MOST
    return FILES_MOST if limit == resource.RLIM_INFINITY else max(0, limit - opened)
