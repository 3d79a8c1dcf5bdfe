"""The documentation site: it builds, needs nobody, leads nowhere wrong, and leaves nothing out."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

import ezthrottle
import ezthrottle.types
from bench.site.build import REPOSITORY, build
from bench.site.links import broken_links
from bench.site.sources import pages_of
from orchestrator.adapters.http.access import ROLES
from orchestrator.cli.app import command
from orchestrator.domain.errors import problem_types
from orchestrator.settings import Settings, key_of, option_of, variable_of
from tests.acceptance.console_browser import running_chromium

pytestmark = pytest.mark.timeout(400)

TELEMETRY = REPOSITORY / "orchestrator" / "adapters" / "telemetry.py"
DRAWN_WITHIN_MS = 60_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("site"))


def reference(site: Path, name: str) -> str:
    return (site / "docs" / "reference" / f"{name}.html").read_text("utf-8")


def as_code(html: str) -> set[str]:
    return {unescape(text) for text in re.findall(r"<code>([^<]*)</code>", html)}


def built(page: Path) -> Path:
    place = page.relative_to(REPOSITORY)
    return place.with_name("index.html") if place.name == "README.md" else place.with_suffix(".html")


def test_every_link_leads_somewhere_and_no_page_needs_another_host(site: Path) -> None:
    assert broken_links(site) == []


def test_no_style_fetches_anything_from_another_host(site: Path) -> None:
    styles = [path.read_text("utf-8") for path in site.rglob("*.css")]
    assert styles
    assert [
        found for style in styles for found in re.findall(r"(?:url\(|@import)\W*(?:https?:|//)", style)
    ] == []


def test_the_navigation_has_every_page(site: Path) -> None:
    shown = {
        href.removeprefix("./")
        for href in re.findall(
            r'<a href="([^"#]+)" class="md-nav__link', (site / "index.html").read_text("utf-8")
        )
    }
    pages = {built(page).as_posix() for page in pages_of(REPOSITORY)}
    generated = {path.relative_to(site).as_posix() for path in (site / "docs" / "reference").glob("*.html")}
    assert len(generated) == 6
    assert (pages | generated) - shown == {"index.html"} - shown


@pytest.mark.parametrize(
    "page", pages_of(REPOSITORY), ids=lambda page: page.relative_to(REPOSITORY).as_posix()
)
def test_a_page_reads_as_it_does_in_the_repository(page: Path, site: Path) -> None:
    """Python-Markdown wants blank lines and deeper indents: a list on GitHub may be a paragraph here."""
    expected = MarkdownIt("commonmark").enable("table").render(page.read_text("utf-8"))
    article = (site / built(page)).read_text("utf-8").partition("<article")[2].partition("</article>")[0]
    diagrams = expected.count('class="language-mermaid"')
    for tag, fewer in {"<li>": 0, "<tr>": 0, "<blockquote>": 0, "<pre>": diagrams}.items():
        assert article.count(tag) == expected.count(tag) - fewer, tag
    assert article.count('class="diagram"') == diagrams


def test_the_search_knows_every_page(site: Path) -> None:
    known = (site / "search.json").read_text("utf-8")
    for page in pages_of(REPOSITORY):
        assert f'"{built(page).as_posix()}' in known or built(page).name == "index.html", page


def test_a_reader_without_a_network_sees_diagrams_and_finds_words(site: Path) -> None:
    with running_chromium() as browser:
        page, asked = browser.new_page(), list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "docs" / "architecture.html").as_uri())
        page.locator(".diagram svg[aria-roledescription^=flowchart]").wait_for(timeout=DRAWN_WITHIN_MS)
        page.locator(".diagram svg[aria-roledescription=stateDiagram]").wait_for(timeout=DRAWN_WITHIN_MS)
        page.keyboard.press("/")
        page.keyboard.type("rolling-window log")
        page.get_by_text("Pace is a rolling-window log").last.wait_for(timeout=DRAWN_WITHIN_MS)
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []


def test_the_reference_has_every_setting(site: Path) -> None:
    named = [name_of(name) for name in Settings.__slots__ for name_of in (option_of, variable_of, key_of)]
    assert {*named} <= as_code(reference(site, "settings"))


def test_the_reference_has_every_metric(site: Path) -> None:
    counted = {*re.findall(r'"(ezthrottle_[a-z0-9_]+)"', TELEMETRY.read_text("utf-8"))}
    shown = {re.sub("_(total|info)$", "", name) for name in as_code(reference(site, "metrics"))}
    assert len(counted) > 30
    assert counted <= shown


def test_the_reference_has_every_error_with_what_to_do(site: Path) -> None:
    page = reference(site, "errors")
    for kind in problem_types():
        section = page.partition(f'<h2 id="{kind.slug}">')[2].partition("<h2")[0]
        assert f"<code>{kind.status.value}</code>" in section, kind.slug
        assert re.sub("`([^`]+)`", r"<code>\1</code>", kind.remedy) in unescape(section), kind.slug


def test_the_reference_has_every_call(site: Path) -> None:
    calls = {call.replace(":path}", "}") for call in ROLES}
    assert calls == {code for code in as_code(reference(site, "api")) if re.match("[A-Z]+ /", code)}


def test_the_reference_has_every_command_with_its_options(site: Path) -> None:
    page = reference(site, "commands")
    for name, options in commands_in("ezthrottle", command()):
        section = page.partition(f'<h2 id="{name.replace(" ", "-")}">')[2].partition("<h2")[0]
        assert {*options} <= as_code(section), name


def commands_in(name: str, told: Any) -> Iterator[tuple[str, list[str]]]:
    yield name, [option for each in told.params if each.param_type_name == "option" for option in each.opts]
    for below, part in getattr(told, "commands", {}).items():
        yield from commands_in(f"{name} {below}", part)


def test_the_reference_has_every_name_of_the_client(site: Path) -> None:
    anchors = {*re.findall(r'id="(ezthrottle\.[\w.]+)"', reference(site, "client"))}
    names = {f"ezthrottle.{name}" for name in ezthrottle.__all__ if not name.startswith("_")}
    names |= {f"ezthrottle.types.{name}" for name in ezthrottle.types.__all__}
    for client in (ezthrottle.EZThrottle, ezthrottle.AsyncEZThrottle):
        methods = (
            name for name, value in vars(client).items() if callable(value) and not name.startswith("_")
        )
        names |= {f"ezthrottle.{client.__name__}.{name}" for name in methods}
    assert names - anchors == set()


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ('<a href="gone.html">', "does not exist"),
        ('<a href="other.html#gone">', "names no part"),
        ('<a href="#gone">', "names no part"),
        ('<img src="gone.png">', "does not exist"),
        ('<script src="https://a.example/x.js">', "another host"),
        ('<link href="//a.example/x.css">', "another host"),
    ],
)
def test_what_leads_nowhere_is_named(link: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text('<h1 id="here">')
    (tmp_path / "index.html").write_text(f'<a href="other.html#here"><a href="https://a.example/">{link}')
    [broken] = broken_links(tmp_path)
    assert "index.html: " in broken
    assert told in broken
