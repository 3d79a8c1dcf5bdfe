"""Customers in the embedded store: keys, plans and secrets. It works beside a running service, too."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgpack

from orchestrator.adapters.damage import read_expiry, read_role, reading, whole
from orchestrator.adapters.sealing import secrets_context
from orchestrator.adapters.sqlite.audit import SqliteAudit, write_audit
from orchestrator.adapters.sqlite.data_dir import LOCK_FILE, data_files, free_lock
from orchestrator.adapters.sqlite.database import Database
from orchestrator.adapters.sqlite.disk_retry import Patience
from orchestrator.domain.access.api_keys import key_hash
from orchestrator.domain.access.audit import AuditEntry
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.ids import CustomerId, is_region_name
from orchestrator.ports.customers import ApiKey, WebhookSecrets
from orchestrator.ports.store import StoreFailure

_LISTED = """SELECT key_id, customer, plan, created_ms, revoked_ms, role, region, label, expires_ms, used_ms
             FROM api_keys"""


class SqliteCustomers:
    """The CustomerStore port on SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._box = database.box

    async def add_key(self, key: str, made: ApiKey, entry: AuditEntry) -> None:
        """Store an API key, of which only a hash is kept, and the entry that says so, in one transaction.

        Raises:
            StoreFailure: It could not be written.
        """
        sql = """INSERT INTO api_keys
                 (key_hash, key_id, customer, plan, created_ms, role, region, label, expires_ms)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
        row = (
            key_hash(key),
            made.key_id,
            made.customer,
            made.plan,
            made.created_ms,
            made.role,
            made.region,
            made.label,
            made.expires_ms,
        )

        def write(db: sqlite3.Connection) -> None:
            db.execute(sql, row)
            write_audit(db, entry)

        await self._database.written(write)

    async def keys(self) -> Sequence[ApiKey]:
        """List every key, oldest first."""
        rows = await self._database.lanes.quick.rows(f"{_LISTED} ORDER BY created_ms, key_id")
        return [_listed(row) for row in rows]

    async def region_keys(self, now_ms: int) -> Sequence[ApiKey]:
        """List the keys of regions that are valid now, oldest first."""
        sql = f"{_LISTED} WHERE role = 'region' AND revoked_ms IS NULL ORDER BY created_ms, key_id"
        rows = await self._database.lanes.quick.rows(sql)
        keys = [_listed(row) for row in rows if is_region_name(row["region"])]
        return [key for key in keys if key.is_valid(now_ms)]

    async def revoke_key(self, key_id: str, entry: AuditEntry) -> bool:
        """Revoke a key at the entry's time, and write the entry, in one transaction; say whether it was
        there.


        Raises:
            StoreFailure: That could not be written.
        """
        sql = "UPDATE api_keys SET revoked_ms = ? WHERE key_id = ? AND revoked_ms IS NULL"

        def write(db: sqlite3.Connection) -> bool:
            revoked = bool(db.execute(sql, (entry.at_ms, key_id)).rowcount)
            if revoked:
                write_audit(db, entry)
            return revoked

        return bool(await self._database.written(write))

    async def set_plan(self, customer: CustomerId, plan: str, entry: AuditEntry) -> int:
        """Give a customer's keys that are valid at the entry's time a plan, and write the entry, in one
        transaction; say how many keys those are.

        Raises:
            StoreFailure: That could not be written.
        """
        sql = """UPDATE api_keys SET plan = ? WHERE customer = ? AND revoked_ms IS NULL
                 AND (expires_ms IS NULL OR expires_ms > ?)"""

        def write(db: sqlite3.Connection) -> int:
            changed = db.execute(sql, (plan, customer, entry.at_ms)).rowcount
            if changed:
                write_audit(db, entry)
            return changed

        return int(await self._database.written(write))

    async def caller_of(self, key: str, now_ms: int) -> Caller | None:
        """Whose API key this is, and of which role; None where it is unknown, revoked or past its expiry."""
        return await self._caller("key_hash = ?", key_hash(key), now_ms)

    async def caller_named(self, key_id: str, now_ms: int) -> Caller | None:
        """Whose API key has this id; None where it is unknown, revoked or past its expiry."""
        return await self._caller("key_id = ?", key_id, now_ms)

    async def _caller(self, where: str, value: str | bytes, now_ms: int) -> Caller | None:
        rows = await self._database.lanes.quick.rows(f"{_LISTED} WHERE {where}", value)
        made = next(map(_listed, rows), None)
        if made is None or not made.is_valid(now_ms):
            return None
        return Caller(made.customer, made.role, made.key_id)

    @property
    def session_secret(self) -> bytes:
        """What sessions are signed with: it follows from the data directory's oldest encryption key."""
        return self._box.fingerprint(b"sessions of the console")

    def note_use(self, key_id: str, hour_ms: int) -> None:
        """Save in which hour a key was used; rides the next commit, nobody waits for it."""
        sql = "UPDATE api_keys SET used_ms = ? WHERE key_id = ? AND ifnull(used_ms, 0) < ?"
        self._database.post(lambda db: db.execute(sql, (hour_ms, key_id, hour_ms)).rowcount)

    async def plans(self, now_ms: int) -> Sequence[tuple[CustomerId, str]]:
        """List customers with the plans of their keys that are valid now."""
        sql = """SELECT DISTINCT customer, plan FROM api_keys
                 WHERE revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > ?)"""
        rows = await self._database.lanes.quick.rows(sql, now_ms)
        return [(CustomerId(customer), plan) for customer, plan in rows if isinstance(plan, str)]

    async def put_secrets(self, customer: CustomerId, secrets: WebhookSecrets) -> None:
        """Store a customer's webhook secrets.

        Raises:
            StoreFailure: They could not be written.
        """
        plain = msgpack.packb([secrets.primary, secrets.secondary])
        sealed = self._box.seal(plain, secrets_context(customer))
        sql = "INSERT OR REPLACE INTO webhook_secrets VALUES (?, ?)"
        await self._database.written(lambda db: db.execute(sql, (customer, sealed)).rowcount)

    async def secrets(self, customer: CustomerId) -> WebhookSecrets | None:
        """Read a customer's webhook secrets.

        Raises:
            DamagedError: They can't be read.
        """
        sql = "SELECT secrets FROM webhook_secrets WHERE customer = ?"
        rows = await self._database.lanes.quick.rows(sql, customer)
        if not rows:
            return None
        with reading("secrets"):
            primary, secondary = msgpack.unpackb(
                self._box.open(rows[0]["secrets"], secrets_context(customer))
            )
        return WebhookSecrets(primary=primary, secondary=secondary)

    async def drop_secrets(self, customer: CustomerId) -> bool:
        """Delete them; say whether there were any.

        Raises:
            StoreFailure: That could not be written.
        """
        sql = "DELETE FROM webhook_secrets WHERE customer = ?"
        return bool(await self._database.written(lambda db: db.execute(sql, (customer,)).rowcount))


def _listed(row: sqlite3.Row) -> ApiKey:
    known = {"role": read_role(row["role"]), "expires_ms": read_expiry(row["expires_ms"])}
    return ApiKey(**dict(row) | known | {"used_ms": whole(row["used_ms"]) or None})


class SqliteAdministration:
    """What the command line sees of a data directory."""

    def __init__(self, database: Database) -> None:
        self.customers = SqliteCustomers(database)
        self.audit = SqliteAudit(database)


@contextlib.asynccontextmanager
async def open_administration(data_dir: Path) -> AsyncIterator[SqliteAdministration]:
    """Open a data directory's customers and audit, making it if it is not there; the service may run.

    Raises:
        StoreFailure: What lies there is no database, or the disk gives nothing just now.
        ValueError: It was sealed with another key, or a later version wrote it.
        OSError: The directory can't be made.
    """
    try:
        path, box = data_files(data_dir)
        with free_lock(data_dir / LOCK_FILE) as alone:
            database = Database(path, box, Patience(), alone=alone)
    except sqlite3.Error as error:
        raise StoreFailure(str(error)) from error
    try:
        yield SqliteAdministration(database)
    finally:
        await database.close()
