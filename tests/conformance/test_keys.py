"""API keys, made and revoked beside the running service or without one."""

import re

import pytest

from orchestrator.adapters.api_keys import make_key
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.roles import Caller, Role
from tests.conformance.stores import Keeper, SqliteKeeper, add_key, revoke
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
    assert await store.customers.caller_of(key) == Caller(ACME, Role.SUBMIT, made.key_id)


async def test_a_key_made_or_revoked_while_the_service_runs_counts_at_once(keeper: Keeper) -> None:
    store = await keeper.open()
    key, made = await add_key(keeper)
    assert await store.customers.caller_of(key) is not None
    await revoke(keeper, made)
    assert await store.customers.caller_of(key) is None


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
    assert await store.customers.revoke_key("no such id", NOW_MS) is False
    (listed,) = await store.customers.keys()
    assert listed.revoked_ms == NOW_MS + 1


async def test_a_key_is_compared_whole(keeper: Keeper) -> None:
    store = await keeper.open()
    key, _ = await add_key(keeper)
    for other in (key[:-1], key + "x", key.upper()):
        assert await store.customers.caller_of(other) is None


async def test_a_key_has_the_role_that_it_was_made_with(keeper: Keeper) -> None:
    store = await keeper.open()
    (key, made), _ = await add_key(keeper, "cust_ops", role=Role.ADMIN), await add_key(keeper)
    assert sorted(listed.role for listed in await store.customers.keys()) == [Role.ADMIN, Role.SUBMIT]
    assert await store.customers.caller_of(key) == Caller(made.customer, Role.ADMIN, made.key_id)
