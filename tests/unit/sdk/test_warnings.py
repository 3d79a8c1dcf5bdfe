"""What people are warned of, and where the warning points."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from ezthrottle import AsyncEZThrottle, EZThrottle, EZThrottleWarning, ForwardToEZThrottle, Step, auto_forward

API_KEY = "ck_live_cust_acme_s3cr3t"
JOBS = "/api/v1/jobs"
JOB_ID = "job_1763674210055_853341"
URL = "https://api.example.com"

UNKNOWN = {"job_id": JOB_ID, "status": "queued", "warnings": ["unknown field 'cron' was ignored"]}
MISMATCH = {"job_id": JOB_ID, "status": "duplicate", "state": "success", "payload_mismatch": True}
FAILED = {"job_id": JOB_ID, "status": "duplicate", "state": "failed"}
CANCELLED = {"job_id": JOB_ID, "status": "duplicate", "state": "cancelled"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (UNKNOWN, "unknown field 'cron' was ignored"),
        (MISMATCH, "something else.*Authorization.*key of its own"),
        (FAILED, r"has failed.*replay\(job_id\)"),
        (CANCELLED, "has been cancelled"),
    ],
)
def test_what_an_answer_says_is_a_warning_at_the_callers_line(
    client: EZThrottle, service: Any, answer: Any, said: dict[str, Any], words: str
) -> None:
    service.on("POST", JOBS, answer(200, said))
    with pytest.warns(EZThrottleWarning, match=words) as told:
        assert client.submit_job(URL) == said
    assert [each.filename for each in told] == [__file__]
    assert JOB_ID not in str(told[0].message)


@pytest.mark.parametrize("state", ["queued", "running", "success"])
def test_a_duplicate_that_may_well_be_meant_is_no_reason_to_warn(
    client: EZThrottle, service: Any, answer: Any, state: str
) -> None:
    service.on("POST", JOBS, answer(200, {"job_id": JOB_ID, "status": "duplicate", "state": state}))
    assert client.submit_job(URL)["state"] == state


def _forwarded(client: EZThrottle) -> None:
    @auto_forward(client)
    def fail() -> None:
        raise ForwardToEZThrottle(url=URL)

    fail()


def _in_a_batch(client: EZThrottle) -> None:
    client.submit_many([{"url": URL}] * 3)


WAYS = [
    lambda client: client.submit_job(URL),
    lambda client: Step(client).url(URL).execute(),
    lambda client: asyncio.run(Step(client).url(URL).execute_async()),
    lambda client: client.replay(JOB_ID),
    lambda client: client.forward_or_fallback(lambda: None, URL),
    _forwarded,
    _in_a_batch,
]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_submit_warns_at_the_line_that_does(
    client: EZThrottle, service: Any, answer: Any, way: Any
) -> None:
    service.on("POST", JOBS, answer(200, MISMATCH))
    service.on("POST", f"{JOBS}/{JOB_ID}/replay", answer(200, MISMATCH))
    service.on("POST", "/api/v1/jobs:batch", answer(200, {"answers": [MISMATCH] * 3}))
    with pytest.warns(EZThrottleWarning) as told:
        way(client)
    assert {each.filename for each in told} == {__file__}


async def test_the_asyncio_client_warns_at_the_line_that_awaits(service: Any, answer: Any) -> None:
    service.on("POST", JOBS, answer(200, FAILED))
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        for submit in (client.submit_job(URL), Step(client).url(URL).execute_async()):
            with pytest.warns(EZThrottleWarning) as told:
                await submit
            assert [each.filename for each in told] == [__file__]


def test_warnings_can_be_raised_and_silenced(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("POST", JOBS, answer(200, FAILED))
    with warnings.catch_warnings():
        warnings.simplefilter("error", EZThrottleWarning)
        with pytest.raises(EZThrottleWarning):
            client.submit_job(URL)
        warnings.simplefilter("ignore", EZThrottleWarning)
        client.submit_job(URL)


PROGRAM = """
import asyncio, sys
from ezthrottle import AsyncEZThrottle, EZThrottle
client = EZThrottle("ck_live_cust_acme_s3cr3t", base_url=sys.argv[1])
for number in range(3):
    client.submit_job("https://api.example.com/" + str(number))
client.submit_job("https://api.example.com")
async def main():
    async with AsyncEZThrottle("ck_live_cust_acme_s3cr3t", base_url=sys.argv[1]) as client:
        await asyncio.gather(*(client.submit_job("https://api.example.com") for _ in range(9)))
asyncio.run(main())
"""


def test_a_program_shows_each_once_for_a_line(service: Any, answer: Any, tmp_path: Path) -> None:
    service.on("POST", JOBS, answer(200, UNKNOWN))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, program, service.url], capture_output=True, text=True, check=True, timeout=50
    )
    shown = [line.split(":")[1] for line in done.stderr.splitlines() if "EZThrottleWarning" in line]
    assert shown == ["6", "7", "11"]
