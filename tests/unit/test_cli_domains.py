"""``ezthrottle domains``: what is asked of the service, and what people see of its answer."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bench.loopback import Site, running_site
from tests.unit.test_cli_jobs import answer, run, sent

PATH = "/api/v1/domains"
PAUSED: dict[str, Any] = {
    "domain": "api.example",
    "pace": {"rps": 0.0, "max_concurrent": 2, "set_by": "operator"},
    "limited_by": {"kind": "pause", "source": "operator", "until": None},
    "stated": {"rps": 200.0, "max_concurrent": 2, "set_by": "target"},
    "operator": {"paused_at": 1_790_000_000_000, "rps": None},
    "signals": [],
    "paused_until": None,
    "in_flight": 0,
    "waiting": 1406,
    "waiting_yours": 0,
    "next_start_in_s": None,
    "regions": {},
}
SLOWED = PAUSED | {
    "pace": {"rps": 0.07, "max_concurrent": 2, "set_by": "target"},
    "limited_by": {"kind": "slowed", "source": "429 or 503", "until": None},
    "next_start_in_s": 12.4,
}


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site(answer(PAUSED)) as site:
        yield site


@pytest.mark.parametrize("word", ["reset", "pause", "resume"])
def test_an_act_is_asked_for_and_its_answer_shown(site: Site, word: str) -> None:
    site.on(f"{PATH}/api.example:{word}", answer(PAUSED))
    output = run(site, "domains", word, "api.example").output
    assert all(told in output for told in ("api.example", "pause: operator", "1406"))
    assert site.seen(f"{PATH}/api.example:{word}")[-1].method == "POST"
    assert json.loads(run(site, "domains", word, "api.example", "--json").stdout) == PAUSED


def test_a_pace_is_set_with_its_end(site: Site) -> None:
    site.on(f"{PATH}/api.example/pace", answer(PAUSED))
    before = time.time()
    result = run(
        site, "domains", "set", "api.example", "--rps", "2.5", "--max-concurrent", "3", "--for", "60"
    )
    assert result.exit_code == 0, result.output
    body = sent(site, f"{PATH}/api.example/pace")
    assert before + 59 < body.pop("until_ms") / 1000 < time.time() + 61
    assert body == {"rps": 2.5, "max_concurrent": 3}


def test_a_pace_is_lifted_by_an_empty_one(site: Site) -> None:
    site.on(f"{PATH}/api.example/pace", answer(PAUSED))
    assert run(site, "domains", "set", "api.example", "--lift").exit_code == 0
    assert sent(site, f"{PATH}/api.example/pace") == {}


@pytest.mark.parametrize("options", [(), ("--for", "60"), ("--rps", "5", "--lift")])
def test_setting_nothing_by_mistake_lifts_nothing(site: Site, options: tuple[str, ...]) -> None:
    result = run(site, "domains", "set", "api.example", *options)
    assert (result.exit_code, "--rps" in result.stderr) == (2, True)


@pytest.mark.parametrize("words", [("domains",), ("domains", "list")])
def test_the_list_shows_the_pace_that_holds_and_why(site: Site, words: tuple[str, ...]) -> None:
    page = {"domains": [SLOWED], "next_cursor": None}
    site.on(PATH, answer(page))
    output = run(site, *words).output
    assert all(told in output for told in ("0.07", "slowed: 429 or 503", "12.4", "target"))
    assert "200" not in output
    assert json.loads(run(site, *words, "--json").stdout) == page


def test_a_whole_url_names_a_domain(site: Site) -> None:
    result = run(site, "domains", "pause", "https://api.example/a?b=c")
    assert [seen.path for seen in site.seen()] == [f"{PATH}/https:%2F%2Fapi.example%2Fa%3Fb%3Dc:pause"], (
        result.output
    )
