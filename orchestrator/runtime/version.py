"""Which version of the service this is, as it was installed."""

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "ezthrottle-server"


def _installed() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


VERSION = _installed()
"""``unknown`` where the code runs without having been installed."""
