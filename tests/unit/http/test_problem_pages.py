"""The pages at /problems."""

import re
from html import unescape

import pytest

from orchestrator.domain.errors import EZThrottleError, problem_types
from tests.unit.http.gateway import JOBS, Gateway


@pytest.mark.parametrize("kind", [*problem_types()], ids=lambda kind: kind.slug)
async def test_the_address_that_an_error_names_tells_what_to_do(
    kind: type[EZThrottleError], gateway: Gateway
) -> None:
    page = await gateway.client.get(f"/problems/{kind.slug}")
    assert page.headers["content-type"].startswith("text/html")
    assert kind.remedy in unescape(page.text)
    assert f"<code>{kind.status.value}</code>" in page.text


@pytest.mark.parametrize(
    ("method", "path", "slug"),
    [
        ("GET", "/api/v1/nowhere", "not-found"),
        ("PATCH", JOBS, "method-not-allowed"),
        ("GET", f"{JOBS}/job_1_1", "not-found"),
        ("POST", JOBS, "malformed-json"),
    ],
)
async def test_an_answer_names_the_page_of_its_kind(
    method: str, path: str, slug: str, gateway: Gateway
) -> None:
    refused = await gateway.client.request(method, path)
    assert refused.json()["type"] == f"/problems/{slug}"
    assert (await gateway.client.get(refused.json()["type"])).status_code == 200


async def test_one_page_lists_all_and_loads_nothing_from_anywhere(gateway: Gateway) -> None:
    page = (await gateway.client.get("/problems")).text
    assert {*re.findall("<code>([a-z-]+)</code>", page)} == {kind.slug for kind in problem_types()}
    assert not re.search(r"<script|src=|@import|url\(|<link|href=", page)


async def test_another_kind_is_not_found(gateway: Gateway) -> None:
    refused = await gateway.client.get("/problems/bad-luck")
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/not-found")


def test_every_kind_has_a_name_of_its_own_and_says_what_to_do() -> None:
    kinds = list(problem_types())
    assert len({kind.slug for kind in kinds}) == len(kinds)
    assert all(kind.remedy.endswith(".") for kind in kinds)
