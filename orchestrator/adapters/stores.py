"""Which store a data directory is: the one place outside of their packages that names one.

Another store is a package of its own and a case here.
"""

from pathlib import Path

from orchestrator.adapters.sqlite.backup import back_up_directory
from orchestrator.adapters.sqlite.customers import open_administration
from orchestrator.adapters.sqlite.data_dir import is_in_use
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.adapters.sqlite.upgrade import upgrade_directory
from orchestrator.domain.jobs.retention import Retention
from orchestrator.ports.store import Store

__all__ = ["back_up_directory", "is_in_use", "open_administration", "open_store", "upgrade_directory"]


def open_store(data_dir: Path, retention: Retention) -> Store:
    """Open a data directory for the shard that is to have it.

    Raises:
        StoreFailure: The disk takes or gives nothing just now.
        ValueError: It was sealed with another key, or a later version wrote it.
        RuntimeError: Another process holds it.
    """
    return SqliteStore(data_dir, retention=retention)
