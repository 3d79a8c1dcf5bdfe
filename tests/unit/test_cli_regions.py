"""``ezthrottle regions``: what is asked of the service, and what people see of its answer."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bench.loopback import Site, running_site
from tests.unit.test_cli_jobs import OVERVIEWS, answer, run

OVERVIEW: dict[str, Any] = OVERVIEWS["regions"]
IAD, LAX = OVERVIEW["regions"]
DRAINING = OVERVIEW | {
    "regions": [IAD | {"draining_since": 1_790_000_000_000, "reason": "it drains: an operator"}, LAX]
}


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site(answer(DRAINING)) as site:
        yield site


@pytest.mark.parametrize("word", ["drain", "undrain"])
def test_an_act_is_asked_for_and_its_answer_shown(site: Site, word: str) -> None:
    output = run(site, "regions", word, "iad").output
    assert all(told in output for told in ("iad", "draining", "it drains: an operator", "lax", "down"))
    seen = site.seen(f"/api/v1/admin/regions/iad:{word}")
    assert [request.method for request in seen] == ["POST"]
    assert json.loads(run(site, "regions", word, "iad", "--json").stdout) == DRAINING


@pytest.mark.parametrize("words", [("regions",), ("regions", "list")])
def test_the_list_shows_which_region_drains(site: Site, words: tuple[str, ...]) -> None:
    output = run(site, *words).output
    assert ("draining" in output, [seen.path for seen in site.seen()]) == (True, ["/api/v1/regions"])


def test_a_name_stays_in_its_place_of_the_path(site: Site) -> None:
    run(site, "regions", "drain", "../keys")
    assert [seen.path for seen in site.seen()] == ["/api/v1/admin/regions/..%2Fkeys:drain"]
