"""How a line of the log is written: for people, or as JSON for machines."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

LOG_FORMAT = "EZTHROTTLE_LOG_FORMAT"
"""The environment variable that tells the processes of one machine in which form they log."""
_LINE = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
_IDS = "about"


class LogFormat(StrEnum):
    """The forms that there are."""

    CONSOLE = "console"
    JSON = "json"


def about(**ids: object) -> dict[str, Any]:
    """Say whom a line is about, for its ``extra``: ``job``, ``attempt``, ``customer``, ``region``. What is
    None is left out.
    """
    return {_IDS: {name: str(value) for name, value in ids.items() if value is not None}}


def formatter(name: str) -> logging.Formatter:
    """Make what writes lines; a form that nobody knows is for people."""
    return JsonFormatter() if name == LogFormat.JSON else ConsoleFormatter(_LINE)


class ConsoleFormatter(logging.Formatter):
    """Writes a line for people, and behind it whom it is about, where the words do not say so."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        """Write the line, without what was raised."""
        line = super().formatMessage(record)
        unsaid = [f"{name}={value}" for name, value in _ids_of(record).items() if value not in line]
        return f"{line} [{' '.join(unsaid)}]" if unsaid else line


class JsonFormatter(logging.Formatter):
    """Writes an object a line: ``at`` (ISO 8601, UTC), ``level``, ``logger``, ``process``, ``message``, the
    ids, and ``raised`` where something was.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write the object."""
        at = datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")
        document = {
            "at": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **_ids_of(record),
        }
        if record.exc_info:
            document["raised"] = self.formatException(record.exc_info)
        return json.dumps(document)


def _ids_of(record: logging.LogRecord) -> Mapping[str, str]:
    ids: Mapping[str, str] = getattr(record, _IDS, {})
    return ids
