"""API keys, made and revoked beside the running service or without one."""

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.adapters.api_keys import make_key
from orchestrator.adapters.sqlite.data_dir import DATABASE
from orchestrator.domain.access.api_keys import HOUR_MS
from orchestrator.domain.access.audit import Act, AuditFilter
from orchestrator.domain.access.roles import Caller, Role
from orchestrator.domain.ids import CustomerId, RegionName
from tests.conformance.stores import Keeper, SqliteKeeper, add_key, an_entry, flush, revoke
from tests.unit.domain.builders import ACME, NOW_MS


def test_a_key_says_whose_it_is_and_is_256_bits_long() -> None:
    key, made = make_key("cust_acme", "pro", Role.SUBMIT, now_ms=NOW_MS)
    assert re.fullmatch(r"ck_live_cust_acme_[A-Za-z0-9]{43}", key)
    assert (made.customer, made.plan, made.created_ms, made.revoked_ms) == (ACME, "pro", NOW_MS, None)


@pytest.mark.parametrize("customer", ["", "_a", "a b", "a\n", "a|b", "ä", "a" * 65, "../a"])
def test_a_customer_that_is_no_id_gets_no_key(customer: str) -> None:
    with pytest.raises(ValueError, match="must be letters"):
        make_key(customer, "pro", Role.SUBMIT, now_ms=NOW_MS)


def test_a_thousand_keys_are_all_different() -> None:
    assert len({make_key("cust_acme", "pro", Role.SUBMIT, now_ms=NOW_MS)[0] for _ in range(1_000)}) == 1_000


async def test_a_key_is_made_before_the_service_ever_ran(directory: SqliteKeeper) -> None:
    key, made = await add_key(directory)
    store = await directory.open()
    assert await store.customers.caller_of(key, NOW_MS) == Caller(ACME, Role.SUBMIT, made.key_id)


async def test_a_key_made_or_revoked_while_the_service_runs_counts_at_once(keeper: Keeper) -> None:
    store = await keeper.open()
    key, made = await add_key(keeper)
    assert await store.customers.caller_of(key, NOW_MS) is not None
    await revoke(keeper, made)
    assert await store.customers.caller_of(key, NOW_MS) is None


async def test_who_has_shown_a_key_is_known_by_its_id_until_it_is_revoked_or_expires(keeper: Keeper) -> None:
    store = await keeper.open()
    key, made = await add_key(keeper)
    assert await store.customers.caller_named(made.key_id, NOW_MS) == Caller(ACME, Role.SUBMIT, made.key_id)
    assert await store.customers.caller_named(key, NOW_MS) is None
    await revoke(keeper, made)
    assert await store.customers.caller_named(made.key_id, NOW_MS) is None


async def test_sessions_outlive_a_restart_and_no_other_directory_signs_them(
    directory: SqliteKeeper, tmp_path: Path
) -> None:
    store = await directory.open()
    secret = store.customers.session_secret
    assert len(secret) >= 32
    assert (await directory.open()).customers.session_secret == secret
    other = await SqliteKeeper(tmp_path / "another").open()
    assert other.customers.session_secret != secret
    await other.close()


async def test_keys_are_listed_without_themselves(keeper: Keeper) -> None:
    store = await keeper.open()
    (first, _), (second, _) = await add_key(keeper), await add_key(keeper, "cust_beta", "free")
    listed = await store.customers.keys()
    assert {(made.customer, made.plan) for made in listed} == {
        (ACME, "pro"),
        (CustomerId("cust_beta"), "free"),
    }
    assert not any(secret in repr(listed) for secret in (first, second))


async def test_a_key_is_revoked_once(keeper: Keeper) -> None:
    store = await keeper.open()
    _, made = await add_key(keeper)
    assert await revoke(keeper, made, NOW_MS + 1) is True
    assert await revoke(keeper, made, NOW_MS + 2) is False
    assert await store.customers.revoke_key("no such id", an_entry()) is False
    (listed,) = await store.customers.keys()
    assert listed.revoked_ms == NOW_MS + 1


async def test_a_key_is_compared_whole(keeper: Keeper) -> None:
    store = await keeper.open()
    key, _ = await add_key(keeper)
    for other in (key[:-1], key + "x", key.upper()):
        assert await store.customers.caller_of(other, NOW_MS) is None


async def test_a_key_is_valid_until_its_expiry(keeper: Keeper) -> None:
    store = await keeper.open()
    key, _ = await add_key(keeper, expires_ms=NOW_MS + 10)
    region, _ = await add_key(
        keeper, "regions", role=Role.REGION, region=RegionName("fra"), expires_ms=NOW_MS + 10
    )
    for now_ms, is_valid in ((NOW_MS + 9, True), (NOW_MS + 10, False)):
        for each in (key, region):
            assert (await store.customers.caller_of(each, now_ms) is not None) is is_valid
        assert len(await store.customers.region_keys(now_ms)) == is_valid
        assert (
            sorted(await store.customers.plans(now_ms)) == [(ACME, "pro"), ("regions", "pro")]
        ) is is_valid


async def test_a_plan_is_of_all_valid_keys_of_a_customer_and_is_in_the_audit(
    keeper: Keeper,
) -> None:
    store = await keeper.open()
    _, ours = await add_key(keeper)
    _, revoked = await add_key(keeper)
    await revoke(keeper, revoked)
    _, others = await add_key(keeper, CustomerId("cust_beta"))
    entry = an_entry(Act.PLAN_SET, ACME)
    assert await store.customers.set_plan(ACME, "gold", entry) == 1
    plans = {key.key_id: key.plan for key in await store.customers.keys()}
    assert plans == {ours.key_id: "gold", revoked.key_id: "pro", others.key_id: "pro"}
    assert await store.customers.set_plan(CustomerId("cust_nobody"), "gold", entry) == 0
    lines = await store.audit.lines(AuditFilter(), 10)
    assert [line.entry for line in lines if line.entry.act == Act.PLAN_SET] == [entry]


async def test_what_was_said_of_a_key_and_its_last_use_are_listed(keeper: Keeper) -> None:
    store = await keeper.open()
    _, made = await add_key(keeper, label="the shop's", expires_ms=NOW_MS + 10)
    assert (made.label, made.expires_ms, made.used_ms) == ("the shop's", NOW_MS + 10, None)
    assert await store.customers.keys() == [made]
    store.customers.note_use(made.key_id, HOUR_MS)
    await flush(store)
    assert await (await keeper.open()).customers.keys() == [replace(made, used_ms=HOUR_MS)]


async def test_a_last_use_that_is_noted_late_does_not_turn_time_back(directory: SqliteKeeper) -> None:
    store = await directory.open()
    _, made = await add_key(directory)
    for hour_ms in (2 * HOUR_MS, HOUR_MS):
        store.customers.note_use(made.key_id, hour_ms)
    await flush(store)
    (listed,) = await store.customers.keys()
    assert listed.used_ms == 2 * HOUR_MS


@pytest.mark.parametrize("damaged", ["'soon'", "x'00'", "0.5"])
async def test_a_key_whose_expiry_can_not_be_read_has_expired(directory: SqliteKeeper, damaged: str) -> None:
    await directory.open()
    key, _ = await add_key(directory)
    await directory.close()
    with contextlib.closing(sqlite3.connect(directory.data_dir / DATABASE)) as db, db:
        db.execute(f"UPDATE api_keys SET expires_ms = {damaged}")
    assert await (await directory.open()).customers.caller_of(key, NOW_MS) is None


async def test_a_key_of_a_role_that_can_not_be_read_may_do_the_least(directory: SqliteKeeper) -> None:
    await directory.open()
    key, _ = await add_key(directory)
    await directory.close()
    with contextlib.closing(sqlite3.connect(directory.data_dir / DATABASE)) as db, db:
        db.execute("UPDATE api_keys SET role = 'owner'")
    caller = await (await directory.open()).customers.caller_of(key, NOW_MS)
    assert caller is not None
    assert caller.role is Role.READ


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"label": "x" * 101}, "at most 100"),
        ({"label": "a\nb"}, "can be seen"),
        ({"expires_ms": NOW_MS}, "in the future"),
        ({"expires_ms": 2**60}, "year"),
        ({"region": RegionName("fra")}, "names its region"),
    ],
)
def test_terms_that_no_key_can_have_are_refused(terms: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make_key("cust_acme", "pro", Role.SUBMIT, now_ms=NOW_MS, **terms)


@pytest.mark.parametrize("role", [Role.SUBMIT, Role.READ])
def test_a_customers_key_needs_its_customer_and_an_operators_does_not(role: Role) -> None:
    with pytest.raises(ValueError, match="cust_acme"):
        make_key("", "pro", role, now_ms=NOW_MS)
    assert make_key("", "pro", Role.ADMIN, now_ms=NOW_MS)[1].customer == "operators"


async def test_a_key_has_the_role_that_it_was_made_with(keeper: Keeper) -> None:
    store = await keeper.open()
    (key, made), _ = await add_key(keeper, "cust_ops", role=Role.ADMIN), await add_key(keeper)
    assert sorted(listed.role for listed in await store.customers.keys()) == [Role.ADMIN, Role.SUBMIT]
    assert await store.customers.caller_of(key, NOW_MS) == Caller(made.customer, Role.ADMIN, made.key_id)
