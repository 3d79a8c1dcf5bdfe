"""API keys in a data directory, made and revoked beside the running service or without one."""

import re
from pathlib import Path

import pytest

from orchestrator.adapters.sqlite.api_keys import create_key, list_keys, open_keys, revoke_key
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.roles import Caller, Role
from tests.conformance.stores import SqliteKeeper
from tests.unit.domain.builders import ACME


def test_a_key_is_made_before_the_service_ever_ran(tmp_path: Path) -> None:
    with open_keys(tmp_path / "new") as db:
        key, made = create_key(db, "cust_acme", "pro")
    assert re.fullmatch(r"ck_live_cust_acme_[A-Za-z0-9]{43}", key)
    assert (made.customer, made.plan, made.revoked_ms) == ("cust_acme", "pro", None)


async def test_a_key_made_before_works_in_the_service(directory: SqliteKeeper) -> None:
    key = directory.add_key(ACME)
    caller = await (await directory.open()).caller_of(key)
    assert caller is not None
    assert (caller.customer, caller.role) == (ACME, Role.SUBMIT)


async def test_a_key_made_or_revoked_while_the_service_runs_counts_at_once(directory: SqliteKeeper) -> None:
    store = await directory.open()
    key = directory.add_key(ACME)
    assert await store.caller_of(key) is not None
    directory.revoke(key)
    assert await store.caller_of(key) is None


def test_keys_are_listed_without_themselves(tmp_path: Path) -> None:
    with open_keys(tmp_path) as db:
        (first, _), (second, _) = create_key(db, "cust_acme", "pro"), create_key(db, "cust_beta", "free")
        listed = list_keys(db)
    assert {(made.customer, made.plan) for made in listed} == {("cust_acme", "pro"), ("cust_beta", "free")}
    assert not any(secret in repr(listed) for secret in (first, second))


def test_a_key_is_revoked_once(tmp_path: Path) -> None:
    with open_keys(tmp_path) as db:
        _, made = create_key(db, "cust_acme", "pro")
        assert revoke_key(db, made.key_id) is True
        assert revoke_key(db, made.key_id) is False
        assert revoke_key(db, "no such id") is False
        (listed,) = list_keys(db)
    assert listed.revoked_ms is not None
    assert listed.revoked_ms >= made.created_ms


@pytest.mark.parametrize("customer", ["", "_a", "a b", "a\n", "a|b", "ä", "a" * 65, "../a"])
def test_a_customer_that_is_no_id_gets_no_key(tmp_path: Path, customer: str) -> None:
    with open_keys(tmp_path) as db, pytest.raises(ValueError, match="must be letters"):
        create_key(db, customer, "pro")


async def test_a_thousand_keys_are_all_different(tmp_path: Path) -> None:
    with open_keys(tmp_path) as db:
        db.execute("BEGIN")
        keys = {create_key(db, "cust_acme", "pro")[0] for _ in range(1_000)}
        db.execute("COMMIT")
    assert len(keys) == 1_000


async def test_a_key_is_compared_whole(directory: SqliteKeeper, on_disk: SqliteStore) -> None:
    key = directory.add_key(ACME)
    assert await on_disk.caller_of(key[:-1]) is None
    assert await on_disk.caller_of(key + "x") is None
    assert await on_disk.caller_of(key.upper()) is None


async def test_a_key_has_the_role_that_it_was_made_with(directory: SqliteKeeper) -> None:
    with open_keys(directory.data_dir) as db:
        (key, made), _ = create_key(db, "cust_ops", "pro", Role.ADMIN), create_key(db, "cust_acme", "pro")
        assert [listed.role for listed in list_keys(db)] in (["admin", "submit"], ["submit", "admin"])
    assert await (await directory.open()).caller_of(key) == Caller(made.customer, Role.ADMIN, made.key_id)
