"""Lists of jobs over HTTP."""

import base64

import pytest

from tests.unit.http.gateway import BETAS_KEY, JOBS, TARGET, Gateway


async def submitted(gateway: Gateway, count: int) -> list[str]:
    return [(await gateway.submit(body=str(number))).json()["job_id"] for number in range(count)]


async def test_a_customers_jobs_are_listed_newest_first(gateway: Gateway) -> None:
    mine = sorted(await submitted(gateway, 3), reverse=True)
    listed = (await gateway.client.get(JOBS)).json()
    assert [job["job_id"] for job in listed["jobs"]] == mine
    assert listed["next_cursor"] is None
    first = listed["jobs"][0]
    assert first == {
        "job_id": mine[0],
        "state": "queued",
        "delivery": "none",
        "domain": "203.0.113.7:80",
        "idempotent_key": first["idempotent_key"],
        "accepted_at": first["accepted_at"],
        "ended_at": None,
    }
    theirs = await gateway.client.get(JOBS, headers={"authorization": f"Bearer {BETAS_KEY}"})
    assert theirs.json()["jobs"] == []


async def test_a_cursor_leads_through_all_of_them_once(gateway: Gateway) -> None:
    mine = sorted(await submitted(gateway, 5), reverse=True)
    seen, query = [], {"limit": "2"}
    while True:
        page = (await gateway.client.get(JOBS, params=query)).json()
        seen += [job["job_id"] for job in page["jobs"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == mine


async def test_a_state_is_picked_out(gateway: Gateway) -> None:
    first, *_ = await submitted(gateway, 2)
    await gateway.client.delete(f"{JOBS}/{first}")
    cancelled = (await gateway.client.get(JOBS, params={"state": "cancelled"})).json()
    assert [job["job_id"] for job in cancelled["jobs"]] == [first]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "lost"),
        ("state", "QUEUED"),
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "-1"),
        ("limit", "ten"),
        ("limit", "9" * 5000),
        ("cursor", "nonsense"),
        ("cursor", "ÿ"),
        ("cursor", base64.urlsafe_b64encode(b"5 job_x_y").decode()),
        ("cursor", base64.urlsafe_b64encode(b"1' OR 1=1 job_1_1").decode()),
    ],
)
async def test_a_query_that_is_wrong_names_its_field(gateway: Gateway, field: str, value: str) -> None:
    response = await gateway.client.get(JOBS, params={field: value})
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == [field]


async def test_a_cursor_of_another_customer_shows_only_ones_own_jobs(gateway: Gateway) -> None:
    await submitted(gateway, 2)
    cursor = (await gateway.client.get(JOBS, params={"limit": "1"})).json()["next_cursor"]
    theirs = {"authorization": f"Bearer {BETAS_KEY}"}
    await gateway.client.post(JOBS, json={"url": TARGET}, headers=theirs)
    page = await gateway.client.get(JOBS, params={"cursor": cursor}, headers=theirs)
    assert page.status_code == 200
    assert not {job["job_id"] for job in page.json()["jobs"]} & set(await submitted(gateway, 2))


async def test_a_list_needs_a_key(gateway: Gateway) -> None:
    assert (await gateway.client.get(JOBS, headers={"authorization": ""})).status_code == 401
