"""What each part of a shard's store works on."""

from orchestrator.adapters.sqlite.database import Database


class ShardRows:
    """The rows of the shard, of which each part of the JobStore port writes its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._box = database.box
