"""Bodies that are not text: as base64 on the way in, as bytes to the target."""

import base64

import pytest

from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.domain.jobs.spec_record import spec_from_record, spec_to_record
from tests.unit.http.gateway import Gateway

BINARY = b"\x89PNG\r\n\x00\xff"


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def accepted(gateway: Gateway, **job: object) -> JobSpec:
    response = await gateway.submit(method="POST", **job)
    assert response.status_code == 202, response.text
    stored = await gateway.store.jobs.load(JobId(response.json()["job_id"]))
    assert stored is not None
    return stored.job.spec


@pytest.mark.parametrize("name", ["body_encoding", "bodyEncoding"])
async def test_a_binary_body_comes_as_base64_and_goes_as_it_is(gateway: Gateway, name: str) -> None:
    spec = await accepted(gateway, body=encoded(BINARY), **{name: "base64"})
    assert spec.content == BINARY
    assert spec_from_record(spec_to_record(spec)) == spec


async def test_one_body_is_one_payload_however_it_was_written(gateway: Gateway) -> None:
    first = await gateway.submit(method="POST", body="zwölf")
    again = await gateway.submit(method="POST", body=encoded("zwölf".encode()), body_encoding="base64")
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    assert again.json()["job_id"] == first.json()["job_id"]
    assert "payload_mismatch" not in again.json()


async def test_what_is_no_base64_is_named_wherever_it_stands(gateway: Gateway) -> None:
    wrong = {"body": "not base64!", "body_encoding": "base64"}
    response = await gateway.submit(**wrong, on_success={"url": "http://203.0.113.9/", **wrong})
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["body", "on_success.body"]


async def test_an_encoding_that_nobody_knows_is_refused(gateway: Gateway) -> None:
    response = await gateway.submit(body="", body_encoding="gzip")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "body_encoding")


async def test_a_binary_body_is_shown_with_its_encoding_and_its_size(gateway: Gateway) -> None:
    submitted = await gateway.submit(method="POST", body=encoded(BINARY), body_encoding="base64")
    shown = await gateway.client.get(f"/api/v1/jobs/{submitted.json()['job_id']}?include=body")
    request = shown.json()["request"]
    assert (request["body"], request["body_encoding"]) == (encoded(BINARY), "base64")
    assert request["body_bytes"] == len(BINARY)
