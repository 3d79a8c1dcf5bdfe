"""Jobs, from submission to end, seen from outside: over HTTP, by the target, and in the timeline."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from bench.loopback import Reply, Script, Seen, Site
from bench.ports import free_port

if TYPE_CHECKING:
    from tests.acceptance.conftest import Api

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

REGIONS = ["iad", "lax", "ord"]
PROMPTLY_S = 5
"""How soon a loser is closed, on a machine that is busy elsewhere: bench.race measures it."""
FAR_APART_S = 2
"""Between two starts: longer than a busy machine takes to end a race whose winner has answered."""
FOR_EVER = Reply(after_s=600)
IMPATIENT = {"max_retries": 0, "max_reroutes": 0}


def by_region(replies: dict[str, Reply], otherwise: Reply | None = None) -> Script:
    """Answer each region as it is to be answered."""
    return lambda seen: replies.get(region(seen), otherwise or Reply())


def won_by(winner: str, *losers: str) -> Script:
    """Answer the winner once all of them have asked, and the others never: on a busy machine one might win
    before another's request is on its way.
    """
    missing, all_here = {winner, *losers}, threading.Event()

    def answer(seen: Seen) -> Reply:
        missing.discard(region(seen))
        if not missing:
            all_here.set()
        return Reply(held=all_here) if region(seen) == winner else FOR_EVER

    return answer


def region(seen: Seen) -> str:
    return seen.headers["x-ezthrottle-region"]


def leg_states(job: dict[str, Any]) -> dict[str, str]:
    return {leg["region"]: leg["state"] for leg in job["timeline"]["legs"]}


def test_a_race_is_won_by_the_fastest_region_and_closes_the_others(api: Api, target: Site) -> None:
    api.open_gate(target)
    url = target.script("/race", won_by("lax", "iad", "ord"))

    acknowledged = api.submit(url=url, regions=REGIONS)
    job = api.ended(acknowledged["job_id"])

    assert acknowledged["status"] == "racing"
    assert leg_states(job) == {"iad": "cancelled", "lax": "won", "ord": "cancelled"}
    assert job["result"]["region"] == "lax"
    seen = target.wait(lambda seen: all(request.ended_at < float("inf") for request in seen), "/race")
    assert sorted(map(region, seen)) == REGIONS
    lost = {region(request): request for request in seen if request.closed_at}
    [won] = [request for request in seen if request.answered_at]
    assert lost.keys() == {"iad", "ord"}
    assert max(request.ended_at for request in lost.values()) < won.ended_at + PROMPTLY_S


def test_the_timeline_of_a_race_says_when_each_leg_started_and_when_its_connection_was_closed(
    api: Api, target: Site
) -> None:
    api.open_gate(target)
    url = target.script("/race", won_by("lax", "iad"))

    job = api.run(url=url, regions=["iad", "lax"])

    lost, won = closed_attempt(api, job["job_id"], "iad"), attempt_in("lax", job)
    assert (lost["fault"], lost["status_code"]) == ("cancelled", None)
    assert (won["fault"], won["status_code"], won["verdict"]) == (None, 200, "success")
    assert (won["node"], won["address"]) == ("executor-lax", "127.0.0.1")
    assert job["accepted_at"] <= won["granted_at"] <= won["started_at"] <= won["ended_at"]
    assert lost["started_at"] <= won["ended_at"] <= lost["closed_at"]


def attempt_in(name: str, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(a for a in job["timeline"]["attempts"] if a["region"] == name)
    return found


def closed_attempt(api: Api, job_id: str, name: str) -> dict[str, Any]:
    """Wait until a loser's executor has reported its end, which comes after the job's."""
    deadline = time.monotonic() + 20
    while (attempt := attempt_in(name, api.show(job_id)))["closed_at"] is None:
        assert time.monotonic() < deadline, attempt
        time.sleep(0.02)
    return attempt


def test_a_leg_without_a_permit_when_the_race_is_won_is_never_sent(api: Api, target: Site) -> None:
    api.run(url=target.on("/narrows", Reply(headers={"X-EZTHROTTLE-RPS": str(1 / FAR_APART_S)})))
    url = target.script("/race", by_region({"iad": FOR_EVER}))

    job = api.run(url=url, regions=REGIONS)

    assert leg_states(job) == {"iad": "cancelled", "lax": "won", "ord": "skipped"}
    assert sorted(map(region, target.seen("/race"))) == ["iad", "lax"]
    assert job["timeline"]["attempts_made"] == 2


def test_a_race_goes_on_without_the_legs_that_failed(api: Api, target: Site) -> None:
    api.open_gate(target)
    late = Reply(after_s=0.5)
    url = target.script("/race", by_region({"iad": Reply(status=404), "lax": Reply(status=410)}, late))

    job = api.run(url=url, regions=REGIONS)

    assert leg_states(job) == {"iad": "ended", "lax": "ended", "ord": "won"}
    assert job["state"] == "success"


def test_fanout_runs_everywhere_and_tells_every_regions_response(api: Api, target: Site) -> None:
    api.open_gate(target)
    url = target.script("/fanout", lambda seen: Reply(body=region(seen).encode()))

    job = api.run(url=url, regions=REGIONS, execution_mode="fanout")

    assert {name: response["body"] for name, response in job["result"]["responses"].items()} == {
        name: name for name in REGIONS
    }
    assert sorted(map(region, target.seen("/fanout"))) == REGIONS


def test_a_429_is_retried_in_the_same_region_when_retry_after_says(api: Api, target: Site) -> None:
    url = target.on("/busy", Reply(status=429, headers={"Retry-After": "2"}), Reply())

    job = api.run(url=url, retry_policy={"max_retries": 1, "retry_codes": [429]})

    first, second = target.seen("/busy")
    assert job["state"] == "success"
    assert first.answered_at is not None
    assert second.at - first.answered_at >= 1.9
    assert region(first) == region(second)
    assert [request.headers["x-ezthrottle-attempt"] for request in (first, second)] == ["1", "2"]
    assert (job["timeline"]["retries"], job["timeline"]["reroutes"]) == (1, 0)
    assert job["result"]["attempts"] == 2


def test_a_job_fails_with_the_last_response_when_its_retries_are_spent(api: Api, target: Site) -> None:
    url = target.on("/down", Reply(status=503, headers={"Retry-After": "1"}, body=b"closed"))

    job = api.run(url=url, retry_policy={"max_retries": 1, "max_reroutes": 0})

    assert job["state"] == "failed"
    assert job["result"]["error"]["code"] == "status"
    assert (job["result"]["response"]["status_code"], job["result"]["response"]["body"]) == (503, "closed")
    assert len(target.seen("/down")) == 2


def test_without_a_retry_policy_429s_spend_nothing(api: Api, target: Site) -> None:
    busy = Reply(status=429, headers={"Retry-After": "0", "X-EZTHROTTLE-RPS": "1000"})
    url = target.on("/busy", *[busy] * 4, Reply())

    job = api.run(url=url)

    # One refusal more than a policy without numbers has retries.
    assert job["state"] == "success"
    assert job["timeline"]["retries"] == 0
    assert len(target.seen("/busy")) == 5


def test_a_500_is_rerouted_to_another_region(api: Api, target: Site) -> None:
    url = target.script("/flaky", by_region({"iad": Reply(status=500)}))

    job = api.run(url=url, regions=["iad"])

    assert job["state"] == "success"
    first, second = map(region, target.seen("/flaky"))
    assert first == "iad"
    assert job["result"]["region"] == second != "iad"
    assert (job["timeline"]["retries"], job["timeline"]["reroutes"]) == (0, 1)


def test_a_broken_connection_is_rerouted(api: Api, target: Site) -> None:
    url = target.script("/broken", by_region({"iad": Reply(breaks=True)}))

    job = api.run(url=url, method="POST", regions=["iad"])

    assert job["state"] == "success"
    assert region(target.seen("/broken")[0]) == "iad"
    assert job["result"]["region"] != "iad"


def test_a_404_ends_as_failed_with_its_response(api: Api, target: Site) -> None:
    url = target.on("/missing", Reply(status=404, headers={"X-Reason": "gone"}, body=b"no such thing"))

    job = api.run(url=url)

    assert job["state"] == job["result"]["status"] == "failed"
    assert job["result"]["error"]["code"] == "status"
    assert job["result"]["response"]["status_code"] == 404
    assert job["result"]["response"]["body"] == "no such thing"
    assert job["result"]["response"]["headers"]["x-reason"] == "gone"
    assert len(target.seen("/missing")) == 1


def test_a_redirect_is_not_followed(api: Api, target: Site) -> None:
    url = target.on("/old", Reply(status=302, headers={"Location": target.url("/new")}))

    job = api.run(url=url)

    assert (job["state"], job["result"]["response"]["status_code"]) == ("failed", 302)
    assert not target.seen("/new")


def test_a_target_that_nobody_serves_ends_the_job(api: Api) -> None:
    job = api.run(url=f"http://127.0.0.1:{free_port()}/", retry_policy=IMPATIENT)

    assert (job["state"], job["result"]["response"]) == ("failed", None)
    assert job["result"]["error"]["code"] == "connection"


def test_an_attempt_is_over_after_its_time_limit(api: Api, target: Site) -> None:
    url = target.on("/slow", FOR_EVER)

    job = api.run(url=url, timeout_ms=300, retry_policy=IMPATIENT)

    assert (job["state"], job["result"]["error"]["code"]) == ("failed", "timeout")
    target.wait(lambda seen: seen[0].closed_at is not None, "/slow")


def test_a_job_is_over_after_its_own_time_limit(api: Api, target: Site) -> None:
    url = target.on("/slow", FOR_EVER)

    job = api.run(url=url, on_failure_timeout_ms=500)

    assert (job["state"], job["result"]["error"]["code"]) == ("failed", "timeout")
    target.wait(lambda seen: seen[0].closed_at is not None, "/slow")


def test_at_most_once_does_not_repeat_what_may_have_taken_effect(api: Api, target: Site) -> None:
    url = target.on("/charge", Reply(breaks=True))

    job = api.run(url=url, method="POST", body="10 EUR", guarantee="at_most_once")

    assert (job["state"], job["result"]["error"]["code"]) == ("failed", "unknown_outcome")
    assert len(target.seen("/charge")) == 1


def test_at_most_once_repeats_what_was_answered_with_a_retry_code(api: Api, target: Site) -> None:
    url = target.on("/charge", Reply(status=503, headers={"Retry-After": "0"}), Reply())

    job = api.run(url=url, method="POST", body="10 EUR", guarantee="at_most_once")

    assert job["state"] == "success"
    assert len(target.seen("/charge")) == 2


def test_a_job_does_not_start_before_retry_at(api: Api, target: Site) -> None:
    due_ms = int(time.time() * 1000) + 1_500

    acknowledged = api.submit(url=target.url("/later"), retry_at=due_ms)
    job = api.ended(acknowledged["job_id"])

    assert acknowledged["status"] == "scheduled"
    assert job["timeline"]["attempts"][0]["started_at"] >= due_ms
    assert job["state"] == "success"


def test_an_answer_over_the_limit_is_cut_and_marked(api: Api, target: Site) -> None:
    limit = 5 * 1024 * 1024
    url = target.on("/large", Reply(body=b"x" * (limit + 100_000)))

    job = api.run(url=url)

    assert job["state"] == "success"
    assert job["result"]["response"]["truncated"] is True
    assert job["result"]["response"]["body"] == "x" * limit


def test_a_binary_answer_is_told_as_base64(api: Api, target: Site) -> None:
    url = target.on("/binary", Reply(body=bytes([0, 255, 254, 128])))

    response = api.run(url=url)["result"]["response"]

    assert (response["body"], response["body_encoding"]) == ("AP/+gA==", "base64")


def test_the_target_sees_exactly_the_request_that_was_asked_for(api: Api, target: Site) -> None:
    body = '{"amount": 1000, "name": "Zoë"}'
    headers = {"Content-Type": "application/json; charset=utf-8", "X-Trace": "a, b"}

    job = api.run(url=target.url("/charge?b=2&a=%2F1"), method="post", headers=headers, body=body)

    [seen] = target.seen("/charge")
    assert (seen.method, seen.path) == ("POST", "/charge?b=2&a=%2F1")
    assert seen.body == body.encode()
    assert seen.headers == {
        "host": f"127.0.0.1:{target.port}",
        "content-length": str(len(body.encode())),
        "content-type": "application/json; charset=utf-8",
        "x-trace": "a, b",
        "x-ezthrottle-job-id": job["job_id"],
        "x-ezthrottle-attempt": "1",
        "x-ezthrottle-region": "iad",
        "idempotency-key": seen.headers["idempotency-key"],
    }


def test_all_legs_and_attempts_of_a_post_share_one_idempotency_key(api: Api, target: Site) -> None:
    api.open_gate(target)
    url = target.script("/charge", by_region({"iad": Reply(status=500), "lax": Reply(status=500)}))

    job = api.run(url=url, method="POST", regions=["iad", "lax"])

    seen = target.seen("/charge")
    assert job["state"] == "success"
    assert len(seen) >= 3
    assert len({request.headers["idempotency-key"] for request in seen}) == 1
    numbers = [request.headers["x-ezthrottle-attempt"] for request in seen]
    assert sorted(numbers) == [str(number + 1) for number in range(len(seen))]


def test_an_idempotency_key_of_the_jobs_own_is_left_alone(api: Api, target: Site) -> None:
    api.run(url=target.url("/charge"), method="POST", headers={"Idempotency-Key": "order-7"})

    assert target.seen("/charge")[0].headers["idempotency-key"] == "order-7"


def test_an_idempotent_method_gets_no_idempotency_key(api: Api, target: Site) -> None:
    api.run(url=target.url("/charge"), method="PUT", body="x")

    assert "idempotency-key" not in target.seen("/charge")[0].headers


def test_a_known_key_is_answered_with_the_first_job(api: Api, target: Site) -> None:
    job = {"url": target.url("/once"), "idempotent_key": f"order-{target.port}"}
    first = api.submit(**job)
    api.ended(first["job_id"])

    again, other = api.post(**job), api.post(**job | {"method": "POST"})

    assert again.status_code == other.status_code == 200
    assert again.json()["status"] == "duplicate"
    assert again.json()["job_id"] == other.json()["job_id"] == first["job_id"]
    assert again.json()["state"] == "success"
    assert "payload_mismatch" not in again.json()
    assert other.json()["payload_mismatch"] is True
    assert len(target.seen("/once")) == 1


def test_equal_requests_without_a_key_are_one_job(api: Api, target: Site) -> None:
    job = {"url": target.url("/once"), "method": "POST", "body": "x"}

    first, again, other = api.submit(**job), api.post(**job), api.submit(**job | {"body": "y"})

    assert again.json()["job_id"] == first["job_id"]
    assert other["job_id"] != first["job_id"]
