"""How much each part of this process logs, changed while it runs. The next start begins with info again."""

import logging
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Component(StrEnum):
    """A part of the service that logs."""

    HTTP = "http"
    CORE = "core"
    STORE = "store"
    AGENTS = "agents"
    TRANSPORT = "transport"


class LogLevel(StrEnum):
    """From which weight on lines are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LOGGERS: Mapping[Component, str] = MappingProxyType(
    {
        Component.HTTP: "orchestrator.adapters.http",
        Component.CORE: "orchestrator.core",
        Component.STORE: "orchestrator.adapters.sqlite",
        Component.AGENTS: "orchestrator.adapters.agents",
        Component.TRANSPORT: "orchestrator.transport",
    }
)


def log_levels() -> dict[Component, LogLevel]:
    """Say from which level on each part logs."""
    return {component: _level(logging.getLogger(name)) for component, name in LOGGERS.items()}


def set_log_level(component: Component, level: LogLevel) -> None:
    """Let a part log from a level on, until this process ends."""
    logging.getLogger(LOGGERS[component]).setLevel(level.name)


def _level(logger: logging.Logger) -> LogLevel:
    """Give the nearest level of ours that lets nothing more through."""
    effective = logger.getEffectiveLevel()
    return next(
        (level for level in LogLevel if logging.getLevelName(level.name) >= effective), LogLevel.ERROR
    )
