"""Which files of the repository are on the site: its Markdown for readers, and whatever that links to."""

import re
import shutil
from pathlib import Path

PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**/*.md", "sdk/**/*.md")
_LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)")


def copy_sources(repository: Path, into: Path) -> None:
    """Copy every page to where it lies in the repository."""
    for page in pages_of(repository):
        _copy(page, into / page.relative_to(repository))


def copy_linked_files(repository: Path, pages: Path) -> None:
    """Copy what these pages link to that is no page: pictures, and files to look into."""
    pages = pages.resolve()
    for page in pages.rglob("*.md"):
        for target in _LINK.findall(page.read_text("utf-8")):
            place = (page.parent / target).resolve()
            if place.is_relative_to(pages) and place.suffix != ".md":
                _copy(repository / place.relative_to(pages), place)


def pages_of(repository: Path) -> list[Path]:
    """Find the Markdown that is on the site."""
    return sorted(page for pattern in PAGES for page in repository.glob(pattern))


def _copy(source: Path, place: Path) -> None:
    if source.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)
