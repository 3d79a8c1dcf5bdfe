"""A new job from a finished one."""

from tests.unit.http.gateway import BETAS_KEY, JOBS, Gateway
from tests.unit.http.test_jobs import finished, submitted, turns

DAY_S = 24 * 3600.0


async def test_a_finished_job_can_be_made_anew(gateway: Gateway) -> None:
    job_id = await finished(gateway, method="POST", body="pay", metadata={"order": 7})
    response = await gateway.client.post(f"{JOBS}/{job_id}/replay")
    document = response.json()
    assert (response.status_code, document["status"], document["replay_of"]) == (202, "queued", job_id)
    assert document["job_id"] != job_id
    first, again = [(await gateway.store.jobs.load(each)) for each in (job_id, document["job_id"])]
    assert first is not None
    assert again is not None
    assert (again.job.spec.body, again.job.spec.metadata) == ("pay", {"order": 7})
    assert again.job.idempotent_key != first.job.idempotent_key


async def test_every_replay_is_a_job_of_its_own(gateway: Gateway) -> None:
    job_id = await finished(gateway)
    made = [(await gateway.client.post(f"{JOBS}/{job_id}/replay")).json()["job_id"] for _ in range(3)]
    assert len({job_id, *made}) == 4


async def test_a_job_that_has_not_ended_cannot_be_replayed(gateway: Gateway) -> None:
    response = await gateway.client.post(f"{JOBS}/{await submitted(gateway)}/replay")
    assert (response.status_code, response.json()["type"]) == (409, "/problems/conflict")


async def test_a_cancelled_job_can_be_replayed(gateway: Gateway) -> None:
    job_id = await submitted(gateway)
    await gateway.client.delete(f"{JOBS}/{job_id}")
    assert (await gateway.client.post(f"{JOBS}/{job_id}/replay")).status_code == 202


async def test_another_customers_job_cannot_be_replayed(gateway: Gateway) -> None:
    job_id = await finished(gateway)
    theirs = {"authorization": f"Bearer {BETAS_KEY}"}
    assert (await gateway.client.post(f"{JOBS}/{job_id}/replay", headers=theirs)).status_code == 404


async def test_once_its_request_is_forgotten_a_job_is_only_told_of(gateway: Gateway) -> None:
    job_id = await finished(gateway)
    await gateway.store.jobs.purge(gateway.clock.unix_ms() + int(8 * DAY_S * 1000))
    await turns()
    shown = (await gateway.client.get(f"{JOBS}/{job_id}", params={"wait": "60"})).json()
    assert (shown["state"], shown["result"], shown["forgotten"]) == ("success", None, True)
    for method, path in [("POST", "/replay"), ("POST", "/redeliver"), ("GET", "/stream"), ("DELETE", "")]:
        assert (await gateway.client.request(method, f"{JOBS}/{job_id}{path}")).status_code == 409
    assert [job["job_id"] for job in (await gateway.client.get(JOBS)).json()["jobs"]] == [job_id]
    theirs = {"authorization": f"Bearer {BETAS_KEY}"}
    assert (await gateway.client.get(f"{JOBS}/{job_id}", headers=theirs)).status_code == 404
