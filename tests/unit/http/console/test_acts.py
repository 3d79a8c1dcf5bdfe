"""What operators and customers do on the console's pages, beside single jobs."""

import asyncio
import re

import pytest

from orchestrator.adapters.http.console.many_jobs_acts import ManyAct, ManyJobsActs
from orchestrator.core.views import Done
from orchestrator.domain.access.usage import DayUsage, day_of
from orchestrator.domain.errors import Conflict, OverLimit
from orchestrator.domain.ids import TargetDomain
from orchestrator.ports.store import JobCursor, JobFilter
from tests.unit.domain.builders import ACME
from tests.unit.http.console.visitors import Visitor, browser
from tests.unit.http.gateway import BETA, OPERATORS_KEY, Gateway, turns
from tests.unit.http.test_jobs import submitted
from tests.unit.http.test_roles import a_finished_job

DOMAIN = "203.0.113.7:80"


async def audited(gateway: Gateway) -> list[tuple[str, str]]:
    headers = {"authorization": f"Bearer {OPERATORS_KEY}"}
    lines = (await gateway.client.get("/api/v1/admin/audit", headers=headers)).json()["audit"]
    return [(line["act"], line["subject"]) for line in reversed(lines)]


async def test_a_domain_is_found_by_who_has_called_it_and_by_operators_only(
    gateway: Gateway, acme: Visitor, beta: Visitor, operator: Visitor
) -> None:
    await submitted(gateway)
    for visitor in (acme, operator):
        assert DOMAIN in await visitor.page("/domains")
        assert "Why this pace" in await visitor.page(f"/domains/{DOMAIN}")
    assert DOMAIN not in await beta.page("/domains")
    assert (await beta.open(f"/domains/{DOMAIN}")).status_code == 404
    assert (await operator.open("/domains/never.example")).status_code == 404


async def test_domains_are_listed_from_a_name_on(gateway: Gateway, operator: Visitor) -> None:
    for host in ("203.0.113.7", "203.0.113.8", "203.0.113.9"):
        await submitted(gateway, url=f"http://{host}/")
    listed = await operator.page("/domains", name="203.0.113.8")
    assert "203.0.113.7:80" not in listed
    assert {"203.0.113.8:80", "203.0.113.9:80"} <= {*re.findall(r"[\d.]+:80", listed)}


async def test_an_operator_pauses_resumes_and_resets_a_domain_and_sets_its_pace(
    gateway: Gateway, operator: Visitor
) -> None:
    await submitted(gateway)
    here = f"/domains/{DOMAIN}"
    paused = await operator.act(f"{here}/pause")
    assert "It is paused" in (await operator.http.get(paused.headers["location"])).text
    assert "Resume" in await operator.page(here)
    await operator.act(f"{here}/resume")
    await operator.act(f"{here}/pace", rps="7.5", max_concurrent="4", hours="2")
    shown = await operator.page(here)
    assert "<dd>7.5<small>/s</small></dd>" in shown
    await operator.act(f"{here}/pace")
    assert "<dd>7.5<small>" not in await operator.page(here)
    await operator.act(f"{here}/reset")
    acts = ["domain.paused", "domain.resumed", "domain.pace_set", "domain.pace_lifted", "domain.reset"]
    assert await audited(gateway) == [(act, DOMAIN) for act in acts]


@pytest.mark.parametrize("form", [{"rps": "fast"}, {"rps": "nan"}, {"rps": "-1"}, {"hours": "2"}])
async def test_a_pace_that_is_none_sets_nothing(
    gateway: Gateway, operator: Visitor, form: dict[str, str]
) -> None:
    await submitted(gateway)
    assert (await operator.act(f"/domains/{DOMAIN}/pace", **form)).status_code == 422
    assert await audited(gateway) == []


ACTS = [
    f"/domains/{DOMAIN}/reset",
    f"/domains/{DOMAIN}/pause",
    f"/domains/{DOMAIN}/resume",
    f"/domains/{DOMAIN}/pace",
    "/regions/iad/drain",
    "/regions/iad/undrain",
    "/keys",
    "/keys/abc/revoke",
    "/keys/plan",
]


@pytest.mark.parametrize("act", ACTS)
async def test_what_operators_do_is_refused_to_all_others(
    gateway: Gateway, acme: Visitor, reader: Visitor, act: str
) -> None:
    await submitted(gateway)
    for visitor in (acme, reader):
        assert (await visitor.act(act)).status_code == 403
    assert await audited(gateway) == []


@pytest.mark.parametrize("page", ["/keys", "/audit"])
async def test_keys_and_the_audit_are_for_operators(acme: Visitor, page: str) -> None:
    assert (await acme.open(page)).status_code == 403
    assert f'"/console{page}"' not in await acme.page()


async def test_a_region_is_drained_and_takes_work_again(gateway: Gateway, operator: Visitor) -> None:
    gateway.regions_up()
    await operator.act("/regions/lax/drain")
    assert "Take work again" in await operator.page("/regions")
    assert "Region lax drains" in await operator.page()
    await operator.act("/regions/lax/undrain")
    assert "Take work again" not in await operator.page("/regions")
    assert (await operator.act("/regions/nowhere/drain")).status_code == 404


async def test_a_key_is_made_and_shown_once_and_revoked(gateway: Gateway, operator: Visitor) -> None:
    made = await operator.act("/keys", role="read", customer_id="cust_new", label="a dashboard", days="30")
    found = re.search(r"ck_live_cust_new_\w+", made.text)
    assert found is not None
    assert made.headers["cache-control"] == "no-store"
    listed = await operator.page("/keys")
    assert found[0] not in listed
    assert "a dashboard" in listed
    async with browser(gateway) as http:
        assert (await http.post("/console/sign-in", data={"key": found[0]})).status_code == 303
    key_id = next(key.key_id for key in await gateway.store.customers.keys() if key.label == "a dashboard")
    back = await operator.act(f"/keys/{key_id}/revoke")
    assert back.headers["location"] == "/console/keys?said=revoked"
    assert [act for act, _ in await audited(gateway)] == ["key.created", "key.revoked"]


@pytest.mark.parametrize(
    "form", [{"role": "read"}, {"customer_id": "a b"}, {"days": "soon"}, {"role": "odd"}]
)
async def test_a_key_that_can_not_be_is_not_made(operator: Visitor, form: dict[str, str]) -> None:
    assert (await operator.act("/keys", **form)).status_code == 422


async def test_a_customers_plan_is_chosen_of_those_that_the_table_names(
    gateway: Gateway, operator: Visitor
) -> None:
    assert "Change the plan" not in await operator.page("/keys")
    assert '<option value="pro" selected>' in await operator.page("/keys", customer="cust_beta")
    changed = await operator.act("/keys/plan", customer_id="cust_beta", plan="gold")
    assert changed.headers["location"] == "/console/keys?customer=cust_beta&said=planned"
    shown = await operator.page("/keys", customer="cust_beta")
    assert '<option value="gold" selected>gold</option>' in shown[shown.index("Plan of cust_beta") :]
    assert (await operator.act("/keys/plan", customer_id="cust_beta", plan="odd")).status_code == 422
    assert await audited(gateway) == [("customer.plan_set", "cust_beta")]


async def test_the_audit_is_shown_with_who_and_from_where(gateway: Gateway, operator: Visitor) -> None:
    assert "Nothing stands here yet" in await operator.page("/audit")
    await submitted(gateway)
    await operator.act(f"/domains/{DOMAIN}/pause")
    page = await operator.page("/audit", within="1h")
    assert "domain.paused" in page
    assert "key of cust_ops" in page
    assert "127.0.0.1" in page
    assert "for that time" in await operator.page("/audit", until="2020-01-01")


async def test_usage_is_ones_own_and_an_operators_everybodys(
    gateway: Gateway, acme: Visitor, operator: Visitor
) -> None:
    gateway.store.jobs.note_usage(ACME, DayUsage(day=day_of(gateway.clock.unix_ms()), accepted=9))
    gateway.store.jobs.note_usage(BETA, DayUsage(day=day_of(gateway.clock.unix_ms()), accepted=3))
    assert "Usage of cust_acme" in await acme.page("/usage", customer="cust_beta")
    everybody = await operator.page("/usage")
    assert everybody.index("cust_acme") < everybody.index("cust_beta"), "who used most comes first"
    assert "Usage of cust_acme" in await operator.page("/usage", customer="cust_acme")


async def until_over(visitor: Visitor, path: str = "/jobs/many/progress", **query: str) -> str:
    for _ in range(500):
        page = await visitor.page(path, **query)
        if "so far" not in page:
            return page
        await asyncio.sleep(0.01)
    raise AssertionError(page)


async def test_all_jobs_that_a_filter_names_are_cancelled_after_a_count_and_a_question(
    gateway: Gateway, acme: Visitor, beta: Visitor
) -> None:
    mine = [await submitted(gateway, idempotent_key=str(n)) for n in range(3)]
    other = await submitted(gateway, url="http://203.0.113.8/")
    assert "Counting" in await acme.page("/jobs/many/cancel", domain=DOMAIN)
    assert "Cancel 3 jobs?" in await acme.page("/jobs/many/cancel", domain=DOMAIN, counted="1")
    begun = await acme.act("/jobs/many/cancel", domain=DOMAIN, counted="3")
    assert begun.status_code == 303
    assert "3 cancelled" in await until_over(acme)
    assert "Nothing is under way" in await beta.page("/jobs/many/progress")
    states = {
        id_: (await gateway.client.get(f"/api/v1/jobs/{id_}")).json()["state"] for id_ in [*mine, other]
    }
    assert {states[job_id] for job_id in mine} == {"cancelled"}
    assert states[other] != "cancelled"


async def test_an_operator_names_whose_jobs_are_replayed_and_it_is_in_the_audit(
    gateway: Gateway, operator: Visitor
) -> None:
    await a_finished_job(gateway)
    assert (await operator.act("/jobs/many/replay")).status_code == 422
    asked = {"customer": "cust_acme", "state": "success"}
    assert "Replay 1 job?" in await operator.page("/jobs/many/replay", **asked, counted="1")
    await operator.act("/jobs/many/replay", customer="cust_acme", state="success")
    assert "1 replayed" in await until_over(operator, customer="cust_acme")
    assert await audited(gateway) == [("jobs.replayed", "cust_acme")]


async def test_a_reader_acts_on_many_no_more_than_on_one(gateway: Gateway, reader: Visitor) -> None:
    await submitted(gateway)
    assert "Cancel them" not in await reader.page("/jobs")
    assert (await reader.act("/jobs/many/cancel")).status_code == 403


async def test_one_act_on_many_at_a_time_and_what_stops_it_is_said() -> None:
    acts, go_on = ManyJobsActs(), asyncio.Event()
    wanted = JobFilter(customer=ACME)

    async def step(_wanted: JobFilter, _most: int, _before: JobCursor | None) -> Done:
        await go_on.wait()
        raise OverLimit("no more jobs may be open", 5)

    acts.begin(wanted, ManyAct.REPLAY, step, 7)
    with pytest.raises(Conflict):
        acts.begin(wanted, ManyAct.CANCEL, step, 7)
    go_on.set()
    progress = acts.progress(ACME)
    assert progress is not None
    await turns()
    assert progress.over
    assert progress.stopped == "no more jobs may be open"


async def test_webhooks_that_failed_are_shown_and_sent_again(
    gateway: Gateway, acme: Visitor, beta: Visitor, operator: Visitor
) -> None:
    assert "Nothing waits" in await acme.page("/webhooks")
    await a_finished_job(gateway, webhooks=[{"url": "http://203.0.113.9/hook"}])
    assert "203.0.113.9:80" in await acme.page("/webhooks")
    assert "203.0.113.9:80" not in await beta.page("/webhooks")
    assert "cust_acme" in await operator.page("/webhooks")
    assert "203.0.113.9:80" in await operator.page("/webhooks", customer="cust_acme")
    again = await acme.act("/webhooks/redeliver", endpoint="203.0.113.9:80")
    assert again.headers["location"] == "/console/webhooks?endpoint=203.0.113.9%3A80&said=redelivered"
    assert (await acme.act("/webhooks/redeliver", webhook_id="none")).status_code == 404
    assert (await operator.act("/webhooks/redeliver", customer="cust_acme")).status_code == 303
    assert await audited(gateway) == [("webhooks.redelivered", "all")]


async def test_how_receivers_take_webhooks_is_shown_to_whom_they_are(
    gateway: Gateway, acme: Visitor, beta: Visitor, operator: Visitor
) -> None:
    assert "How receivers take them" not in await acme.page("/webhooks")
    known = gateway.shard.webhooks.outbox.receivers
    for taken in (True, False, True):
        known.note(ACME, TargetDomain("hooks.example:443"), 0.02, answered=True, taken=taken)
    for visitor, whose in ((acme, ""), (operator, "cust_acme")):
        page = await visitor.page("/webhooks", customer=whose)
        assert '<td class="num">3</td><td class="num">66.6 %</td>' in page
    assert "hooks.example" not in await beta.page("/webhooks")


async def test_how_long_targets_take_is_shown_by_region(
    gateway: Gateway, acme: Visitor, beta: Visitor, operator: Visitor
) -> None:
    gateway.regions_up()
    await submitted(gateway)
    gateway.answer_attempts()
    await turns()
    for visitor in (acme, operator):
        page = await visitor.page("/regions")
        row = page[page.index("How long targets take") :]
        assert DOMAIN in row
        assert "not called" in row
        assert re.search(r'<td class="num">\d+ ms</td>', row)
    assert DOMAIN not in await beta.page("/regions")
    assert "No target from there on" in await operator.page("/regions", target="zzz.example")
