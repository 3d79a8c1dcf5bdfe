"""What nobody foresaw: the client gets a document that it can read, the log says where, and never what."""

import json

import httpx
import pytest

from orchestrator.adapters.http import submission_routes
from orchestrator.adapters.http.submissions import Reading, read_submission
from orchestrator.adapters.memory.history import MemoryHistory
from orchestrator.domain.ids import RegionName
from tests.unit.http.gateway import JOBS, TARGET, Gateway

SECRET = "card-4111"


def spoil(document: dict[str, object], region: RegionName) -> Reading:
    if document.get("body") == SECRET:
        raise LookupError(SECRET)
    return read_submission(document, region)


def assert_told(response: httpx.Response, caplog: pytest.LogCaptureFixture) -> None:
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["error"]
    assert "LookupError" in caplog.text
    assert SECRET not in caplog.text + response.text


async def test_an_error_in_a_submission_is_a_problem_document(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(submission_routes, "read_submission", spoil)
    assert_told(await gateway.submit(body=SECRET), caplog)


@pytest.mark.parametrize("path", [JOBS, "/api/v1/proxy"])
async def test_an_error_in_any_other_call_is_a_problem_document(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise LookupError(SECRET)

    monkeypatch.setattr(MemoryHistory, "jobs_of", broken)
    if path == JOBS:
        assert_told(await gateway.client.get(JOBS), caplog)
        return
    envelope = {"target_url": f"http://service{JOBS}", "method": "GET"}
    answer = (await gateway.client.post(path, content=json.dumps(envelope))).json()["forwarded_response"]
    headers = {"content-type": answer["headers"]["content-type"]}
    assert_told(httpx.Response(answer["status_code"], text=answer["body"], headers=headers), caplog)


async def test_an_error_in_one_job_of_a_batch_costs_the_others_nothing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission_routes, "read_submission", spoil)
    jobs = [{"url": TARGET}, {"url": TARGET, "body": SECRET}, {"url": f"{TARGET}&2"}]
    response = await gateway.client.post(f"{JOBS}:batch", content=json.dumps({"jobs": jobs}))
    assert [answer["status"] for answer in response.json()["answers"]] == ["queued", 500, "queued"]
