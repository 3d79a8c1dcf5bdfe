"""The SDK against a real service: batches, the calls about jobs, and chains that both sides share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from bench.loopback import GENEROUS_PACE, Reply, Seen, Site
from ezthrottle import (
    AsyncEZThrottle,
    BatchError,
    ConflictError,
    EZThrottle,
    InvalidJobError,
    NotFoundError,
    Step,
    StepType,
)
from tests.acceptance.conftest import Api, customer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.service import Service

pytestmark = [
    pytest.mark.service,
    pytest.mark.timeout(120),
    # The jobs here are of other things: their customer stores no secret.
    pytest.mark.filterwarnings("ignore:.*no webhook secret is stored"),
]

SEVERAL_BATCHES = 600
IN_AN_HOUR_MS = int((time.time() + 3600) * 1000)
JOB_ID_HEADER = "x-ezthrottle-job-id"


@pytest.fixture(scope="module")
def customer(service: Service) -> Iterator[Api]:
    with customer_of(service, "cust_sdk") as api:
        yield api


@pytest.fixture
def client(service: Service, customer: Api) -> Iterator[EZThrottle]:
    """A client that leaves everything to the service."""
    with EZThrottle(customer.api_key, base_url=service.base_url) as client:
        yield client


@pytest.fixture
def receiving(service: Service, customer: Api) -> Iterator[EZThrottle]:
    """A client that runs FRUGAL children itself."""
    with EZThrottle(
        customer.api_key, base_url=service.base_url, start_webhook_server=True, webhook_port=0
    ) as client:
        yield client


def performance(url: str) -> Step:
    return Step().url(url).type(StepType.PERFORMANCE)


def frugal(url: str) -> Step:
    return Step().url(url).type(StepType.FRUGAL)


def ran_here(seen: Seen) -> bool:
    return JOB_ID_HEADER not in seen.headers


def only(target: Site, path: str) -> Seen:
    [seen] = target.wait(lambda seen: len(seen) >= 1, path)
    return seen


def test_many_jobs_are_taken_in_batches_each_once(client: EZThrottle, target: Site) -> None:
    jobs = [{"url": target.url(f"/many/{number}")} for number in range(SEVERAL_BATCHES)]
    told: list[int] = []

    first = client.submit_many(jobs, progress=lambda done, _total: told.append(done))
    again = client.submit_many(jobs)

    assert {answer["status"] for answer in first} == {"queued"}
    assert len({answer["job_id"] for answer in first}) == SEVERAL_BATCHES
    assert [answer["job_id"] for answer in again] == [answer["job_id"] for answer in first]
    assert {answer["status"] for answer in again} == {"duplicate"}
    assert told[-1] == SEVERAL_BATCHES


def test_a_refused_job_of_a_batch_is_named_and_the_others_run(client: EZThrottle, target: Site) -> None:
    good, bad = {"url": target.url("/good")}, {"url": target.url("/bad"), "regions": ["mars"]}

    with pytest.raises(BatchError) as caught:
        client.submit_many([good, bad])

    taken, refused = caught.value.answers
    assert isinstance(taken, dict)
    assert client.wait(taken["job_id"], timeout=30)["state"] == "success"
    assert isinstance(refused, InvalidJobError)
    assert refused.errors[0]["field"].startswith("regions")


async def test_the_asyncio_client_takes_batches_too(service: Service, customer: Api, target: Site) -> None:
    async with AsyncEZThrottle(customer.api_key, base_url=service.base_url) as client:
        answers = await client.submit_many({"url": target.url(f"/async/{number}")} for number in range(10))
        job = await client.wait(answers[-1]["job_id"], timeout=30)
    assert len(answers) == 10
    assert job["state"] == "success"


def test_a_stream_tells_what_was_missed_and_ends_with_the_job(client: EZThrottle, target: Site) -> None:
    job_id = client.submit_job(target.url("/streamed"))["job_id"]
    job = client.wait(job_id, timeout=30)

    events = list(client.stream(job_id, timeout=30))

    assert {"queued", "attempt"} <= {event.name for event in events}
    assert (events[-1].name, events[-1].data["result"]) == ("completed", job["result"])
    with pytest.raises(NotFoundError):
        list(client.stream("job_1_1"))


async def test_a_stream_follows_a_job_that_waits(service: Service, customer: Api, target: Site) -> None:
    async with AsyncEZThrottle(customer.api_key, base_url=service.base_url) as client:
        answer = await client.submit_job(target.url("/cancelled"), retry_at=IN_AN_HOUR_MS)
        names = []
        async for event in client.stream(answer["job_id"], timeout=30):
            if not names:
                await client.cancel(answer["job_id"])
            names.append(event.name)
    assert (names[0], names[-1]) == ("queued", "failed")


def test_webhooks_are_sent_again_and_a_child_here_runs_once_all_the_same(
    receiving: EZThrottle, customer: Api, target: Site, receiver: Site
) -> None:
    step = performance(target.url("/parent")).webhooks([{"url": receiver.url("/hook")}])
    job_id = step.on_success(frugal(target.url("/child"))).execute(receiving)["job_id"]
    only(target, "/child")
    customer.delivered(job_id)

    server = receiving.webhook_server
    assert server is not None
    server.results.clear()
    assert receiving.redeliver(job_id)["deliveries"] == 2

    receiver.wait(lambda seen: len(seen) == 2, "/hook")
    assert server.wait_for_result(job_id, timeout=30) is not None
    assert len(target.seen("/child")) == 1


def test_a_job_that_has_ended_is_replayed_as_a_job_of_its_own(client: EZThrottle, target: Site) -> None:
    first = client.submit_job(target.url("/again"), body="the same", method="POST")["job_id"]
    waiting = client.submit_job(target.url("/later"), retry_at=IN_AN_HOUR_MS)["job_id"]
    client.wait(first, timeout=30)

    second = client.replay(first)["job_id"]

    assert second != first
    assert client.wait(second, timeout=30)["state"] == "success"
    assert [seen.body for seen in target.seen("/again")] == [b"the same"] * 2
    with pytest.raises(ConflictError):
        client.replay(waiting)
    client.cancel(waiting)


def test_a_rotation_that_is_sent_twice_keeps_the_old_secret(client: EZThrottle) -> None:
    client.create_webhook_secret("the old secret of the sdk")
    for _ in range(2):
        client.rotate_webhook_secret("new: a secret of the sdk")

    shown = client.get_webhook_secret()
    client.delete_webhook_secret()

    assert (shown["primary_secret"], shown["secondary_secret"]) == ("new:****sdk", "the ****sdk")


def test_usage_regions_and_domains_are_shown(client: EZThrottle, target: Site) -> None:
    client.wait(client.submit_job(target.url("/shown"))["job_id"], timeout=30)

    assert client.usage()["days"][-1]["success"] >= 1
    assert {region["region"] for region in client.regions()["regions"]} == {"iad", "lax", "ord"}
    domains = {domain["domain"]: domain for domain in client.domains(limit=200)["domains"]}
    assert domains[f"127.0.0.1:{target.port}"]["pace"]["set_by"] == "target"


def test_dead_webhooks_can_be_listed_and_sent_again(client: EZThrottle, target: Site, receiver: Site) -> None:
    hook = receiver.on("/gone", Reply(status=410), Reply())
    job_id = client.submit_job(target.url("/"), webhooks=[{"url": hook}])["job_id"]
    receiver.wait(lambda seen: len(seen) == 1, "/gone")
    while not (dead := client.list_dead_webhooks(endpoint=hook)["deliveries"]):
        time.sleep(0.05)

    assert [each["job_id"] for each in dead] == [job_id]
    assert client.redeliver_webhooks(webhook_id=dead[0]["webhook_id"])["deliveries"] == 1
    receiver.wait(lambda seen: len(seen) == 2, "/gone")


def test_jobs_are_listed_newest_first_page_by_page(service: Service, target: Site) -> None:
    with (
        customer_of(service, "cust_sdk_pages") as api,
        EZThrottle(api.api_key, base_url=service.base_url) as client,
    ):
        ids = [client.submit_job(target.url(f"/listed/{number}"))["job_id"] for number in range(3)]
        for job_id in ids:
            client.wait(job_id, timeout=30)

        page = client.list_jobs(state="success", limit=2)
        rest = client.list_jobs(state="success", limit=2, cursor=page["next_cursor"])

    assert [job["job_id"] for job in (*page["jobs"], *rest["jobs"])] == ids[::-1]
    assert rest["next_cursor"] is None


def test_a_job_is_cancelled_once(client: EZThrottle, target: Site) -> None:
    job_id = client.submit_job(target.url("/never"), retry_at=IN_AN_HOUR_MS)["job_id"]

    assert client.cancel(job_id)["status"] == "cancelled"
    assert client.get_job(job_id)["state"] == "cancelled"
    with pytest.raises(ConflictError):
        client.cancel(job_id)
    with pytest.raises(NotFoundError):
        client.cancel("job_1_1")


def test_without_a_webhook_server_the_service_runs_a_frugal_child(client: EZThrottle, target: Site) -> None:
    performance(target.url("/parent")).on_success(frugal(target.url("/child"))).execute(client)

    assert not ran_here(only(target, "/child"))


def test_with_one_a_frugal_child_of_a_performance_step_runs_here(receiving: EZThrottle, target: Site) -> None:
    step = performance(target.url("/parent")).description("Charge")
    step.on_success(frugal(target.url("/child"))).on_failure(frugal(target.url("/alert"))).execute(receiving)

    assert ran_here(only(target, "/child"))
    assert not ran_here(only(target, "/parent"))
    assert target.seen("/alert") == []
    assert step.execution_trace().startswith("1. [SUCCESS] Charge")


def test_the_child_for_a_failure_runs_here_too(receiving: EZThrottle, target: Site) -> None:
    url = target.on("/parent", Reply(status=400, headers=GENEROUS_PACE))
    step = performance(url).on_success(frugal(target.url("/child")))
    step.on_failure(frugal(target.url("/alert"))).execute(receiving)

    assert ran_here(only(target, "/alert"))
    assert target.seen("/child") == []


@pytest.mark.parametrize("places", ["FPF", "PFP", "PPF", "FFP", "PFF", "FPP"])
def test_a_chain_three_deep_changes_sides_as_it_says(
    receiving: EZThrottle, target: Site, places: str
) -> None:
    kinds = {"F": frugal, "P": performance}
    first, second, third = (kinds[place](target.url(f"/{depth}")) for depth, place in enumerate(places))

    first.on_success(second.on_success(third)).execute(receiving)

    target.wait(lambda seen: len(seen) >= 1, "/2")
    found = {seen.path: "F" if ran_here(seen) else "P" for seen in target.seen()}
    assert found == {f"/{depth}": place for depth, place in enumerate(places)}
    assert len(target.seen()) == 3


def test_a_frugal_step_that_fails_is_handed_over_with_its_chain(receiving: EZThrottle, target: Site) -> None:
    url = target.on("/first", Reply(status=500, headers=GENEROUS_PACE), Reply(headers=GENEROUS_PACE))
    step = frugal(url).fallback_on_error([500]).on_success(frugal(target.url("/second")))

    answer: dict[str, Any] = step.execute(receiving)

    assert ran_here(only(target, "/second"))
    assert [ran_here(seen) for seen in target.seen("/first")] == [True, False]
    assert receiving.wait(answer["job_id"], timeout=30)["state"] == "success"
