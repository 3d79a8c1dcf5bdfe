import httpx
import pytest

from orchestrator.domain.access.api_keys import HOUR_MS, hour_of
from orchestrator.domain.access.audit import Act
from orchestrator.domain.ids import CustomerId
from tests.conformance.stores import an_entry
from tests.unit.domain.builders import ACME
from tests.unit.http.gateway import JOBS, KEY, SECRETS, Gateway

CALLS = [
    ("POST", JOBS),
    ("GET", f"{JOBS}/job_1_1"),
    ("POST", SECRETS),
    ("GET", SECRETS),
    ("DELETE", SECRETS),
    ("POST", f"{SECRETS}/rotate"),
    ("POST", "/api/v1/proxy"),
]


async def sent(gateway: Gateway, method: str, path: str, authorization: bytes | None) -> httpx.Response:
    headers = [] if authorization is None else [(b"authorization", authorization)]
    request = httpx.Request(method, f"http://service{path}", content=b"{}", headers=headers)
    return await gateway.client.send(request)


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        KEY.encode(),
        f"Basic {KEY}".encode(),
        f"Token {KEY}".encode(),
        b"Bearer ck_live_cust_acme_wrong",
        f"Bearer {KEY}x".encode(),
        f"Bearer {KEY[:-1]}".encode(),
        b"Bearer \xff\xfe",
        b"Bearer " + b"x" * 10_000,
    ],
)
async def test_without_a_valid_key_every_call_is_401(
    gateway: Gateway, method: str, path: str, authorization: bytes | None
) -> None:
    response = await sent(gateway, method, path, authorization)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["type"] == "/problems/not-authorized"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_schemes_case_does_not_matter(gateway: Gateway, scheme: str) -> None:
    response = await sent(gateway, "GET", SECRETS, f"{scheme} {KEY}".encode())
    assert response.status_code == 404


async def test_a_key_is_judged_before_the_body(gateway: Gateway) -> None:
    response = await gateway.client.post(JOBS, content=b"not json", headers={"authorization": "Bearer x"})
    assert response.status_code == 401


async def test_a_revoked_key_works_for_two_seconds_at_most(gateway: Gateway) -> None:
    assert (await gateway.submit()).status_code == 202
    await gateway.store.customers.revoke_key("key of cust_acme", an_entry(Act.KEY_REVOKED))
    gateway.clock.ahead_s += 2.1
    assert (await gateway.submit()).status_code == 401


async def test_a_key_works_for_two_seconds_past_its_expiry_at_most(gateway: Gateway) -> None:
    expires_ms = gateway.clock.unix_ms() + 60_000
    gateway.store.customers.know(KEY, ACME, expires_ms=expires_ms)
    assert (await gateway.submit()).status_code == 202
    gateway.clock.ahead_s += 62.1
    refused = await gateway.submit()
    assert (refused.status_code, "has expired" in refused.json()["error"]) == (401, True)


async def used_ms(gateway: Gateway, key_id: str = "key of cust_acme") -> int | None:
    return next(key.used_ms for key in await gateway.store.customers.keys() if key.key_id == key_id)


async def test_a_keys_last_use_is_noted_to_the_hour_and_once_in_each(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[str] = []
    note_use = gateway.store.customers.note_use

    def counted(key_id: str, hour_ms: int) -> None:
        noted.append(key_id)
        note_use(key_id, hour_ms)

    monkeypatch.setattr(gateway.store.customers, "note_use", counted)
    assert await used_ms(gateway) is None
    gateway.clock.ahead_s += (HOUR_MS - gateway.clock.unix_ms() % HOUR_MS) / 1000
    begun_ms = gateway.clock.unix_ms()
    for _ in range(5):
        await gateway.client.get(SECRETS)
        gateway.clock.ahead_s += 60
    assert await used_ms(gateway) == hour_of(begun_ms)
    assert noted == ["key of cust_acme"]
    gateway.clock.ahead_s += 3_600
    await gateway.client.get(SECRETS)
    assert await used_ms(gateway) == hour_of(begun_ms) + HOUR_MS
    assert len(noted) == 2


async def test_a_key_that_is_refused_is_not_used(gateway: Gateway) -> None:
    await gateway.store.customers.revoke_key("key of cust_acme", an_entry(Act.KEY_REVOKED))
    assert (await gateway.submit()).status_code == 401
    assert await used_ms(gateway) is None


async def test_a_key_made_a_moment_after_it_was_refused_works_at_once(gateway: Gateway) -> None:
    late = "ck_live_cust_beta_late"
    assert (await sent(gateway, "GET", SECRETS, f"Bearer {late}".encode())).status_code == 401
    gateway.store.customers.know(late, CustomerId("cust_beta"))
    assert (await sent(gateway, "GET", SECRETS, f"Bearer {late}".encode())).status_code == 404


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/openapi.json", "/docs"])
async def test_how_the_service_is_needs_no_key(gateway: Gateway, path: str) -> None:
    assert (await sent(gateway, "GET", path, None)).status_code == 200
