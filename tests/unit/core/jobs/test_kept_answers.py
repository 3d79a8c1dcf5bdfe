"""Answers that did not end their jobs: told in the end, and within a budget until then."""

import asyncio
import json

from orchestrator.core.jobs.kept_answers import KEPT_BYTES
from orchestrator.domain.byte_budget import MIB
from orchestrator.domain.execution.run import FANOUT_BYTES
from orchestrator.domain.jobs.job import RetryPolicy
from orchestrator.domain.jobs.policies import ExecutionMode
from orchestrator.ports.store import StoredJob
from tests.support.rig import IAD, LAX, ORD, Reply, Rig, in_virtual_time

LARGE = b"x" * (5 * MIB)
REPEATED = RetryPolicy(max_retries=1, retry_codes=frozenset({404}), reroute_codes=frozenset())


def result_of(stored: StoredJob) -> dict[str, object]:
    result: dict[str, object] = json.loads(stored.result or b"null")
    return result


@in_virtual_time()
async def test_what_waiting_jobs_keep_of_answers_is_bounded_and_forgotten_with_them(rig: Rig) -> None:
    rig.answer = lambda _: Reply(status=404, body=b"x" * 200_000)
    few = rig.shard.jobs.kept_answers._budget.most = 2 * MIB
    jobs = [await rig.submit(retry_policy=REPEATED) for _ in range(80)]
    await asyncio.sleep(0.4)
    most = rig.shard.jobs.kept_answers.used
    for job in jobs:
        await rig.ended(job)

    assert few / 4 < most <= few
    assert rig.shard.jobs.kept_answers.used == 0


@in_virtual_time()
async def test_so_are_the_headers_of_such_answers(rig: Rig) -> None:
    rig.answer = lambda _: Reply(status=404, headers={f"x-{number}": "y" for number in range(500)})
    few = rig.shard.jobs.kept_answers._budget.most = MIB
    jobs = [await rig.submit(retry_policy=REPEATED) for _ in range(80)]
    await asyncio.sleep(0.4)
    most = rig.shard.jobs.kept_answers.used
    for job in jobs:
        await rig.ended(job)

    assert few / 4 < most <= few


@in_virtual_time()
async def test_a_fan_out_tells_all_answers_in_equal_shares(rig: Rig) -> None:
    rig.answer = lambda _: Reply(body=b"x" * (9 * MIB))

    stored = await rig.run(regions=(IAD, LAX, ORD), execution_mode=ExecutionMode.FANOUT)

    responses = result_of(stored)["responses"]
    assert isinstance(responses, dict)
    assert [len(told["body"]) for told in responses.values()] == [FANOUT_BYTES // 3] * 3
    assert all(told["truncated"] for told in responses.values())
    assert rig.shard.jobs.kept_answers.used == 0


@in_virtual_time()
async def test_three_answers_of_the_usual_most_are_told_whole(rig: Rig) -> None:
    rig.answer = lambda _: Reply(body=LARGE)

    stored = await rig.run(regions=(IAD, LAX, ORD), execution_mode=ExecutionMode.FANOUT)

    responses = result_of(stored)["responses"]
    assert isinstance(responses, dict)
    assert [len(told["body"]) for told in responses.values()] == [len(LARGE)] * 3


@in_virtual_time()
async def test_a_race_that_fails_tells_the_first_answer_whole(rig: Rig) -> None:
    rig.answer = lambda call: Reply(status=404, body=LARGE, after_s=0.01 if call.region == IAD else 1.0)

    stored = await rig.run(regions=(IAD, LAX, ORD))

    response = result_of(stored)["response"]
    assert isinstance(response, dict)
    assert len(response["body"]) == len(LARGE)


@in_virtual_time()
async def test_a_restart_counts_what_the_disk_kept(rig: Rig) -> None:
    rig.answer = lambda _: Reply(status=404, body=LARGE)
    for _ in range(10):
        await rig.submit(retry_policy=REPEATED)
    await rig.restart()

    assert rig.shard.jobs.kept_answers.used <= KEPT_BYTES
