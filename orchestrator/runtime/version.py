"""Which version of the service this is, as it was installed."""

from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "ezthrottle-server"
PACKAGES = ("orchestrator", "regions")
CODE = frozenset({".py", ".sql", ".toml"})


def _installed() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


VERSION = _installed()
"""``unknown`` where the code runs without having been installed."""


@cache
def build() -> str:
    """Name the code that this process runs on: the version, and a digest of the files of the service's own
    packages. Two installations of one version may differ; whoever replaces actors has to know. Whoever asks
    first should do so at its start, before anybody installs another one.
    """
    root = Path(__file__).parents[2]
    digest = sha256()
    for package in PACKAGES:
        for path in sorted(root.joinpath(package).rglob("*")):
            if path.suffix in CODE:
                digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{VERSION}+{digest.hexdigest()[:8]}"
