"""Who comes in, for how long, and what another site can't do."""

import asyncio

import pytest

from orchestrator.adapters.http.authentication import TRUSTED_FOR_S
from orchestrator.adapters.http.console import job_stream
from orchestrator.adapters.http.console.attempts import FAILURES_MOST, WITHIN_S
from orchestrator.adapters.http.console.paths import ROOT, led_to
from orchestrator.adapters.http.console.sessions import COOKIE, LASTS_S
from orchestrator.domain.access.audit import Act, AuditEntry
from tests.unit.http.console.visitors import Visitor, browser
from tests.unit.http.gateway import KEY, REGIONS_KEY, Gateway, turns
from tests.unit.http.test_jobs import submitted


async def test_a_browser_at_the_root_is_led_to_the_console_and_a_program_is_not(gateway: Gateway) -> None:
    async with browser(gateway) as http:
        led = await http.get("/", headers={"accept": "text/html,*/*"})
        assert (led.status_code, led.headers["location"]) == (303, "/console")
        assert (await http.get("/")).headers["content-type"] == "application/problem+json"


async def test_who_has_not_signed_in_is_led_to_the_form_and_back_to_the_page_that_was_asked_for(
    gateway: Gateway,
) -> None:
    async with browser(gateway) as http:
        led = await http.get("/console/jobs?state=failed&domain=a.example")
        assert led.status_code == 303
        form = await http.get(led.headers["location"])
        asked = "/console/jobs?state=failed&amp;domain=a.example"
        assert f'name="next" value="{asked}"' in form.text
        back = await http.post(
            "/console/sign-in", data={"key": KEY, "next": "/console/jobs?state=failed&domain=a.example"}
        )
        assert (back.status_code, back.headers["location"]) == (
            303,
            "/console/jobs?state=failed&domain=a.example",
        )


@pytest.mark.parametrize(
    "asked",
    ["https://evil.example/", "//evil.example", "/api/v1/jobs", "/consolex", "/console\\evil", "/console\nx"],
)
def test_a_sign_in_leads_nowhere_but_into_the_console(asked: str) -> None:
    assert led_to(asked) == ROOT


async def test_the_cookie_is_for_the_console_alone_and_no_script_can_read_it(gateway: Gateway) -> None:
    async with browser(gateway) as http:
        plain = await http.post("/console/sign-in", data={"key": KEY})
        told = plain.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=lax", "Path=/console", f"Max-Age={LASTS_S}"} <= {*told.split("; ")}
        assert "Secure" not in told
        assert KEY not in told
        behind_tls = await http.post(
            "/console/sign-in", data={"key": KEY}, headers={"x-forwarded-proto": "https"}
        )
        assert "Secure" in behind_tls.headers["set-cookie"]


async def test_a_jobs_stream_ends_with_the_key_of_its_session(
    gateway: Gateway, acme: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_stream, "DRAWN_EVERY_S", 0.01)
    listening = asyncio.ensure_future(acme.open(f"/jobs/{await submitted(gateway)}/stream"))
    await turns()
    entry = AuditEntry(at_ms=1, act=Act.KEY_REVOKED, subject="", who="", origin="")
    await gateway.store.customers.revoke_key("key of cust_acme", entry)
    gateway.clock.ahead_s += TRUSTED_FOR_S + 0.1
    async with asyncio.timeout(20):
        heard = (await listening).text
    assert "event: job" in heard
    assert "event: over" not in heard, "the job goes on: who may come back will"


async def test_a_session_ends_after_twelve_hours(gateway: Gateway, acme: Visitor) -> None:
    gateway.clock.ahead_s = LASTS_S - 60
    assert (await acme.open("/jobs")).status_code == 200
    gateway.clock.ahead_s = LASTS_S + 1
    assert (await acme.open("/jobs")).status_code == 303


async def test_a_session_ends_when_its_key_is_revoked(gateway: Gateway, acme: Visitor) -> None:
    entry = AuditEntry(at_ms=1, act=Act.KEY_REVOKED, subject="key of cust_acme", who="test", origin="test")
    await gateway.store.customers.revoke_key("key of cust_acme", entry)
    gateway.clock.ahead_s = TRUSTED_FOR_S + 0.1
    assert (await acme.open("/jobs")).status_code == 303


async def test_a_cookie_that_was_changed_is_none(gateway: Gateway, acme: Visitor) -> None:
    cookie = acme.http.cookies[COOKIE]
    for changed in (cookie[:-2] + "xx", cookie.replace(".", "", 1), "", "a.b"):
        acme.http.cookies.set(COOKIE, changed, domain="service.local", path=ROOT)
        async with browser(gateway) as http:
            http.cookies.set(COOKIE, changed)
            assert (await http.get("/console/jobs")).status_code == 303, changed


async def test_signing_out_ends_the_session_in_that_browser(acme: Visitor) -> None:
    out = await acme.act("/sign-out")
    assert (out.status_code, out.headers["location"]) == (303, "/console/sign-in")
    assert (await acme.open("/jobs")).status_code == 303


@pytest.mark.parametrize("key", ["ck_live_nobody_x", "", "key of cust_acme", "ä"])
async def test_what_is_no_key_begins_no_session(gateway: Gateway, key: str) -> None:
    async with browser(gateway) as http:
        refused = await http.post("/console/sign-in", data={"key": key})
        assert refused.status_code == 401
        assert "unknown or revoked" in refused.text
        assert "set-cookie" not in refused.headers


async def test_an_id_of_a_key_is_no_key_for_the_api_either(gateway: Gateway, acme: Visitor) -> None:
    assert (await acme.open("/jobs")).status_code == 200
    for offered in ("id key of cust_acme", "key of cust_acme"):
        answer = await gateway.client.get("/api/v1/jobs", headers={"authorization": f"Bearer {offered}"})
        assert answer.status_code == 401


async def test_a_regions_key_does_not_sign_in(gateway: Gateway) -> None:
    async with browser(gateway) as http:
        assert (await http.post("/console/sign-in", data={"key": REGIONS_KEY})).status_code == 403


async def test_one_address_may_fail_so_often_and_then_waits(gateway: Gateway) -> None:
    async with browser(gateway) as http:
        for _ in range(FAILURES_MOST):
            assert (await http.post("/console/sign-in", data={"key": "wrong"})).status_code == 401
        refused = await http.post("/console/sign-in", data={"key": KEY})
        assert refused.status_code == 429
        gateway.clock.ahead_s = WITHIN_S
        assert (await http.post("/console/sign-in", data={"key": KEY})).status_code == 303


async def test_a_form_without_this_sessions_token_does_nothing(acme: Visitor, beta: Visitor) -> None:
    for token in ("", "made up", await beta.token()):
        refused = await acme.http.post("/console/sign-out", data={"token": token})
        assert refused.status_code == 403
    assert (await acme.open("/jobs")).status_code == 200


@pytest.mark.parametrize(
    "header", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://evil"}]
)
async def test_a_form_on_another_site_does_nothing_even_with_the_token(
    acme: Visitor, header: dict[str, str]
) -> None:
    form = {"token": await acme.token()}
    refused = await acme.http.post("/console/sign-out", data=form, headers=header)
    assert refused.status_code == 403
    signed_in = await acme.http.post("/console/sign-in", data={"key": KEY}, headers=header)
    assert signed_in.status_code == 403


async def test_a_part_of_a_page_whose_session_has_ended_leads_the_whole_page_to_the_form(
    gateway: Gateway,
) -> None:
    async with browser(gateway) as http:
        headers = {"hx-request": "true", "hx-current-url": "http://service/console/jobs?state=failed"}
        led = await http.get("/console/jobs/count", headers=headers)
        assert led.headers["hx-redirect"] == "/console/sign-in?next=/console/jobs%3Fstate%3Dfailed"
