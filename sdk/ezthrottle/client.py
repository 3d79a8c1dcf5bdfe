"""The two clients: `EZThrottle` blocks, `AsyncEZThrottle` is awaited."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Generic, TypeVar

from ._auto_forward import auto_forward
from ._flow import run, run_async
from ._operations import Operations
from ._settings import Settings, api_key_from, base_url_from

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import httpx
    from typing_extensions import Concatenate, ParamSpec, Self

    from ._flow import Flow
    from .webhook import WebhookServer

    P = ParamSpec("P")

__all__ = ["AsyncEZThrottle", "EZThrottle", "auto_forward"]

T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Any])

DEFAULT_TIMEOUT_S = 30.0
DEFAULT_ATTEMPTS = 5
DEFAULT_WEBHOOK_PORT = 5000


class _Client:
    """What both clients hold."""

    def __init__(self, settings: Settings, operations: Operations, webhook_server: WebhookServer | None) -> None:
        self.api_key = settings.api_key
        self.base_url = settings.base_url
        self.webhook_server = webhook_server
        self._operations = operations
