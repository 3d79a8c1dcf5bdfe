"""What the console's pages show to whom, and that they load nothing from anywhere."""

import re
from pathlib import Path

import pytest
from starlette.routing import Route

from orchestrator.adapters.http.console.app import make_console
from orchestrator.adapters.http.console.pages import TEMPLATES
from orchestrator.adapters.http.console.static_files import DIRECTORY, StaticFiles
from orchestrator.adapters.http.paging import write_cursor
from orchestrator.domain.ids import JobId
from orchestrator.ports.store import JobCursor, JobPage
from tests.unit.domain.builders import NOW_MS
from tests.unit.http.console.visitors import Visitor, browser
from tests.unit.http.gateway import TARGET, Gateway
from tests.unit.http.test_jobs import submitted
from tests.unit.http.test_roles import a_finished_job

PAGE_BYTES_MOST = 200_000
DOMAIN = "203.0.113.7:80"
LOADED = re.compile(r'(?:src|href)="([^"]*/static/[^"]*)"')


def pages_of(gateway: Gateway, **in_path: str) -> list[str]:
    """List the console's pages: every route that is read, parts and streams apart."""
    apart = ("/static/", "/stream", "/count", "/sign-in")
    routes = [route for route in make_console(gateway.backend).routes if isinstance(route, Route)]
    return [
        route.path.removeprefix("/console").replace(":path}", "}").format(domain=DOMAIN, **in_path)
        for route in routes
        if "GET" in (route.methods or ()) and not any(part in route.path for part in apart)
    ]


async def test_every_page_is_shown_to_every_role_that_has_it_and_is_small_enough(
    gateway: Gateway, acme: Visitor, reader: Visitor, operator: Visitor
) -> None:
    job_id = await a_finished_job(gateway, webhooks=[{"url": "http://203.0.113.9/hook"}])
    for visitor in (acme, reader, operator):
        for path in pages_of(gateway, job_id=job_id):
            answer = await visitor.open(path, customer="cust_acme")
            if answer.status_code == 403:
                assert visitor is not operator, path
                continue
            assert answer.status_code == 200, (path, answer.text)
            loaded = [(await visitor.http.get(url)).content for url in {*LOADED.findall(answer.text)}]
            assert len(answer.content) + sum(map(len, loaded)) < PAGE_BYTES_MOST, path


async def test_no_page_may_load_or_send_anything_elsewhere_or_run_a_script_of_its_own(
    gateway: Gateway, operator: Visitor
) -> None:
    job_id = await a_finished_job(gateway)
    for path in [*pages_of(gateway, job_id=job_id), "/sign-in", "/nothing"]:
        answer = await operator.open(path)
        policy = answer.headers.get("content-security-policy", "")
        if answer.status_code == 303:
            continue
        assert policy.startswith("default-src 'self';"), path
        assert "unsafe" not in policy
        assert not re.search(
            r"<style|style=|<script(?! src=)|\son\w+=|https?://(?!service/)", without_examples(answer.text)
        )


def without_examples(html: str) -> str:
    return re.sub(r"<pre.*?</pre>|<dd.*?</dd>|<code.*?</code>", "", html, flags=re.DOTALL)


def test_the_files_load_nothing_from_elsewhere_either() -> None:
    ours = [DIRECTORY / "console.css", DIRECTORY / "console.js", *Path(TEMPLATES).glob("*.html")]
    for path in ours:
        assert not re.search(r"@import|(?:src|href)=.https?:|url\(|cdn", path.read_text()), path


def test_what_others_wrote_stands_beside_its_licence() -> None:
    vendored = {path.name for path in (DIRECTORY / "vendor").iterdir()}
    for name in ("htmx", "htmx-ext-sse", "uplot"):
        assert {f"{name}.min.js", f"{name}.LICENSE"} <= vendored


async def test_files_are_kept_for_ever_under_a_name_that_changes_with_them(gateway: Gateway) -> None:
    async with browser(gateway) as http:
        file = await http.get(StaticFiles().url("console.css"))
        assert file.headers["content-type"].startswith("text/css")
        assert "immutable" in file.headers["cache-control"]
        for absent in ("console.css.bak", "../pages.py", "%2e%2e/pages.py", "templates/base.html"):
            assert (await http.get(f"/console/static/{absent}")).status_code == 404


async def test_a_customer_finds_neither_the_jobs_of_another_nor_whether_they_are_there(
    gateway: Gateway, acme: Visitor, beta: Visitor
) -> None:
    job_id = await a_finished_job(gateway)
    assert job_id in await acme.page("/jobs")
    assert job_id not in await beta.page("/jobs")
    for answer in (
        await beta.open(f"/jobs/{job_id}"),
        await beta.open(f"/jobs/{job_id}/stream"),
        await beta.act(f"/jobs/{job_id}/replay"),
        await beta.act(f"/jobs/{job_id}/cancel"),
        await beta.open("/jobs/job_1_1"),
    ):
        assert answer.status_code == 404


async def test_a_customer_who_names_another_sees_his_own_all_the_same(
    gateway: Gateway, acme: Visitor, beta: Visitor
) -> None:
    job_id = await submitted(gateway)
    assert job_id not in await beta.page("/jobs", customer="cust_acme")
    assert job_id in await acme.page("/jobs", customer="cust_beta")


async def test_an_operator_sees_everybodys_jobs_and_whose_they_are(
    gateway: Gateway, operator: Visitor
) -> None:
    job_id = await submitted(gateway)
    listed = await operator.page("/jobs")
    assert job_id in listed
    assert "<td>cust_acme</td>" in listed
    assert job_id in await operator.page("/jobs", customer="cust_acme")
    assert job_id not in await operator.page("/jobs", customer="cust_beta")
    assert "cust_acme" in await operator.page(f"/jobs/{job_id}")


async def test_a_reader_sees_jobs_without_bodies_and_can_not_act(gateway: Gateway, reader: Visitor) -> None:
    job_id = await a_finished_job(gateway, webhooks=[{"url": "http://203.0.113.9/hook"}])
    page = await reader.page(f"/jobs/{job_id}", body="1")
    assert "what-was-sent" not in page
    assert "what-came-back" not in page
    assert "Replay" not in page
    assert (await reader.act(f"/jobs/{job_id}/replay")).status_code == 403


async def test_bodies_are_shown_when_they_are_asked_for(gateway: Gateway, acme: Visitor) -> None:
    job_id = await a_finished_job(gateway)
    assert "what-was-sent" not in await acme.page(f"/jobs/{job_id}")
    assert "what-was-sent" in await acme.page(f"/jobs/{job_id}", body="1")


async def test_a_binary_body_is_said_to_be_one(gateway: Gateway, acme: Visitor) -> None:
    job_id = await submitted(gateway, method="POST", body="//4AAQ==", body_encoding="base64")
    page = await acme.page(f"/jobs/{job_id}", body="1")
    assert "A binary body of 4 B" in page
    assert "base64 -d" in page


async def test_credentials_are_masked_in_the_request_and_in_its_command(
    gateway: Gateway, acme: Visitor
) -> None:
    job_id = await submitted(gateway, headers={"Authorization": "Bearer s3cret"})
    page = await acme.page(f"/jobs/{job_id}")
    assert "s3cret" not in page
    assert "Authorization: ****" in page


async def test_what_a_customer_sends_can_not_become_part_of_a_page(gateway: Gateway, acme: Visitor) -> None:
    nasty = '"><script>alert(1)</script>'
    job_id = await submitted(
        gateway, metadata={"note": nasty}, idempotent_key=nasty, headers={"x-note": nasty}
    )
    for page in (await acme.page(f"/jobs/{job_id}"), await acme.page("/jobs", domain="a.example")):
        assert "<script>alert" not in page


async def test_filters_hold_together_and_say_of_which_time_they_are(gateway: Gateway, acme: Visitor) -> None:
    done = await a_finished_job(gateway)
    waiting = await submitted(gateway, idempotent_key="second")
    filters = {"state": "success", "domain": "203.0.113.7:80", "within": "1h"}
    found = await acme.page("/jobs", **filters)
    assert done in found
    assert waiting not in found
    assert "of last hour" in found
    assert (await acme.page("/jobs/count", **filters)) == "1"
    assert (await acme.page("/jobs/count", **filters, code="timeout")) == "0"
    assert "No job fits" in await acme.page("/jobs", **filters, code="timeout")


async def test_a_search_that_takes_long_says_how_far_it_came_and_goes_on(
    gateway: Gateway, acme: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = JobId(f"job_{NOW_MS}_000001")

    async def in_vain(*_: object, **__: object) -> JobPage:
        return JobPage((), JobCursor(NOW_MS, last))

    monkeypatch.setattr(gateway.store.history, "jobs_of", in_vain)
    page = await acme.page("/jobs", domain=DOMAIN)
    assert "None so far" in page
    assert "Look further back" in page
    assert f"cursor={write_cursor(JobCursor(NOW_MS, last))}" in page
    assert (await acme.page("/jobs/count", domain=DOMAIN)) == "0+"


@pytest.mark.parametrize(
    "query", [{"state": "odd"}, {"since": "yesterday"}, {"within": "1y"}, {"cursor": "x"}]
)
async def test_a_filter_that_is_wrong_is_named(acme: Visitor, query: dict[str, str]) -> None:
    answer = await acme.open("/jobs", **query)
    assert answer.status_code == 422
    assert f"{next(iter(query))}: " in answer.text


async def test_who_has_no_jobs_is_told_how_to_submit_one(acme: Visitor, operator: Visitor) -> None:
    for visitor in (acme, operator):
        for path in ("", "/jobs"):
            assert "http://service/api/v1/jobs" in await visitor.page(path)


async def test_a_job_is_cancelled_replayed_and_its_webhooks_sent_again_by_its_customer(
    gateway: Gateway, acme: Visitor
) -> None:
    waiting = await submitted(gateway)
    back = await acme.act(f"/jobs/{waiting}/cancel")
    assert (back.status_code, back.headers["location"]) == (303, f"/console/jobs/{waiting}?said=cancelled")
    assert "The job is cancelled." in (await acme.http.get(back.headers["location"])).text
    assert (await acme.act(f"/jobs/{waiting}/cancel")).status_code == 409
    done = await a_finished_job(gateway, webhooks=[{"url": "http://203.0.113.9/hook"}], idempotent_key="k")
    again = await acme.act(f"/jobs/{done}/redeliver")
    assert again.headers["location"].endswith("said=redelivered")
    replayed = await acme.act(f"/jobs/{done}/replay")
    new = replayed.headers["location"].split("/")[3].split("?")[0]
    assert new != done
    assert TARGET.partition("?")[0] in await acme.page(f"/jobs/{new}")


async def test_what_an_operator_does_to_a_job_is_in_the_audit_before_it_is_done(
    gateway: Gateway, operator: Visitor
) -> None:
    job_id = await submitted(gateway)
    assert (await operator.act(f"/jobs/{job_id}/cancel")).status_code == 303
    audit = (
        await gateway.client.get(
            "/api/v1/admin/audit", headers={"authorization": "Bearer ck_live_cust_ops_s3cret"}
        )
    ).json()["audit"]
    assert [(line["act"], line["subject"], line["from"]) for line in audit] == [
        ("job.cancelled", job_id, "127.0.0.1")
    ]


async def test_the_overview_says_what_is_wrong_the_worst_first(gateway: Gateway, operator: Visitor) -> None:
    gateway.regions_up()
    assert "All is well" in await operator.page()
    await gateway.client.post(
        "/api/v1/domains/a.example:pause", headers={"authorization": "Bearer ck_live_cust_ops_s3cret"}
    )
    assert "a.example is paused by an operator" in await operator.page()
