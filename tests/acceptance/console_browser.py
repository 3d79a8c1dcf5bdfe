"""A real browser before the console: the distribution's Chromium, driven by Playwright."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text()
IMAGES = Path(__file__).parents[2] / "docs/images"
WANTED = "EZTHROTTLE_SCREENSHOTS"
"""Set to anything, it has the tests take the pictures that the docs show."""
REQUIRED = "EZTHROTTLE_BROWSER_REQUIRED"
"""Set to anything, it makes it a failure that there is no browser."""
SHOWN_WITHIN_MS = 20_000
WIDE, PHONE = (1280, 800), (390, 844)


@contextlib.contextmanager
def running_chromium() -> Iterator[Browser]:
    """Start the distribution's Chromium.

    Raises:
        Skipped: There is none: `make test` asks for Python and make only.
        Failed: There is none where one is required, as in CI.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing = pytest.fail if os.environ.get(REQUIRED) else pytest.skip
        missing(f"no browser: install the distribution's {NAMES[0]}")
    expect.set_options(timeout=SHOWN_WITHIN_MS)
    with sync_playwright() as playwright:
        # As root, as in a container, Chromium's own sandbox does not start.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Person:
    """Somebody at the console; what the browser complained of is an error."""

    page: Page
    base_url: str
    complaints: list[str]

    def open(self, path: str = "") -> None:
        """Open a page of the console."""
        self.page.goto(f"{self.base_url}/console{path}")

    def sign_in(self, key: str) -> None:
        """Hand in a key where it is asked for."""
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()

    def sees(self, text: str) -> None:
        """Wait until a text is seen."""
        self.page.get_by_text(text).first.wait_for(timeout=SHOWN_WITHIN_MS)

    def press(self, name: str) -> None:
        """Press a button."""
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def findings(self) -> list[str]:
        """Let axe look at the page; name what is serious, or worse."""
        self.page.evaluate(f"{AXE}; undefined")
        found: list[dict[str, Any]] = self.page.evaluate("async () => (await axe.run()).violations")
        return [
            f"{each['id']}: {node['target']} {node['failureSummary']}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def photograph(self, name: str) -> None:
        """Take the picture that the docs show, where that is wanted."""
        if os.environ.get(WANTED):
            IMAGES.mkdir(exist_ok=True)
            self.page.screenshot(path=IMAGES / f"console-{name}.png")


@contextlib.contextmanager
def person(
    browser: Browser, base_url: str, *, size: tuple[int, int] = WIDE, dark: bool = False
) -> Iterator[Person]:
    """Open a browser's window, with cookies of its own."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    page, complaints = context.new_page(), list[str]()
    page.set_default_timeout(SHOWN_WITHIN_MS)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("dialog", lambda dialog: dialog.accept())
    yield Person(page, base_url, complaints)
    context.close()
