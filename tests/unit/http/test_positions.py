"""Where a job stands, and when it is likely to start."""

import json

from tests.unit.domain.builders import ACME
from tests.unit.http.gateway import BETAS_KEY, JOBS, TARGET, Gateway


async def submit(
    gateway: Gateway, number: int, key: str | None = None, **fields: object
) -> dict[str, object]:
    gateway.clock.ahead_s += 0.01  # of two jobs of one millisecond either may go first
    headers = {"authorization": f"Bearer {key}"} if key else {}
    content = json.dumps({"url": TARGET, "body": str(number)} | fields)
    response = await gateway.client.post(JOBS, content=content, headers=headers)
    document: dict[str, object] = response.json()
    return document


async def place(gateway: Gateway, job: dict[str, object]) -> int | None:
    position: int | None = (await gateway.client.get(f"{JOBS}/{job['job_id']}")).json()["position"]
    return position


async def test_the_answer_tells_place_and_wait_at_the_pace_in_force(gateway: Gateway) -> None:
    gateway.regions_up()
    answers = [await submit(gateway, number) for number in range(8)]
    # Two start at once; a pace of two per second lets the others follow.
    assert [answer["position"] for answer in answers] == [1, 1, 1, 2, 3, 4, 5, 6]
    waits = [answer["estimated_processing_time"] for answer in answers]
    # Whole seconds, rounded up: typed clients take nothing else.
    assert [type(wait) for wait in waits] == [int] * 8
    assert waits == sorted(waits, key=int)
    assert waits[:2] == [0, 0]
    assert 1 <= waits[-1] <= 4


async def test_places_are_told_while_no_region_is_up(gateway: Gateway) -> None:
    answers = [await submit(gateway, number) for number in range(3)]
    assert [answer["position"] for answer in answers] == [1, 2, 3]
    assert [await place(gateway, answer) for answer in answers] == [1, 2, 3]


async def test_a_job_moves_up(gateway: Gateway) -> None:
    gateway.regions_up()
    answers = [await submit(gateway, number) for number in range(5)]
    assert [await place(gateway, answer) for answer in answers] == [None, None, 1, 2, 3]
    assert gateway.answer_attempts() == 2
    gateway.clock.ahead_s += 2.0
    (domain,) = gateway.shard.targets.domains.values()
    domain.pump()
    assert [await place(gateway, answer) for answer in answers[2:]] == [None, None, 1]


async def test_a_quiet_customer_does_not_stand_behind_a_flood(gateway: Gateway) -> None:
    for number in range(20):
        await submit(gateway, number)
    theirs = await submit(gateway, 1, BETAS_KEY)
    assert isinstance(theirs["position"], int)
    assert theirs["position"] <= 3


async def test_a_higher_priority_stands_further_ahead(gateway: Gateway) -> None:
    for number in range(10):
        await submit(gateway, number)
    assert (await submit(gateway, 10, priority=9))["position"] == 1


async def test_a_scheduled_job_starts_at_its_time(gateway: Gateway) -> None:
    at = gateway.clock.unix_ms() + 60_000
    job = await submit(gateway, 1, retry_at=at)
    assert job["estimated_processing_time"] in (59, 60)
    assert type(job["estimated_processing_time"]) is int
    shown = (await gateway.client.get(f"{JOBS}/{job['job_id']}")).json()
    assert (shown["position"], shown["estimated_start_at"]) == (None, at)


async def test_a_job_that_has_ended_has_no_place(gateway: Gateway) -> None:
    job = await submit(gateway, 1)
    await gateway.client.delete(f"{JOBS}/{job['job_id']}")
    assert await place(gateway, job) is None
    assert gateway.shard.targets.domains[next(iter(gateway.shard.targets.domains))].waiting_of(ACME) <= 1
