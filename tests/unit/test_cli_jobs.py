"""``ezthrottle jobs`` and its neighbours against a real server on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bench.loopback import Reply, Site, running_site
from orchestrator.cli.app import app, command
from orchestrator.runtime.version import VERSION

KEY = "ck_live_cust_acme_s3cret"
JOBS = "/api/v1/jobs"
ADMIN_JOBS = "/api/v1/admin/jobs"
ID = "job_1763674210055_853341"
TAKEN = {"job_id": ID, "status": "queued", "position": 3, "estimated_processing_time": 2}
ATTEMPT = {
    "attempt": 1,
    "step": "primary",
    "leg": 0,
    "region": "iad",
    "granted_at": 1_763_674_210_000,
    "started_at": 1_763_674_210_000,
    "ended_at": 1_763_674_210_042,
    "closed_at": None,
    "status_code": 500,
    "fault": None,
    "verdict": "end",
}
DELIVERY = {
    "url": "https://app.example/hook",
    "state": "pending",
    "attempts": [],
    "next_at": 1_763_674_215_000,
}
SHOWN = {
    "job_id": ID,
    "state": "failed",
    "delivery": "pending",
    "accepted_at": 1_763_674_210_000,
    "ended_at": 1_763_674_211_000,
    "position": None,
    "estimated_start_at": None,
    "result": {"error": {"code": "status", "message": "the target answered 500"}},
    "timeline": {"legs": [], "attempts": [ATTEMPT], "deliveries": [DELIVERY]},
}
LINE = {name: SHOWN[name] for name in ("job_id", "state", "delivery", "accepted_at", "ended_at")}


def answer(document: dict[str, Any], status: int = 200) -> Reply:
    headers = {"content-type": "application/json"}
    return Reply(status=status, headers=headers, body=json.dumps(document).encode())


def events(*told: tuple[str, dict[str, Any], str]) -> Reply:
    text = "retry: 10\n\n: here\n\n" + "".join(
        f"event: {name}\ndata: {json.dumps(data)}\nid: {id_}\n\n" for name, data, id_ in told
    )
    return Reply(headers={"content-type": "text/event-stream"}, body=text.encode())


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site(answer({"error": "no such thing"}, 404)) as site:
        yield site


def run(site: Site, *arguments: str, key: str = KEY, given: str | None = None) -> Result:
    env = {"EZTHROTTLE_URL": site.url(""), "EZTHROTTLE_API_KEY": key}
    return CliRunner().invoke(app, list(arguments), env=env, input=given)


def sent(site: Site, path: str = JOBS) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(site.seen(path)[-1].body)
    return document


def test_a_job_is_submitted_by_options(site: Site, tmp_path: Path) -> None:
    site.on(JOBS, answer(TAKEN, 202))
    body = tmp_path / "body.json"
    body.write_text('{"amount": 1}')
    result = run(
        site,
        *("jobs", "submit", "https://api.example/pay", "-X", "post", "-H", "X-A: 1:2", "-d", f"@{body}"),
        *("--region", "iad", "--region", "lax", "--webhook", "https://app.example/hook", "--key", "k"),
    )
    assert result.exit_code == 0, result.output
    assert ID in result.output
    assert sent(site) == {
        "url": "https://api.example/pay",
        "method": "post",
        "headers": {"X-A": "1:2"},
        "body": '{"amount": 1}',
        "regions": ["iad", "lax"],
        "webhooks": [{"url": "https://app.example/hook"}],
        "idempotent_key": "k",
    }
    assert site.seen(JOBS)[-1].headers["authorization"] == f"Bearer {KEY}"


def test_waiting_for_a_job_that_fails_is_a_failure(site: Site) -> None:
    site.on(JOBS, answer(TAKEN, 202))
    site.on(f"{JOBS}/{ID}", answer(SHOWN))
    result = run(site, "jobs", "submit", "https://api.example/pay", "--wait", "5")
    assert (result.exit_code, ID in result.output) == (1, True)


def test_a_duplicate_is_said_to_have_sent_nothing(site: Site) -> None:
    site.on(JOBS, answer({"job_id": ID, "status": "duplicate", "state": "success"}))
    site.on(f"{JOBS}/{ID}", answer(SHOWN | {"state": "success"}))
    result = run(site, "jobs", "submit", "https://api.example/pay", "--wait", "5")
    assert result.exit_code == 0
    assert f"a duplicate of {ID}: nothing was sent" in result.output


def test_another_server_is_not_taken_for_the_service(site: Site) -> None:
    site.on(JOBS, answer({"hello": "world"}))
    result = run(site, "jobs", "list")
    assert result.exit_code == 1
    assert "does not answer as the service does: that is another server" in result.output


def test_headers_in_a_variable_stand_on_lines_of_their_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.on(JOBS, answer(TAKEN, 202))
    given = {"URL": site.url(""), "API_KEY": KEY, "HEADER": "X-A: one and two\nX-B: three"}
    for name, value in given.items():
        monkeypatch.setenv(f"EZTHROTTLE_{name}", value)
    command()(["jobs", "submit", "https://a.example/"], standalone_mode=False)
    assert sent(site)["headers"] == {"X-A": "one and two", "X-B": "three"}


def test_a_whole_job_comes_from_a_file_and_options_override_it(site: Site) -> None:
    site.on(JOBS, answer(TAKEN, 202))
    job = json.dumps({"url": "https://api.example/", "priority": 9, "method": "GET"})
    result = run(site, "jobs", "submit", "--file", "-", "-X", "PUT", "--json", given=job)
    assert json.loads(result.output) == TAKEN
    assert sent(site) == {"url": "https://api.example/", "priority": 9, "method": "PUT"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("submit",), "name the URL"),
        (("submit", "--file", "/no/such"), "--file /no/such"),
        (("submit", "--file", "-"), "--file -"),
        (("submit", "http://x/", "-d", "@/no/such"), "--data @/no/such"),
        (("submit", "http://x/", "-H", "nonsense"), "write 'Name: value'"),
    ],
)
def test_what_cannot_be_sent_is_told_with_its_option(
    site: Site, arguments: tuple[str, ...], told: str
) -> None:
    result = run(site, "jobs", *arguments, given="[]")
    assert result.exit_code == 2
    assert told in result.output


def test_every_wrong_field_is_named(site: Site) -> None:
    errors = [{"field": "url", "message": "is not a URL"}, {"field": "regions", "message": "known are iad"}]
    site.on(JOBS, answer({"error": "some", "errors": errors}, 422))
    result = run(site, "jobs", "submit", "x")
    assert result.exit_code == 1
    assert "url: is not a URL; regions: known are iad" in result.output


def test_a_missing_key_is_told_with_the_remedy(site: Site) -> None:
    result = run(site, "jobs", "list", key="")
    assert result.exit_code == 2
    assert "EZTHROTTLE_API_KEY" in result.output
    assert site.seen(JOBS) == []


def test_a_key_that_is_not_valid_is_told_with_the_remedy(site: Site) -> None:
    site.on(JOBS, answer({"error": "the API key is unknown or revoked"}, 401))
    assert "unknown or revoked (set EZTHROTTLE_API_KEY" in run(site, "jobs", "list").output


def test_a_service_that_is_not_there_is_told_with_the_remedy() -> None:
    result = CliRunner().invoke(app, ["usage", "--url", "http://127.0.0.1:1", "--api-key", KEY])
    assert result.exit_code == 1
    assert "is the service running?" in result.output


def test_a_job_is_shown_with_attempts_and_deliveries(site: Site) -> None:
    site.on(f"{JOBS}/{ID}", answer(SHOWN))
    output = run(site, "jobs", "get", ID, "--wait", "5").output
    for told in ("failed", "the target answered 500", "iad", "42", "https://app.example/hook"):
        assert told in output
    assert site.seen(f"{JOBS}/{ID}")[-1].path.endswith("?wait=5.0")
    assert json.loads(run(site, "jobs", "get", ID, "--json").output) == SHOWN


def test_jobs_are_listed_with_the_way_to_more(site: Site) -> None:
    site.on(JOBS, answer({"jobs": [LINE | {"domain": "api.example"}], "next_cursor": "abc"}))
    output = run(site, "jobs", "list", "--state", "failed", "--limit", "1").output
    assert "api.example" in output
    assert "--cursor abc" in output
    assert site.seen(JOBS)[-1].path.endswith("?state=failed&limit=1")


def test_an_operator_lists_everybodys_jobs_and_whose_each_is(site: Site) -> None:
    line = LINE | {"domain": "api.example", "customer_id": "cust_beta"}
    site.on(ADMIN_JOBS, answer({"jobs": [line], "next_cursor": None}))
    output = run(site, "jobs", "list", "--all", "--state", "queued,running").output
    assert all(told in output for told in ("customer_id", "cust_beta", ID)), output
    assert site.seen()[-1].path == f"{ADMIN_JOBS}?state=queued%2Crunning&limit=50"


def test_of_everybodys_jobs_one_customers_are_listed(site: Site) -> None:
    site.on(ADMIN_JOBS, answer({"jobs": [], "next_cursor": None}))
    assert "customer_id" in run(site, "jobs", "list", "--customer", "cust_beta", "--key", "theirs").output
    assert site.seen()[-1].path == f"{ADMIN_JOBS}?idempotent_key=theirs&customer=cust_beta&limit=50"


def test_an_operator_shows_cancels_and_replays_anybodys_job(site: Site) -> None:
    site.on(f"{ADMIN_JOBS}/{ID}", answer(SHOWN), answer({"job_id": ID, "status": "cancelled"}))
    site.on(f"{ADMIN_JOBS}/{ID}/replay", answer(TAKEN | {"job_id": "job_2_2", "replay_of": ID}, 202))
    assert "the target answered 500" in run(site, "jobs", "get", ID, "--all").output
    assert f"cancelled {ID}" in run(site, "jobs", "cancel", ID, "--all").output
    assert "job_2_2" in run(site, "jobs", "replay", ID, "--all").output
    acts = [(seen.method, seen.path.removeprefix(ADMIN_JOBS)) for seen in site.seen()]
    assert acts == [("GET", f"/{ID}"), ("DELETE", f"/{ID}"), ("POST", f"/{ID}/replay")]


def test_a_job_is_cancelled_and_replayed(site: Site) -> None:
    site.on(f"{JOBS}/{ID}", answer({"job_id": ID, "status": "cancelled"}))
    site.on(f"{JOBS}/{ID}/replay", answer(TAKEN | {"job_id": "job_2_2", "replay_of": ID}, 202))
    assert f"cancelled {ID}" in run(site, "jobs", "cancel", ID).output
    assert site.seen(f"{JOBS}/{ID}")[-1].method == "DELETE"
    assert "job_2_2" in run(site, "jobs", "replay", ID).output


def test_a_job_is_followed_to_its_end_across_a_dropped_stream(site: Site) -> None:
    path = f"{JOBS}/{ID}/stream"
    site.on(f"{JOBS}/{ID}", answer(SHOWN | {"state": "queued"}))
    start = ("queued", {"job_id": ID, "state": "queued"}, "0")
    sending = ("dispatching", {"attempt": 1, "region": "iad", "step": "primary"}, "1-1")
    end = ("completed", {"job_id": ID, "state": "success", "result": None}, "end")
    site.on(path, events(start, sending), events(("attempt", ATTEMPT, "1"), end))
    result = run(site, "jobs", "tail", ID)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.output.splitlines()] == [
        "queued",
        "dispatching",
        "attempt",
        "completed",
    ]
    assert site.seen(path)[-1].headers["last-event-id"] == "1-1"


def test_following_a_job_that_fails_says_so_by_its_exit(site: Site) -> None:
    end = {"job_id": ID, "state": "failed", "result": SHOWN["result"]}
    site.on(f"{JOBS}/{ID}", answer(SHOWN))
    site.on(f"{JOBS}/{ID}/stream", events(("failed", end, "end")))
    result = run(site, "jobs", "tail", ID, "--json")
    assert result.exit_code == 1
    assert json.loads(result.output) == {"event": "failed"} | end


@pytest.mark.parametrize("arguments", [("jobs", "tail", ID), ("jobs", "list")])
def test_a_service_that_is_away_is_not_waited_for(arguments: tuple[str, ...]) -> None:
    away = {"EZTHROTTLE_URL": "http://127.0.0.1:1", "EZTHROTTLE_API_KEY": KEY}
    result = CliRunner().invoke(app, list(arguments), env=away)
    assert result.exit_code == 1
    assert "http://127.0.0.1:1 can't be reached" in result.output


def test_a_key_that_no_header_can_hold_is_told_by_itself(site: Site) -> None:
    result = run(site, "jobs", "list", key="ck live")
    assert result.exit_code == 1
    assert "The API key holds a space" in result.output
    assert site.seen(JOBS) == []


def a_signal(**fields: Any) -> dict[str, Any]:
    """Give one as the service shows it, with null for what is not said."""
    names = ("kind", "source", "account", "until", "rps", "max_concurrent", "unit", "remaining")
    binds = "account" if "account" in fields else "domain"
    return dict.fromkeys(names) | {"binds": binds} | fields


def a_node(**fields: object) -> dict[str, object]:
    known = {"host": None, "address": None, "version": "0.1.0", "heard_s": 0.25, "reached_s": 0.75}
    return known | {"only_named": False} | fields


OVERVIEWS: dict[str, dict[str, Any]] = {
    "regions": {
        "default_region": "iad",
        "regions": [
            {
                "region": "iad",
                "health": "up",
                "draining_since": None,
                "attempts_open": 3,
                "mean_attempt_s": 0.0421,
                "down_s": 0.0,
                "reason": None,
                "nodes": [a_node(host="east", address="10.77.1.1")],
            },
            {
                "region": "lax",
                "health": "down",
                "draining_since": None,
                "attempts_open": 0,
                "mean_attempt_s": None,
                "down_s": 9.0,
                "reason": "no node offers it",
                "nodes": [a_node(heard_s=None, only_named=True)],
            },
        ],
    },
    "domains": {
        "domains": [
            {
                "domain": "api.example",
                "pace": {"rps": 2.5, "max_concurrent": 4, "set_by": "target"},
                "in_flight": 1,
                "waiting": 7,
                "waiting_yours": 5,
                "signals": [
                    a_signal(kind="pause", source="retry-after", until=1_790_000_000_000),
                    a_signal(kind="slowed", source="429 or 503", rps=1.25, binds="customer"),
                    a_signal(kind="budget", source="ratelimit", unit="requests", remaining=3.0, account="1f"),
                ],
                "paused_until": 1_790_000_000_000,
                "regions": {"iad": {"breaker": "open"}, "lax": {"breaker": "closed"}},
            },
            {
                "domain": "b.example",
                "pace": None,
                "in_flight": 0,
                "waiting": 0,
                "waiting_yours": 0,
                "signals": [],
                "paused_until": None,
                "regions": {},
            },
        ],
        "next_cursor": "bmV4dA",
    },
    "usage": {
        "customer_id": "cust_acme",
        "open_jobs": 5,
        "open_jobs_limit": 1000,
        "days": [
            {"date": "2026-01-31", "accepted": 9, "success": 4, "failed": 0, "cancelled": 0, "attempts": 6}
        ],
    },
}


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (
            "regions",
            [
                "iad",
                "up",
                "42.1",
                "any",
                "east 10.77.1.1",
                "0.2/0.8",
                "named",
                "down",
                "9.0",
                "no node offers it",
            ],
        ),
        ("domains", ["api.example", "2.5", "target", "iad", "b.example", "more: --cursor bmV4dA"]),
        ("domains", ["retry-after", "pause", "2026-09-21T14:13:20", "429 or 503", "slowed 1.25/s", "you"]),
        ("domains", ["ratelimit", "budget 3 requests left", "account 1f"]),
        ("usage", ["cust_acme", "1000", "2026-01-31"]),
    ],
)
def test_overviews_are_tables_for_people_and_json_for_programs(
    site: Site, what: str, told: list[str]
) -> None:
    site.on(f"/api/v1/{what}", answer(OVERVIEWS[what]))
    output = run(site, what).output
    for word in told:
        assert word in output
    assert json.loads(run(site, what, "--json").stdout) == OVERVIEWS[what]


def test_an_operator_sees_who_used_most(site: Site) -> None:
    line = {"customer_id": "cust_beta", "accepted": 31337, "success": 9, "failed": 8, "cancelled": 7}
    site.on("/api/v1/admin/usage", answer({"days": 30, "customers": [line | {"attempts": 40}]}))
    output = run(site, "usage", "--all").output
    assert all(word in output for word in ("customer_id", "cust_beta", "31337", "40")), output


def test_waiting_for_a_job_that_does_not_end_is_a_failure_too(site: Site) -> None:
    site.on(JOBS, answer(TAKEN, 202))
    site.on(f"{JOBS}/{ID}", answer(SHOWN | {"state": "running", "result": None, "ended_at": None}))
    result = run(site, "jobs", "submit", "https://api.example/pay", "--wait", "1")
    assert result.exit_code == 1
    assert f"{ID} is still running after 1 s" in result.output


def test_a_list_takes_every_filter(site: Site) -> None:
    site.on(JOBS, answer({"jobs": [LINE | {"domain": "api.example"}], "next_cursor": None}))
    filters = ["--state", "failed,cancelled", "--domain", "api.example", "--delivery", "pending"]
    filters += ["--code", "deadline", "--since", "2026-01-31T12:00:00Z", "--until", "1800000000000"]
    result = run(site, "jobs", "list", *filters, "--key", "mine")
    assert (result.exit_code, ID in result.output) == (0, True)
    query = parse_qs(urlsplit(site.seen()[-1].path).query)
    assert query == {
        "state": ["failed,cancelled"],
        "domain": ["api.example"],
        "delivery": ["pending"],
        "code": ["deadline"],
        "since": ["1769860800000"],
        "until": ["1800000000000"],
        "idempotent_key": ["mine"],
        "limit": ["50"],
    }


def test_many_jobs_are_cancelled_call_by_call(site: Site) -> None:
    pages = [{"status": "cancelled", "jobs": 500, "skipped": 1, "next_cursor": "next"}]
    pages += [{"status": "cancelled", "jobs": 7, "skipped": 0, "next_cursor": None}]
    site.on(f"{JOBS}:cancel", *(answer(page) for page in pages))
    result = run(site, "jobs", "cancel", "--domain", "api.example", "--state", "queued")
    assert (result.exit_code, "cancelled 507 jobs; 1 passed over" in result.output) == (0, True)
    asked = [json.loads(seen.body) for seen in site.seen(f"{JOBS}:cancel")]
    first = {"state": "queued", "domain": "api.example", "dry_run": False, "limit": 500}
    assert asked == [first, first | {"cursor": "next"}]


def test_many_jobs_are_only_counted_in_a_dry_run(site: Site) -> None:
    site.on(f"{JOBS}:replay", answer({"status": "dry_run", "jobs": 3}))
    result = run(site, "jobs", "replay", "--state", "failed", "--dry-run")
    assert (result.exit_code, "would replay 3 jobs" in result.output) == (0, True)
    assert sent(site, f"{JOBS}:replay")["dry_run"] is True


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "cancel"),
        ("jobs", "replay"),
        ("jobs", "cancel", ID, "--state", "queued"),
        ("jobs", "replay", ID, "--dry-run"),
        ("jobs", "replay", "--domain", "api.example"),
        ("jobs", "cancel", "--all"),
        ("jobs", "cancel", "--all", "--state", "queued"),
        ("jobs", "replay", "--all", "--state", "failed", "--dry-run"),
        ("jobs", "cancel", "--since", "soon"),
    ],
)
def test_what_is_not_chosen_clearly_is_not_done(site: Site, arguments: tuple[str, ...]) -> None:
    assert run(site, *arguments).exit_code == 2
    assert site.seen() == []


def test_a_job_is_shown_with_what_it_asks_for(site: Site) -> None:
    request = {"url": "https://****@api.example/pay", "method": "POST", "headers": {}, "body_bytes": 0}
    told = {"request": request, "domain": "api.example", "metadata": {"order": "7"}}
    failed = DELIVERY | {"attempts": [{"status_code": None, "error": "connection refused"}]}
    timeline = {"legs": [], "attempts": [], "deliveries": [failed]}
    site.on(f"{JOBS}/{ID}", answer(SHOWN | told | {"timeline": timeline}))
    shown = run(site, "jobs", "get", ID).output
    for part in ("POST https://****@api.example/pay", '{"order": "7"}', "connection refused"):
        assert part in shown


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"ezthrottle {VERSION}\n")
