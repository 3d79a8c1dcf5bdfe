"""Reset, pause, resume and a set pace over HTTP: who may, what is answered, what is refused."""

import logging
from typing import Any

import httpx
import pytest

from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.requests.path_class import PathClass
from orchestrator.domain.steering.troubles import Troubles
from tests.unit.domain.builders import ACME
from tests.unit.http.gateway import BETAS_KEY, JOBS, KEY, OPERATORS_KEY, Gateway
from tests.unit.http.test_jobs import submitted
from tests.unit.http.test_overviews import THEIRS, answered, seen, the_domain

DOMAINS = "/api/v1/domains"
NAME = "203.0.113.7:80"
OPERATORS = {"authorization": f"Bearer {OPERATORS_KEY}"}
ACTS = [
    ("POST", f"{NAME}:reset"),
    ("POST", f"{NAME}:pause"),
    ("POST", f"{NAME}:resume"),
    ("PUT", f"{NAME}/pace"),
]


async def act(
    gateway: Gateway, method: str, path: str, key: str = OPERATORS_KEY, **body: Any
) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    json = body if method == "PUT" else None
    return await gateway.client.request(method, f"{DOMAINS}/{path}", json=json, headers=headers)


@pytest.mark.parametrize(("method", "path"), ACTS)
async def test_a_key_that_submits_may_not_act_on_a_domain(gateway: Gateway, method: str, path: str) -> None:
    await submitted(gateway)
    for key in (KEY, BETAS_KEY):
        refused = await act(gateway, method, path, key, rps=5)
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-permitted")
        assert "--role admin" in refused.json()["error"]
    assert (await act(gateway, method, path, "nonsense", rps=5)).status_code == 401
    assert (await the_domain(gateway))["operator"] is None


@pytest.mark.parametrize(("method", "path"), ACTS)
async def test_each_act_answers_with_the_domain_and_is_in_the_log(
    gateway: Gateway, method: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answer = await act(gateway, method, path, rps=5)
    assert (answer.status_code, answer.json()["domain"]) == (200, NAME)
    (line,) = [record.getMessage() for record in caplog.records if record.name.endswith("operator")]
    assert (NAME in line, "cust_ops" in line, "key of cust_ops" in line) == (True, True, True)


@pytest.mark.parametrize(
    ("spelt", "name"),
    [
        ("API.Example.COM", "api.example.com"),
        ("api.example.com.", "api.example.com"),
        ("api.example.com:443", "api.example.com"),
        ("api.example.com:80", "api.example.com:80"),
        ("http://api.example.com", "api.example.com:80"),
        ("https%3A%2F%2Fapi.example.com%2Fa%3Fb", "api.example.com"),
        ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
    ],
)
async def test_a_domain_is_found_in_any_spelling(gateway: Gateway, spelt: str, name: str) -> None:
    assert (await act(gateway, "POST", f"{spelt}:pause")).json()["domain"] == name
    assert (await act(gateway, "PUT", f"{spelt}/pace", rps=3)).json()["operator"]["rps"] == 3


@pytest.mark.parametrize("spelt", ["a%20b", "[::1", "a:b", "a:99999", "%20", "%C3%A4%00", "a_b%7C"])
async def test_what_is_no_domain_is_refused(gateway: Gateway, spelt: str) -> None:
    refused = await act(gateway, "POST", f"{spelt}:pause")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "domain")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"rps": 0}, "rps"),
        ({"rps": -1}, "rps"),
        ({"rps": 0.001}, "rps"),
        ({"rps": 1e6}, "rps"),
        ({"rps": "5"}, "rps"),
        ({"rps": True}, "rps"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"max_concurrent": 1.5}, "max_concurrent"),
        ({"max_concurrent": 10**7}, "max_concurrent"),
        ({"rps": 5, "until_ms": 1}, "until_ms"),
        ({"rps": 5, "until_ms": 1_700_000_000}, "until_ms"),
        ({"until_ms": 4_000_000_000_000}, "until_ms"),
        ({"rsp": 5}, "rsp"),
        ({"rps": 5, "until": 4_000_000_000_000}, "until"),
    ],
)
async def test_a_wrong_pace_is_refused_and_changes_nothing(
    gateway: Gateway, body: dict[str, Any], field: str
) -> None:
    await act(gateway, "PUT", f"{NAME}/pace", rps=7)
    refused = await act(gateway, "PUT", f"{NAME}/pace", **body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    (domain,) = (await seen(gateway, "domains", **OPERATORS))["domains"]
    assert domain["operator"]["rps"] == 7


async def test_a_set_pace_is_shown_as_the_operators_and_lifted_by_an_empty_one(gateway: Gateway) -> None:
    await submitted(gateway)
    until = gateway.clock.unix_ms() + 60_000
    set_ = (await act(gateway, "PUT", f"{NAME}/pace", rps=50, max_concurrent=9, until_ms=until)).json()
    assert set_["pace"] == {"rps": 50.0, "max_concurrent": 9, "set_by": "operator"}
    assert (set_["limited_by"]["kind"], set_["limited_by"]["source"]) == ("pace", "operator")
    assert (set_["operator"]["set_by"], set_["operator"]["until"]) == ("key of cust_ops", until)
    theirs = await the_domain(gateway)
    assert theirs["pace"] == set_["pace"]
    assert "set_by" not in theirs["operator"]
    gateway.clock.ahead_s += 61
    assert (await the_domain(gateway))["pace"]["set_by"] == "default"
    await act(gateway, "PUT", f"{NAME}/pace", rps=50)
    lifted = (await act(gateway, "PUT", f"{NAME}/pace")).json()
    assert (lifted["operator"], lifted["pace"]["rps"], lifted["limited_by"]) == (None, 2.0, None)


async def test_a_paused_domain_shows_that_nothing_goes_and_since_when(gateway: Gateway) -> None:
    gateway.regions_up()
    await submitted(gateway)
    gateway.answer_attempts()
    before = gateway.clock.unix_ms()
    paused = (await act(gateway, "POST", f"{NAME}:pause")).json()
    assert paused["pace"] == {"rps": 0.0, "max_concurrent": 2, "set_by": "operator"}
    assert paused["next_start_in_s"] is None
    assert before <= paused["operator"]["paused_at"] <= gateway.clock.unix_ms()
    assert (paused["limited_by"]["kind"], paused["limited_by"]["source"]) == ("pause", "operator")
    again = (await act(gateway, "POST", f"{NAME}:pause")).json()
    assert again["operator"] == paused["operator"]
    assert (await the_domain(gateway))["operator"]["paused_at"] == paused["operator"]["paused_at"]
    metrics = (await gateway.client.get("/metrics")).text
    assert f'ezthrottle_domain_next_start_seconds{{domain="{NAME}"}} +Inf' in metrics
    assert f'ezthrottle_domain_pace_rps{{domain="{NAME}"}} 0.0' in metrics
    resumed = (await act(gateway, "POST", f"{NAME}:resume")).json()
    assert (resumed["operator"], resumed["pace"]["rps"]) == (None, 2.0)


async def test_nobody_is_told_when_a_job_of_a_paused_domain_starts(gateway: Gateway) -> None:
    gateway.regions_up()
    await act(gateway, "POST", f"{NAME}:pause")
    taken = (await gateway.submit()).json()
    assert (taken["status"], taken["position"]) == ("queued", 1)
    assert "estimated_processing_time" not in taken
    shown = (await gateway.client.get(f"{JOBS}/{taken['job_id']}")).json()
    assert (shown["position"], shown["estimated_start_at"]) == (1, None)
    await act(gateway, "POST", f"{NAME}:resume")
    assert gateway.answer_attempts() == 1


async def test_an_admin_sees_all_customers_domains_and_whom_signals_bind(gateway: Gateway) -> None:
    await answered(gateway, 429, job={"headers": {"authorization": "Bearer a"}}, retry_after="50")
    await answered(gateway, 429, BETAS_KEY, job={"body": "b", "account": "b"}, retry_after="40")
    await act(gateway, "POST", "never.example.com:pause")
    mine, never = (await seen(gateway, "domains", **OPERATORS))["domains"]
    assert (mine["domain"], never["domain"]) == (NAME, "never.example.com")
    bound = {(signal["binds"], signal["customer"]) for signal in mine["signals"]}
    assert {("account", "cust_acme"), ("account", "cust_beta")} <= bound
    assert all("customer" not in signal for signal in (await the_domain(gateway))["signals"])
    assert [d["domain"] for d in (await seen(gateway, "domains", **THEIRS))["domains"]] == [NAME]


async def test_a_domain_that_is_not_in_memory_shows_what_would_hold(gateway: Gateway) -> None:
    await act(gateway, "PUT", "never.example.com/pace", rps=3)
    (never,) = (await seen(gateway, "domains", **OPERATORS))["domains"]
    assert (never["pace"]["rps"], never["waiting"], never["next_start_in_s"]) == (3.0, 0, 0.0)
    assert "never.example.com" not in gateway.shard.targets.domains


async def test_refusals_show_the_pace_that_they_led_to_and_why(gateway: Gateway) -> None:
    for number in range(3):
        await answered(gateway, 429, job={"body": str(number)})
        gateway.clock.ahead_s += 3
    domain = await the_domain(gateway)
    assert domain["stated"] == {"rps": 2.0, "max_concurrent": 2, "set_by": "default"}
    assert (0 < domain["pace"]["rps"] < 2, domain["limited_by"]["kind"]) == (True, "slowed")
    assert (domain["pace"]["set_by"], domain["limited_by"]["rps"]) == ("target", domain["pace"]["rps"])


async def test_a_path_in_trouble_is_named_to_its_own_customer_and_to_admins_alone(gateway: Gateway) -> None:
    await answered(gateway, 200, job={})
    await answered(gateway, 200, BETAS_KEY, job={"body": "theirs"})
    limiter = gateway.shard.targets.limiter(TargetDomain(NAME))
    troubles = limiter._keeper._steering.binding.judge.troubles = Troubles(
        limiter.pace
    )  # how it comes to that is told elsewhere
    troubles.begin(None, PathClass("POST /s3cret"), ACME)
    found = {}
    for who, key in (("acme", KEY), ("beta", BETAS_KEY), ("ops", OPERATORS_KEY)):
        (domain,) = (await seen(gateway, "domains", authorization=f"Bearer {key}"))["domains"]
        found[who] = [(s["binds"], s["source"]) for s in domain["signals"] if s["kind"] == "trouble"]
    assert found == {
        "acme": [("path", "POST /s3cret")],
        "beta": [("path", None)],
        "ops": [("path", "POST /s3cret")],
    }
