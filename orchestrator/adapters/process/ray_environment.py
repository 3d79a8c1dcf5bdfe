"""The environment in which a Ray of our own starts: a token of its own, and no word to anybody."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from orchestrator.adapters.process.directories import RefusedError
from orchestrator.runtime.heaps import HEAPS_MOST

TOKEN_FILE = "ray.token"  # noqa: S105  # the name of a file
TOKEN_BYTES = 32
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's own word for "this machine only": it then takes 127.0.0.1 for a node's address, and every part of it
binds to that. On Linux it would put the interface's address in its place, and bind to all.
"""

ONE_HEAP = {HEAPS_MOST: "1"}
"""It has to be there before a process has threads, and Ray starts some before anything of ours."""


def ray_environment(data_dir: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Say what to add to ``env`` for Ray. When a cluster is joined, its own ``RAY_AUTH_*`` hold.

    Without a token anybody who reaches Ray's ports could run code: see CVE-2023-48022. The caller holds
    the data directory, given as resolved. Raises RefusedError when the token can't be written.
    """
    common = {"RAY_USAGE_STATS_ENABLED": "0"}
    if env.get("RAY_ADDRESS"):
        return common
    # Ray's workers are nice by default (15): whatever else runs here would starve the service.
    return (
        common
        | {"RAY_worker_niceness": "0"}
        | ONE_HEAP
        | LOOPBACK_ONLY
        | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(_token_file(data_dir))}
    )


def _token_file(data_dir: Path) -> Path:
    path = data_dir / TOKEN_FILE
    try:
        # A new file: whoever has an earlier one open, or put a link there, learns nothing.
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(TOKEN_BYTES))
    except OSError as error:
        raise RefusedError(f"{path} can't be written: {error}; make room, or let it be written") from error
    return path
