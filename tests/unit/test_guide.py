"""What the guide lists is what there is."""

import re
from pathlib import Path

from orchestrator.domain.execution.settling import FailureCode

REPOSITORY = Path(__file__).parents[2]
GUIDE = REPOSITORY / "docs" / "guide.md"
SECURITY = REPOSITORY / "docs" / "security.md"
ROOMS = (REPOSITORY, REPOSITORY / "orchestrator")
"""What the paths of a page begin at."""


def test_the_guide_tells_of_every_code_that_a_job_can_fail_with() -> None:
    section = GUIDE.read_text("utf-8").partition("## When a job fails")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE) == [code.value for code in FailureCode]


def test_whatever_the_page_on_security_says_stops_somebody_is_there() -> None:
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", SECURITY.read_text("utf-8")))
    assert len(named) > 30
    assert {path for path in named if not any((room / path).exists() for room in ROOMS)} == set()


def test_what_the_pages_link_to_is_there() -> None:
    pages = [*REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("docs/howto/*.md"), REPOSITORY / "README.md"]
    dead = {
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    }
    assert dead == set()


def test_each_decision_has_a_number_of_its_own_and_bears_it() -> None:
    pages = sorted((REPOSITORY / "docs" / "decisions").glob("*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert numbers == [*range(1, len(pages) + 1)]
    titles = [re.match(r"# (\d+)\. ", page.read_text("utf-8")) for page in pages]
    assert [int(title[1]) if title else None for title in titles] == numbers
