import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ezthrottle import (
    AsyncEZThrottle,
    AuthenticationError,
    BatchError,
    EZThrottle,
    IdempotentStrategy,
    InvalidJobError,
    QuotaExceededError,
    ServiceUnreachableError,
    Step,
)

API_KEY = "ck_live_cust_acme_s3cr3t"
BATCH = "/api/v1/jobs:batch"
JOBS = "/api/v1/jobs"
URL = "https://api.example.com"


def _answer_to(job: dict[str, Any]) -> dict[str, Any]:
    if "refuse" in job["url"]:
        return {
            "status": 422,
            "title": "invalid",
            "error": "no such region",
            "errors": [{"field": "regions", "message": "mars is not known"}],
        }
    return {"job_id": f"job_{job['url'].rpartition('/')[2]}", "status": "queued"}


@pytest.fixture
def batches(service: Any, answer: Any) -> Any:
    """The service, which takes batches."""

    def take(seen: Any) -> Any:
        return answer(200, {"answers": [_answer_to(job) for job in seen.json()["jobs"]]})

    service.on("POST", BATCH, take)
    return service


@pytest.fixture
def singles(service: Any, answer: Any) -> Any:
    """A service from before the batch endpoint."""

    def take(seen: Any) -> Any:
        taken = _answer_to(seen.json())
        return answer(taken["status"] if isinstance(taken["status"], int) else 202, taken)

    service.on("POST", BATCH, answer(405, {"error": "method not allowed"}))
    service.on("POST", JOBS, take)
    return service


def _jobs(count: int) -> list[dict[str, Any]]:
    return [{"url": f"{URL}/{number}"} for number in range(count)]


def _ids(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["job_id"] for answer in answers]


def test_many_jobs_go_in_few_calls_and_are_answered_in_order(client: EZThrottle, batches: Any) -> None:
    answers = client.submit_many(_jobs(600))
    assert _ids(answers) == [f"job_{number}" for number in range(600)]
    assert [len(seen.json()["jobs"]) for seen in batches.seen] in ([250, 250, 100], [250, 100, 250])
    assert {seen.headers["authorization"] for seen in batches.seen} == {f"Bearer {API_KEY}"}
    assert {seen.headers["content-type"] for seen in batches.seen} == {"application/json"}


def test_without_jobs_nothing_is_sent(client: EZThrottle, batches: Any) -> None:
    assert client.submit_many([]) == []
    assert batches.seen == []


def test_progress_is_told_how_many_are_done_of_how_many(client: EZThrottle, batches: Any) -> None:
    told: list[tuple[int, int | None]] = []
    client.submit_many(_jobs(600), progress=lambda done, total: told.append((done, total)))
    assert told == [(250, 600), (500, 600), (600, 600)]


def test_the_total_of_a_generator_is_not_known(client: EZThrottle, batches: Any) -> None:
    told: list[tuple[int, int | None]] = []
    client.submit_many(iter(_jobs(2)), progress=lambda *seen: told.append(seen))
    assert told == [(2, None)]


def test_no_more_of_a_generator_is_read_than_is_being_sent(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    read, taken, ahead = 0, 0, list[int]()

    def jobs() -> Iterator[dict[str, Any]]:
        nonlocal read
        for read in range(1, 5001):
            yield {"url": f"{URL}/{read}"}

    def take(seen: Any) -> Any:
        nonlocal taken
        ahead.append(read - taken)
        taken += len(seen.json()["jobs"])
        return answer(200, {"answers": [_answer_to(job) for job in seen.json()["jobs"]]})

    service.on("POST", BATCH, take)
    assert len(client.submit_many(jobs())) == 5000
    assert max(ahead) <= 4 * 250


def test_steps_are_submitted_with_all_that_hangs_on_them(client: EZThrottle, batches: Any) -> None:
    step = Step().url(f"{URL}/1").method("post").on_success(Step().url(f"{URL}/2"))
    client.submit_many([step, {"url": f"{URL}/3", "method": "put", "regions": ["iad"], "webhook_quorum": 1}])
    assert batches.seen[0].json()["jobs"] == [
        {"url": f"{URL}/1", "method": "POST", "on_success": {"url": f"{URL}/2", "method": "GET"}},
        {"url": f"{URL}/3", "method": "PUT", "regions": ["iad"]},
    ]


def test_a_unique_step_gets_a_key_each_time(client: EZThrottle, batches: Any) -> None:
    step = Step().url(f"{URL}/1").idempotent_strategy(IdempotentStrategy.UNIQUE)
    client.submit_many([step, step])
    assert len({job["idempotent_key"] for job in batches.seen[0].json()["jobs"]}) == 2


def test_big_jobs_make_smaller_batches(
    client: EZThrottle, batches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ezthrottle._operations.batches.MOST_BYTES", 1000)
    client.submit_many([{"url": f"{URL}/{number}", "body": "x" * 400} for number in range(4)])
    assert [len(seen.json()["jobs"]) for seen in batches.seen] == [2, 2]


def test_a_job_without_a_url_is_named(client: EZThrottle, batches: Any) -> None:
    with pytest.raises(ValueError, match=r"no url.*method"):
        client.submit_many([{"method": "POST"}])


def test_an_argument_that_submit_job_does_not_take_is_named(client: EZThrottle, batches: Any) -> None:
    with pytest.raises(TypeError, match="'webhook'"):
        client.submit_many([{"url": URL, "webhook": "https://app.example.com"}])
    assert batches.seen == []


def test_a_list_is_found_to_hold_what_is_no_job_before_any_of_it_is_sent(
    client: EZThrottle, batches: Any
) -> None:
    with pytest.raises(TypeError, match="'webhook'"):
        client.submit_many([*_jobs(600), {"url": URL, "webhook": "https://app.example.com"}])
    assert batches.seen == []


@pytest.mark.parametrize("at", [300, 600])
def test_a_generator_that_ends_in_what_is_no_job_does_not_lose_what_was_taken(
    client: EZThrottle, batches: Any, at: int
) -> None:
    with pytest.raises(BatchError, match=r"could not be read: ValueError: a job has no url") as caught:
        client.submit_many(iter([*_jobs(at), {"method": "POST"}]))
    sent = [job for seen in batches.seen for job in seen.json()["jobs"]]
    assert len(sent) == at // 250 * 250
    assert _ids(caught.value.answers) == [f"job_{number}" for number in range(len(sent))]
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_generator_that_fails_does_not_lose_what_was_taken(batches: Any) -> None:
    def jobs() -> Iterator[dict[str, Any]]:
        yield from _jobs(300)
        raise OSError("the file ends here")

    async with AsyncEZThrottle(API_KEY, base_url=batches.url) as client:
        with pytest.raises(BatchError, match=r"250 were taken.*the file ends here") as caught:
            await client.submit_many(jobs())
    assert len(caught.value.answers) == 250


def test_a_generator_that_fails_at_once_fails_with_its_own_error(client: EZThrottle, batches: Any) -> None:
    def jobs() -> Iterator[dict[str, Any]]:
        yield from _jobs(10)
        raise OSError("the file ends here")

    with pytest.raises(OSError, match="the file ends here"):
        client.submit_many(jobs())
    assert batches.seen == []


def test_a_refused_job_does_not_lose_the_others(client: EZThrottle, batches: Any) -> None:
    with pytest.raises(BatchError, match=r"1 of 3 jobs.*mars is not known") as caught:
        client.submit_many([{"url": f"{URL}/1"}, {"url": f"{URL}/refuse"}, {"url": f"{URL}/3"}])
    first, second, third = caught.value.answers
    assert (first["job_id"], third["job_id"]) == ("job_1", "job_3")
    assert isinstance(second, InvalidJobError)
    assert second.errors == [{"field": "regions", "message": "mars is not known"}]
    assert second.status_code == 422


def test_a_job_over_a_limit_says_when_to_repeat_it(client: EZThrottle, service: Any, answer: Any) -> None:
    over = {"status": 429, "error": "over the limit", "retry_at": 1763674210055}
    service.on("POST", BATCH, answer(200, {"answers": [{"job_id": "job_1_1"}, over]}))
    with pytest.raises(BatchError) as caught:
        client.submit_many(_jobs(2))
    assert caught.value.retry_at == 1763674210055
    assert isinstance(caught.value.answers[1], QuotaExceededError)


def test_a_batch_is_repeated_while_the_service_is_away(client: EZThrottle, service: Any, answer: Any) -> None:
    taken = answer(200, {"answers": [{"job_id": "job_1_1"}]})
    service.on("POST", BATCH, answer(drop=True), answer(503), taken)
    assert _ids(client.submit_many(_jobs(1))) == ["job_1_1"]
    assert len({seen.body for seen in service.seen}) == 1


def test_a_service_that_takes_none_raises_what_it_says(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("POST", BATCH, answer(401, {"error": "no such key"}))
    with pytest.raises(AuthenticationError, match="no such key"):
        client.submit_many(_jobs(1000))
    assert len(service.seen) <= 3


@pytest.mark.parametrize("taken", [range(250), range(250, 500)], ids=["first", "second"])
def test_what_was_taken_before_the_service_went_away_is_told_in_its_place(
    service: Any, answer: Any, taken: range
) -> None:
    def take(seen: Any) -> Any:
        jobs = seen.json()["jobs"]
        service.wait_for("POST", BATCH, 2)  # batches go side by side: each of the two may be the one taken
        if jobs[0] != {"url": f"{URL}/{taken[0]}", "method": "GET"}:
            return answer(drop=True)
        return answer(200, {"answers": [_answer_to(job) for job in jobs]})

    service.on("POST", BATCH, take)
    with (
        EZThrottle(API_KEY, base_url=service.url, max_attempts=1) as client,
        pytest.raises(BatchError) as caught,
    ):
        client.submit_many(_jobs(2000))
    answers = caught.value.answers
    told = {place: each["job_id"] for place, each in enumerate(answers) if isinstance(each, dict)}
    assert told == {place: f"job_{place}" for place in taken}
    assert all(isinstance(each, ServiceUnreachableError) for each in answers if not isinstance(each, dict))
    assert 500 <= len(answers) < 2000


def test_a_batch_that_is_refused_as_a_whole_goes_one_by_one(
    client: EZThrottle, singles: Any, answer: Any
) -> None:
    singles.on("POST", BATCH, answer(413, {"error": "too large"}))
    with pytest.raises(BatchError) as caught:
        client.submit_many([{"url": f"{URL}/1"}, {"url": f"{URL}/refuse"}])
    assert caught.value.answers[0] == {"job_id": "job_1", "status": "queued"}


def test_an_answer_that_leaves_jobs_out_is_an_error(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("POST", BATCH, answer(200, {"answers": []}))
    with pytest.raises(Exception, match="2 answers"):
        client.submit_many(_jobs(2))


def test_a_service_without_batches_gets_them_one_by_one(client: EZThrottle, singles: Any) -> None:
    told: list[tuple[int, int | None]] = []
    answers = client.submit_many(_jobs(300), progress=lambda *seen: told.append(seen))
    assert _ids(answers) == [f"job_{number}" for number in range(300)]
    assert told == [(250, 300), (300, 300)]
    assert len(singles.requests("POST", BATCH)) <= 2


def test_one_by_one_several_are_under_way_at_once(client: EZThrottle, singles: Any, answer: Any) -> None:
    together = threading.Barrier(8)

    def take(seen: Any) -> Any:
        together.wait(20)
        return answer(202, _answer_to(seen.json()))

    singles.on("POST", JOBS, take)
    assert len(client.submit_many(_jobs(8))) == 8


def test_one_by_one_a_service_that_goes_away_is_not_asked_for_each(service: Any, answer: Any) -> None:
    service.on("POST", BATCH, answer(404))
    service.on("POST", JOBS, answer(drop=True))
    with (
        EZThrottle(API_KEY, base_url=service.url, max_attempts=1) as client,
        pytest.raises(ServiceUnreachableError),
    ):
        client.submit_many(_jobs(200))
    assert len(service.requests("POST", JOBS)) < 50


@pytest.fixture
def first_of_eight_dropped(singles: Any, answer: Any) -> Any:
    """A service from before the batch endpoint that answers all of eight at once but the first."""
    together = threading.Barrier(8)

    def take(seen: Any) -> Any:
        together.wait(20)
        return answer(drop=True) if seen.json()["url"] == f"{URL}/0" else answer(202, _answer_to(seen.json()))

    singles.on("POST", JOBS, take)
    return singles


def test_one_by_one_what_was_taken_beside_one_that_got_no_answer_is_told(first_of_eight_dropped: Any) -> None:
    with (
        EZThrottle(API_KEY, base_url=first_of_eight_dropped.url, max_attempts=1) as client,
        pytest.raises(BatchError) as caught,
    ):
        client.submit_many(_jobs(8))
    assert isinstance(caught.value.answers[0], ServiceUnreachableError)
    assert _ids(caught.value.answers[1:]) == [f"job_{number}" for number in range(1, 8)]


async def test_the_asyncio_client_too_tells_what_was_taken_beside_one_that_got_no_answer(
    first_of_eight_dropped: Any,
) -> None:
    async with AsyncEZThrottle(API_KEY, base_url=first_of_eight_dropped.url, max_attempts=1) as client:
        with pytest.raises(BatchError) as caught:
            await client.submit_many(_jobs(8))
    assert isinstance(caught.value.answers[0], ServiceUnreachableError)
    assert _ids(caught.value.answers[1:]) == [f"job_{number}" for number in range(1, 8)]


async def test_the_asyncio_client_submits_many_without_holding_up_the_loop(batches: Any) -> None:
    async with AsyncEZThrottle(API_KEY, base_url=batches.url) as client:
        told: list[int] = []
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        answers = await client.submit_many(_jobs(600), progress=lambda done, _: told.append(done))
        ticking.cancel()
    assert _ids(answers) == [f"job_{number}" for number in range(600)]
    assert told == [250, 500, 600]
    assert ticks > 3


async def test_the_asyncio_client_too_goes_one_by_one(singles: Any) -> None:
    async with AsyncEZThrottle(API_KEY, base_url=singles.url) as client:
        with pytest.raises(BatchError) as caught:
            await client.submit_many([*_jobs(20), {"url": f"{URL}/refuse"}])
    assert json.dumps(_ids(caught.value.answers[:20])) == json.dumps([f"job_{n}" for n in range(20)])
