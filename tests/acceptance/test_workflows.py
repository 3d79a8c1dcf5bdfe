"""Fallbacks, which are steps of the same job, and children, which are jobs of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.loopback import Reply, Site

if TYPE_CHECKING:
    from tests.acceptance.conftest import Api

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

BROKEN = Reply(status=500)


def on_error(*codes: int) -> dict[str, object]:
    return {"type": "on_error", "codes": list(codes)}


def test_a_fallback_is_a_step_of_the_same_job(api: Api, target: Site, receiver: Site) -> None:
    primary, backup = target.on("/primary", BROKEN), target.on("/backup", Reply(body=b"saved"))
    fallback = {"url": backup, "trigger": on_error(500)}

    acknowledged = api.submit(url=primary, fallback_job=fallback, webhooks=[{"url": receiver.url("/hook")}])
    [webhook] = receiver.wait(bool, "/hook")

    assert webhook.json()["job_id"] == acknowledged["job_id"]
    assert (webhook.json()["status"], webhook.json()["response"]["body"]) == ("success", "saved")
    assert webhook.json()["step"] != "primary"
    ids = {seen.headers["x-ezthrottle-job-id"] for seen in target.seen()}
    assert ids == {acknowledged["job_id"]}
    assert [len(target.seen(path)) for path in ("/primary", "/backup")] == [1, 1]


def test_a_fallback_whose_trigger_does_not_match_is_not_run(api: Api, target: Site) -> None:
    primary, backup = target.on("/primary", Reply(status=404)), target.on("/backup", Reply())

    job = api.run(url=primary, fallback_job={"url": backup, "trigger": on_error(500)})

    assert (job["state"], job["result"]["response"]["status_code"]) == ("failed", 404)
    assert not target.seen("/backup")


def test_a_fallback_runs_beside_a_step_that_takes_too_long(api: Api, target: Site) -> None:
    primary, backup = target.on("/primary", Reply(after_s=600)), target.on("/backup", Reply(body=b"saved"))
    trigger = {"type": "on_timeout", "timeout_ms": 300}

    job = api.run(url=primary, fallback_job={"url": backup, "trigger": trigger})

    assert (job["state"], job["result"]["response"]["body"]) == ("success", "saved")
    target.wait(lambda seen: seen[0].closed_at is not None, "/primary")


def test_a_child_is_spawned_by_the_end_it_was_meant_for(api: Api, target: Site, receiver: Site) -> None:
    children = {
        name: {"url": target.url(f"/{name}"), "webhooks": [{"url": receiver.url(f"/{name}")}]}
        for name in ("on_success", "on_failure")
    }
    endings = {
        "on_success": target.on("/good", Reply()),
        "on_failure": target.on("/bad", Reply(status=404)),
    }
    for name, url in endings.items():
        parent = api.run(url=url, **children)
        [webhook] = receiver.wait(bool, f"/{name}")
        assert webhook.json()["status"] == "success"
        assert webhook.json()["job_id"] != parent["job_id"]

    assert [len(target.seen(f"/{name}")) for name in children] == [1, 1]
