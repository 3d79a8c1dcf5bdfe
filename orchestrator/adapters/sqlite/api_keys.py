"""API keys in a data directory: made, listed and revoked by the operator, while the service runs or not."""

import contextlib
import re
import secrets
import sqlite3
import string
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator.adapters.sqlite.damage import read_role
from orchestrator.adapters.sqlite.group_commit import connect
from orchestrator.adapters.sqlite.reads import key_hash
from orchestrator.adapters.sqlite.store import data_files, prepare
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.roles import Role
from orchestrator.ports.store import ApiKey

CUSTOMER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
SECRET_LENGTH = 43
"""Characters of base 62: 256 bits."""
KEY_ID_LENGTH = 10
ALPHABET = string.ascii_letters + string.digits


@contextlib.contextmanager
def open_keys(data_dir: Path) -> Iterator[sqlite3.Connection]:
    """Open the directory's database, making it if it is not there."""
    path, box = data_files(data_dir)
    connection = connect(path)
    try:
        prepare(connection, box)
        yield connection
    finally:
        connection.close()


def create_key(
    db: sqlite3.Connection, customer: str, plan: str, role: Role = Role.SUBMIT
) -> tuple[str, ApiKey]:
    """Make a key; it is shown this once, and only its hash is kept.

    Raises:
        ValueError: The customer's id is none.
    """
    if not CUSTOMER.match(customer):
        msg = f"customer {customer!r} must be letters, digits, '_' and '-', at most 64, such as cust_acme"
        raise ValueError(msg)
    key = f"ck_live_{customer}_{_random(SECRET_LENGTH)}"
    made = ApiKey(
        key_id=_random(KEY_ID_LENGTH),
        customer=CustomerId(customer),
        plan=plan,
        created_ms=time.time_ns() // 1_000_000,
        role=role,
    )
    columns = "key_hash, key_id, customer, plan, created_ms, role"
    sql = f"INSERT INTO api_keys ({columns}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608  # names of our own
    db.execute(sql, (key_hash(key), made.key_id, made.customer, made.plan, made.created_ms, made.role))
    return key, made


def list_keys(db: sqlite3.Connection) -> list[ApiKey]:
    """List every key, oldest first."""
    names = ("key_id", "customer", "plan", "created_ms", "revoked_ms")
    sql = f"SELECT role, {', '.join(names)} FROM api_keys ORDER BY created_ms, key_id"  # noqa: S608  # names of our own
    return [
        ApiKey(role=read_role(role), **dict(zip(names, values, strict=True)))
        for role, *values in db.execute(sql)
    ]


def revoke_key(db: sqlite3.Connection, key_id: str) -> bool:
    """Revoke a key; say whether it was there and valid. Running services notice within seconds."""
    sql = "UPDATE api_keys SET revoked_ms = ? WHERE key_id = ? AND revoked_ms IS NULL"
    return bool(db.execute(sql, (time.time_ns() // 1_000_000, key_id)).rowcount)


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
