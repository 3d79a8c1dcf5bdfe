"""Many jobs cancelled or replayed at once, by the filters of the list."""

import asyncio
import json
from collections import Counter
from typing import Any

import httpx
import pytest

from orchestrator.core.submissions.many_jobs import AT_ONCE
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from tests.unit.http.gateway import BETAS_KEY, BOUNDS, JOBS, Gateway, running_gateway, turns

OTHER = "http://203.0.113.8/other"
THEIRS = {"authorization": f"Bearer {BETAS_KEY}"}


async def many(
    gateway: Gateway, act: str, headers: dict[str, str] | None = None, **body: Any
) -> httpx.Response:
    content = json.dumps(body)
    return await gateway.client.post(f"{JOBS}:{act}", content=content, headers=headers)


async def submitted(gateway: Gateway, count: int, **fields: Any) -> list[str]:
    answers = [await gateway.submit(idempotent_key=f"k{n}{fields}"[:200], **fields) for n in range(count)]
    return [answer.json()["job_id"] for answer in answers]


async def states(gateway: Gateway) -> Counter[str]:
    listed = (await gateway.client.get(JOBS, params={"limit": "200"})).json()["jobs"]
    return Counter(job["state"] for job in listed)


async def test_jobs_are_cancelled_by_filter_and_others_are_not(gateway: Gateway) -> None:
    await submitted(gateway, 3)
    await submitted(gateway, 2, url=OTHER)
    previewed = (await many(gateway, "cancel", domain=OTHER, dry_run=True)).json()
    assert previewed == {"status": "dry_run", "jobs": 2}
    assert await states(gateway) == {"queued": 5}
    done = await many(gateway, "cancel", domain=OTHER)
    assert (done.status_code, done.json()) == (
        200,
        {"status": "cancelled", "jobs": 2, "skipped": 0, "next_cursor": None},
    )
    assert await states(gateway) == {"queued": 3, "cancelled": 2}
    assert (await many(gateway, "cancel", domain=OTHER)).json()["jobs"] == 0


async def test_what_has_ended_is_not_cancelled_and_what_has_not_is_not_replayed(gateway: Gateway) -> None:
    first, *_ = await submitted(gateway, 3)
    await gateway.client.delete(f"{JOBS}/{first}")
    # A filter that names no state of that kind fits nothing: it must not come to mean all.
    assert (await many(gateway, "cancel", state="failed,cancelled")).json()["jobs"] == 0
    assert (await many(gateway, "cancel", state="failed", dry_run=True)).json()["jobs"] == 0
    assert (await many(gateway, "replay", state=["queued", "running"])).json()["jobs"] == 0
    assert await states(gateway) == {"queued": 2, "cancelled": 1}
    assert (await many(gateway, "replay", state="queued,cancelled")).json()["jobs"] == 1
    assert await states(gateway) == {"queued": 3, "cancelled": 1}


async def test_a_replay_that_is_asked_for_again_makes_nothing_twice(gateway: Gateway) -> None:
    ids = await submitted(gateway, 4)
    await many(gateway, "cancel")
    assert (await many(gateway, "replay", code="cancelled", dry_run=True)).json()["jobs"] == 4
    replayed = (await many(gateway, "replay", code="cancelled")).json()
    assert (replayed["jobs"], replayed["skipped"]) == (4, 0)
    assert await states(gateway) == {"queued": 4, "cancelled": 4}
    again = (await many(gateway, "replay", code="cancelled")).json()
    assert (again["jobs"], again["skipped"]) == (0, 4)
    keys = {job["idempotent_key"] for job in (await gateway.client.get(JOBS)).json()["jobs"]}
    assert {f"{job_id}/again" for job_id in ids} <= keys


async def test_a_limit_says_where_to_go_on(gateway: Gateway) -> None:
    await submitted(gateway, 7)
    counts, cursor = [], None
    while True:
        done = (await many(gateway, "cancel", limit=3, **({"cursor": cursor} if cursor else {}))).json()
        counts.append(done["jobs"])
        if (cursor := done["next_cursor"]) is None:
            break
    assert (counts, await states(gateway)) == ([3, 3, 1], {"cancelled": 7})


async def test_nobody_elses_jobs_are_touched(gateway: Gateway) -> None:
    await submitted(gateway, 2)
    assert (await many(gateway, "cancel", THEIRS)).json()["jobs"] == 0
    assert (await many(gateway, "replay", THEIRS)).json()["jobs"] == 0
    assert await states(gateway) == {"queued": 2}


async def test_the_pace_is_bounded_and_one_call_goes_at_a_time(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submitted(gateway, 2 * AT_ONCE + 5)
    waits: list[float] = []
    go_on = asyncio.Event()
    sleep = asyncio.sleep

    async def waiting(delay: float) -> None:
        if delay:
            waits.append(delay)
            await go_on.wait()
        else:
            await sleep(0)

    monkeypatch.setattr("orchestrator.core.submissions.many_jobs.asyncio.sleep", waiting)
    call = asyncio.ensure_future(many(gateway, "cancel"))
    while not waits:
        await turns()
    assert await states(gateway) == {"queued": AT_ONCE + 5, "cancelled": AT_ONCE}
    busy = await many(gateway, "replay")
    assert (busy.status_code, "one such call at a time" in busy.text) == (429, True)
    go_on.set()
    assert (await call).json()["jobs"] == 2 * AT_ONCE + 5
    assert len(waits) == 2
    assert max(waits) <= AT_ONCE / 250


async def test_a_replay_stops_where_no_more_jobs_may_be_open() -> None:
    bounds = SubmissionBounds(body_bytes=BOUNDS.body_bytes, open_jobs=AT_ONCE + 3)
    async for gateway in running_gateway(bounds=bounds):
        await submitted(gateway, AT_ONCE + 3)
        await many(gateway, "cancel")
        await submitted(gateway, 3, url=OTHER)
        done = (await many(gateway, "replay", state="cancelled")).json()
        assert (done["jobs"], done["next_cursor"] is not None) == (AT_ONCE, True)
        full = await many(gateway, "replay", state="cancelled", cursor=done["next_cursor"])
        assert (full.status_code, "retry-after" in full.headers) == (429, True)


@pytest.mark.parametrize("act", ["cancel", "replay"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"stat": "failed"}, "stat"),
        ({"state": "lost"}, "state"),
        ({"state": ["failed", "lost"]}, "state"),
        ({"state": 5}, "state"),
        ({"domain": "a b"}, "domain"),
        ({"delivery": "gone"}, "delivery"),
        ({"code": "599"}, "code"),
        ({"since": "yesterday"}, "since"),
        ({"until": -1}, "until"),
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"idempotent_key": "k" * 513}, "idempotent_key"),
        ({"dry_run": "yes"}, "dry_run"),
    ],
)
async def test_a_filter_that_is_wrong_is_named_and_nothing_is_done(
    gateway: Gateway, act: str, body: dict[str, Any], field: str
) -> None:
    await submitted(gateway, 1)
    response = await many(gateway, act, **body)
    assert response.status_code == 422
    assert {error["field"].split(".")[0] for error in response.json()["errors"]} == {field}
    assert await states(gateway) == {"queued": 1}


async def test_many_jobs_need_a_key_and_a_document(gateway: Gateway) -> None:
    assert (await many(gateway, "cancel", {"authorization": ""})).status_code == 401
    assert (await gateway.client.post(f"{JOBS}:cancel")).status_code == 400
