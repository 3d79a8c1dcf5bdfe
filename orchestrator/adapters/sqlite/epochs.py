"""Who has the shard of a data directory, as rows: its epoch, and its beat in another table."""

import sqlite3

from orchestrator.domain.cluster.lease import Beat
from orchestrator.domain.ids import ShardName
from orchestrator.ports.store import Fenced, StillBeating

ONLY_SHARD = ShardName("shard-0")
"""With SQLite one shard has every slot."""

_RAISE = """INSERT INTO epochs (shard, epoch) VALUES (?, 1)
            ON CONFLICT (shard) DO UPDATE SET epoch = epoch + 1 RETURNING epoch"""
_BEAT = """INSERT INTO beats (shard, beat) VALUES (?, 1)
           ON CONFLICT (shard) DO UPDATE SET beat = beat + 1"""


class Fence:
    """Stands before every commit of a shard that has taken its epoch: none goes through where the row has a
    later one. Another process may have that where the file lock was deleted, or does not hold (NFS).
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.met: str | None = None
        """What the last commit met that did not go through."""

    def check(self, db: sqlite3.Connection) -> None:
        """Look within the transaction that is to be committed.

        Raises:
            Fenced: The shard has a later epoch.
        """
        if not self.epoch:
            return
        ((now,),) = db.execute("SELECT epoch FROM epochs WHERE shard = ?", (ONLY_SHARD,))
        if now != self.epoch:
            self.met = f"{ONLY_SHARD} was taken over: its epoch is {now}, and this one's was {self.epoch}"
            raise Fenced(self.met)


def read_beat(db: sqlite3.Connection) -> Beat:
    """Read what whoever has the shard wrote last."""
    sql = "SELECT (SELECT epoch FROM epochs WHERE shard = ?1), (SELECT beat FROM beats WHERE shard = ?1)"
    epoch, number = db.execute(sql, (ONLY_SHARD,)).fetchone()
    return Beat(epoch or 0, number or 0)


def raise_epoch(db: sqlite3.Connection, seen: Beat | None) -> int:
    """Take the shard.

    Raises:
        StillBeating: Its beat is another than was ``seen``.
    """
    if seen is not None and (now := read_beat(db)) != seen:
        msg = f"{ONLY_SHARD} has beaten: {now}, and not {seen}"
        raise StillBeating(msg)
    return int(db.execute(_RAISE, (ONLY_SHARD,)).fetchone()["epoch"])


def write_beat(db: sqlite3.Connection) -> None:
    """Say that whoever has the shard goes on."""
    db.execute(_BEAT, (ONLY_SHARD,))
