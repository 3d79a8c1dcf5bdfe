"""Builds the site: ``python -m bench.site [DIRECTORY]``."""

import sys
from pathlib import Path

from bench.site.build import build
from bench.site.links import broken_links

DIRECTORY = Path("build/docs")


def main() -> int:
    """Build, and look whether every link leads somewhere; give the exit code."""
    site = build(Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY)
    broken = broken_links(site)
    print(*broken, f"the site is at {site / 'index.html'}", sep="\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
