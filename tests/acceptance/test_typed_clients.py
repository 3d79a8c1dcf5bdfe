"""The service as the published clients of typed languages read it: their types, their status checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from bench.loopback import Reply
from tests.support.strict_readers import (
    RESPONSE_FIELDS,
    WEBHOOK_FIELDS,
    GoReader,
    NodeReader,
    envelope_of,
)

if TYPE_CHECKING:
    from bench.loopback import Site
    from tests.acceptance.conftest import Api

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

READERS = pytest.mark.parametrize("reader", [GoReader(), NodeReader()], ids=["go", "node"])


def sent(api: Api, base_url: str, **job: object) -> httpx.Response:
    """Send a job in an envelope, as these clients do."""
    headers = {"Authorization": f"Bearer {api.api_key}"}
    with httpx.Client(headers=headers, timeout=60, trust_env=False) as client:
        return client.post(f"{base_url}/api/v1/proxy", json=envelope_of(base_url, job))


@READERS
@pytest.mark.parametrize("slash", ["", "/"], ids=["plain base", "base with a slash"])
def test_every_new_job_is_one_that_was_created(
    api: Api, target: Site, receiver: Site, reader: GoReader | NodeReader, slash: str
) -> None:
    target.on("/slow", Reply(body=b"{}", headers={"X-EZTHROTTLE-RPS": "1.5"}))
    base = str(api.http.base_url).rstrip("/") + slash
    taken = []
    for number in range(6):
        key = f"typed-{target.port}-{number}"
        hook = [{"url": receiver.url(f"/hook/{number}"), "hasQuorumVote": True}]
        answer = sent(api, base, url=target.url("/slow"), idempotentKey=key, webhooks=hook)
        taken.append(reader.job(answer.status_code, answer.text))
    assert [job["status"] for job in taken] == ["queued"] * 6
    assert api.delivered(taken[0]["job_id"])["state"] == "success"
    # What its receiver unmarshals has the types of the README too.
    [hook] = receiver.seen("/hook/0")
    told = GoReader().struct(hook.body.decode(), WEBHOOK_FIELDS)
    assert told["job_id"] == taken[0]["job_id"]
    GoReader().struct(httpx.Response(200, json=told["response"]).text, RESPONSE_FIELDS)
    for job in taken:
        api.ended(job["job_id"])


@READERS
def test_a_race_and_a_scheduled_job_are_read_too(
    api: Api, target: Site, reader: GoReader | NodeReader
) -> None:
    base = str(api.http.base_url).rstrip("/")
    race = sent(api, base, url=target.url("/race"), regions=["iad", "lax"], executionMode="race")
    assert reader.job(race.status_code, race.text)["status"] == "racing"
    later = {"retryAt": taken_ms(reader, race) + 90_500}
    scheduled = sent(api, base, url=target.url("/later"), **later)
    read = reader.job(scheduled.status_code, scheduled.text)
    assert (read["status"], 80 <= read["estimated_processing_time"] <= 91) == ("scheduled", True)
    api.http.delete(f"/api/v1/jobs/{read['job_id']}")


def taken_ms(reader: GoReader | NodeReader, answer: httpx.Response) -> int:
    """Say when a job was taken, by the service's clock."""
    queued_ms: int = reader.job(answer.status_code, answer.text)["queued_at"]
    return queued_ms
