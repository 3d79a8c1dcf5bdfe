"""Looks whether every link of a built site leads somewhere, and whether a page needs another host."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

FOLLOWED = "a"
"""What a reader follows may lead to another host; all else is part of the page."""


@dataclass
class _Page(HTMLParser):
    """What can be linked to in a page, and its links: each with the tag that has it."""

    text: str
    names: set[str] = field(default_factory=set)
    links: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag's name and what it links to."""
        for key, value in attrs:
            if key == "id" and value:
                self.names.add(value)
            elif key in ("href", "src") and value:
                self.links.append((tag, value))


def broken_links(site: Path) -> list[str]:
    """Name every link that leads nowhere, and every part of a page that lies at another host."""
    site = site.resolve()
    pages = {path: _Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    return [
        f"{path.relative_to(site)}: {link} {wrong}"
        for path, page in pages.items()
        for tag, link in page.links
        for wrong in _wrong(site, pages, path, tag, urlsplit(link))
    ]


def _wrong(site: Path, pages: dict[Path, _Page], path: Path, tag: str, url: SplitResult) -> Iterator[str]:
    if url.scheme == "data":
        return
    if url.scheme or url.netloc:
        if tag != FOLLOWED:
            yield "is at another host"
        return
    target = _target(site, path, unquote(url.path))
    if not target.is_file():
        yield "does not exist"
    elif target in pages and url.fragment and unquote(url.fragment) not in pages[target].names:
        yield "names no part of that page"


def _target(site: Path, page: Path, path: str) -> Path:
    if not path:
        return page
    target = (site / path.lstrip("/") if path.startswith("/") else page.parent / path).resolve()
    return target / "index.html" if target.is_dir() else target
