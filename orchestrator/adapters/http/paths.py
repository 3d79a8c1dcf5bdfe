"""Paths as they are meant: a client whose base URL ends with a slash writes one too many."""

import re

from starlette.types import Scope

_SLASHES = re.compile("/{2,}")


def with_single_slashes(path: str) -> str:
    """Read several slashes in a row as one."""
    return _SLASHES.sub("/", path) if "//" in path else path


def normalised(scope: Scope) -> Scope:
    """Read a request's path so; what is in order already stays the very same object."""
    if scope["type"] != "http" or "//" not in scope["path"]:
        return scope
    return dict(scope) | {"path": with_single_slashes(scope["path"])}
