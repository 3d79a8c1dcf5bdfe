"""``ezthrottle webhooks`` against a real server on loopback that writes down what it is asked."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bench.loopback import Reply, Site, running_site
from orchestrator.cli.app import app

KEY = "ck_live_cust_acme_s3cret"
DEAD, REDELIVER = "/api/v1/webhooks/dead", "/api/v1/webhooks/redeliver"
LISTED = {
    "webhook_id": "msg_job_1_2_0",
    "job_id": "job_1_2",
    "endpoint": "app.example.com",
    "failed_at": 1_763_674_210_000,
    "attempts": 9,
    "status_code": 500,
    "error": None,
}


def answer(document: dict[str, Any], status: int = 200) -> Reply:
    return Reply(
        status=status, headers={"content-type": "application/json"}, body=json.dumps(document).encode()
    )


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site(answer({"error": "no such thing"}, 404)) as site:
        yield site


def run(site: Site, *arguments: str) -> Result:
    env = {"EZTHROTTLE_URL": site.url(""), "EZTHROTTLE_API_KEY": KEY, "COLUMNS": "200"}
    return CliRunner().invoke(app, ["webhooks", *arguments], env=env)


def test_failed_webhooks_are_shown_as_a_table(site: Site) -> None:
    site.on(DEAD, answer({"deliveries": [LISTED], "next_cursor": None}))
    result = run(site, "dead", "--endpoint", "app.example.com", "--since", "2026-01-31T12:00:00Z")
    assert result.exit_code == 0, result.output
    assert "msg_job_1_2_0" in result.output
    (seen,) = site.seen(DEAD)
    assert seen.path.endswith("?endpoint=app.example.com&since=1769860800000&limit=50")
    assert seen.headers["authorization"] == f"Bearer {KEY}"


def test_failed_webhooks_are_written_as_json(site: Site) -> None:
    site.on(DEAD, answer({"deliveries": [LISTED], "next_cursor": None}))
    assert json.loads(run(site, "dead", "--json").output)["deliveries"] == [LISTED]


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["msg_job_1_2_0"], {"webhook_id": "msg_job_1_2_0"}),
        (["--endpoint", "app.example.com", "--until", "17"], {"endpoint": "app.example.com", "until": 17}),
        (["--all"], {}),
    ],
)
def test_a_redelivery_says_what_is_meant(site: Site, arguments: list[str], body: dict[str, Any]) -> None:
    site.on(REDELIVER, answer({"deliveries": 3, "more": True}, 202))
    result = run(site, "redeliver", *arguments)
    assert result.output == "3 webhooks are being sent again; there are more, ask again for them\n"
    (seen,) = site.seen(REDELIVER)
    assert seen.json() == body


def test_a_jobs_webhooks_are_sent_again(site: Site) -> None:
    site.on("/api/v1/jobs/job_1_2/redeliver", answer({"job_id": "job_1_2", "deliveries": 2}, 202))
    assert "2 webhooks" in run(site, "redeliver", "--job", "job_1_2").output


def test_an_operator_sends_the_webhooks_of_anybodys_job_again(site: Site) -> None:
    site.on("/api/v1/admin/jobs/job_1_2/redeliver", answer({"job_id": "job_1_2", "deliveries": 2}, 202))
    assert "2 webhooks" in run(site, "redeliver", "--job", "job_1_2", "--all").output


def test_nothing_is_sent_again_unless_somebody_says_what(site: Site) -> None:
    result = run(site, "redeliver")
    assert result.exit_code == 2
    assert site.seen() == []


def test_a_refusal_is_said_in_one_line(site: Site) -> None:
    result = run(site, "redeliver", "msg_nobody")
    assert (result.exit_code, result.output) == (1, "ezthrottle: no such thing\n")


def test_a_time_that_is_none_is_refused(site: Site) -> None:
    assert run(site, "dead", "--since", "yesterday").exit_code == 2


def test_webhooks_that_fail_now_are_shown_by_endpoint(site: Site) -> None:
    pending = {name: LISTED[name] for name in ("webhook_id", "job_id", "endpoint", "attempts")}
    reason = {"status_code": None, "error": "connection refused", "next_at": 1_763_674_215_000}
    endpoint = {"endpoint": "app.example.com", "deliveries": 33, "failing": 2, "last_attempt_at": 1}
    found = {"endpoints": [endpoint | reason], "deliveries": [pending | reason], "next_cursor": None}
    site.on("/api/v1/webhooks/pending", answer(found))
    result = run(site, "pending", "--endpoint", "app.example.com")
    assert result.exit_code == 0, result.output
    for part in ("app.example.com", "33", "connection refused", "msg_job_1_2_0"):
        assert part in result.output
    assert json.loads(run(site, "pending", "--json").output) == found
