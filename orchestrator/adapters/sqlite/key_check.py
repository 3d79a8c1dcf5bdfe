"""Whether the key file is the one that a database's rows were sealed with.

The database remembers the ids of the keys that were in the file. So a key that is missing is noticed at the
start, before any row is judged by it; a row whose key was never known is a damaged one.
"""

import logging
import sqlite3
from collections.abc import Iterator

from orchestrator.adapters.sealing import sealing_context
from orchestrator.adapters.secret_box import AesGcmBox, key_id_of
from orchestrator.ports.secret_box import SealError

KEY_CHECK = b"this data directory opens with this key"
_CONTEXT = "shard|key_check"
_SEALED = (
    ("jobs", "request"),
    ("jobs", "run"),
    ("jobs", "result"),
    ("jobs", "queued_as"),
    ("lessons", "learned"),
    ("webhook_secrets", "secrets"),
)
_TRIED_MOST = 100

log = logging.getLogger(__name__)


class WrongKeyError(ValueError):
    """Rows are sealed with a key that the key file does not hold."""


def check_keys(db: sqlite3.Connection, box: AesGcmBox) -> None:
    """Check that the key file holds every key that rows were sealed with. Changes nothing.

    Raises:
        WrongKeyError: It does not.
    """
    missing = _known(db) - box.key_ids
    if missing and (any(_in_use(db, key_id) for key_id in missing) or not _opens_anything(db, box)):
        ids = ", ".join(sorted(key_id.hex() for key_id in missing))
        raise WrongKeyError(
            f"its rows are sealed with a key (id {ids}) that its encryption.key does not hold: put back the "
            "key file that belongs to it, from its backup; a new key goes on a line above the old ones"
        )


def note_keys(db: sqlite3.Connection, box: AesGcmBox) -> None:
    """Remember the keys of the file and no others, and seal the check anew where it does not open."""
    db.execute("DELETE FROM encryption_keys")
    db.executemany("INSERT INTO encryption_keys VALUES (?)", [(key_id,) for key_id in sorted(box.key_ids)])
    sealed = box.seal(KEY_CHECK, _CONTEXT)
    db.execute("INSERT INTO shard (only_row, key_check) VALUES (1, ?) ON CONFLICT DO NOTHING", (sealed,))
    (stored,) = db.execute("SELECT key_check FROM shard").fetchone()
    if not _opens(box, stored, _CONTEXT):
        log.error("the row that tells the right key from a wrong one was damaged, and is written anew")
        db.execute("UPDATE shard SET key_check = ?", (sealed,))


def _known(db: sqlite3.Connection) -> set[bytes]:
    if _has(db, "encryption_keys"):
        return {key_id for (key_id,) in db.execute("SELECT key_id FROM encryption_keys")}
    rows = db.execute("SELECT key_check FROM shard").fetchall() if _has(db, "shard") else []
    return {key_id_of(sealed) for (sealed,) in rows if isinstance(sealed, bytes)}


def _has(db: sqlite3.Connection, table: str, column: str = "") -> bool:
    names = {row["name"] for row in db.execute(f"PRAGMA table_info({table})")}
    return bool(names) and (not column or column in names)


def _in_use(db: sqlite3.Connection, key_id: bytes) -> bool:
    """Look through every sealed column: only done where a key is missing."""
    sql = "SELECT 1 FROM {} WHERE substr({}, 2, 4) = ? LIMIT 1"
    there = [place for place in _SEALED if _has(db, *place)]
    return any(db.execute(sql.format(*place), (key_id,)).fetchone() for place in there)


def _opens_anything(db: sqlite3.Connection, box: AesGcmBox) -> bool:
    return any(_opens(box, sealed, context) for sealed, context in _some_sealed(db))


def _some_sealed(db: sqlite3.Connection) -> Iterator[tuple[object, str]]:
    if _has(db, "jobs"):
        sql = "SELECT customer, id, request FROM jobs ORDER BY rowid DESC LIMIT ?"
        for customer, job_id, request in db.execute(sql, (_TRIED_MOST,)):
            yield request, sealing_context(customer, job_id, "request")


def _opens(box: AesGcmBox, sealed: object, context: str) -> bool:
    try:
        return isinstance(sealed, bytes) and box.open(sealed, context) is not None
    except SealError:
        return False
