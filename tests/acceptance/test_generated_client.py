"""A client that a generator makes of /openapi.json: its types and calls, against the service."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from bench.loopback import Site
from bench.service import Service
from tests.acceptance.conftest import Api

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

PROGRAM = """
import sys

from made.api_config import APIConfig, HTTPException
from made.models import Acknowledgement, Job, JobPage, ManyJobsIn, SubmissionIn
from made.services import jobs_service, usage_service

base_url, api_key, target = sys.argv[1:]
api = APIConfig(base_path=base_url, access_token=api_key)

taken = jobs_service.submit_job(api, data=SubmissionIn(url=target, method="POST", body="made"))
assert isinstance(taken, Acknowledgement), taken
job = jobs_service.get_job(api, job_id=taken.job_id, wait=30)
assert isinstance(job, Job), job
assert job.state.value == "success", job
assert job.result.response.status_code == 200, job
assert [attempt.verdict.value for attempt in job.timeline.attempts] == ["success"], job

page = jobs_service.list_jobs(api, state="success", limit=200)
assert isinstance(page, JobPage), page
assert taken.job_id in [listed.job_id for listed in page.jobs], page
assert jobs_service.cancel_jobs(api, data=ManyJobsIn(dry_run=True, code="status")).status == "dry_run"
assert usage_service.get_usage(api).open_jobs_limit > 0
try:
    jobs_service.submit_job(api, data=SubmissionIn(url="nonsense"))
except HTTPException as refused:
    assert refused.status_code == 422, refused
else:
    raise AssertionError("what is no URL was taken")
"""


@pytest.fixture(scope="module")
def made(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the package ``made``."""
    directory = tmp_path_factory.mktemp("client")
    described = directory / "openapi.json"
    described.write_text(httpx.get(f"{service.base_url}/openapi.json").text)
    generator = Path(sys.executable).with_name("openapi-python-generator")
    run = [generator, described, directory / "made", "--formatter", "none"]
    subprocess.run(run, check=True, capture_output=True, timeout=120)
    return directory


def test_a_generated_client_submits_waits_lists_and_is_told_what_is_wrong(
    made: Path, service: Service, api: Api, target: Site
) -> None:
    run = [sys.executable, "-c", PROGRAM, service.base_url, api.api_key, target.url("/made")]
    told = subprocess.run(
        run, env=os.environ | {"PYTHONPATH": str(made)}, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert [seen.body for seen in target.seen("/made")] == [b"made"]


def test_every_call_has_a_name_of_its_own_and_every_status_a_schema(service: Service) -> None:
    document = httpx.get(f"{service.base_url}/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["description"]
        for status, answer in operation["responses"].items():
            schemas = [content["schema"] for content in answer.get("content", {}).values()]
            assert all(schemas), operation
            assert schemas or status == "204", operation
