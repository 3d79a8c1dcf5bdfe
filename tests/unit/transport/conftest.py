"""What crosses between machines is tested on both event loops, for each has TLS and transports of its own."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the loops of a test."""
    factories = {"asyncio": asyncio.new_event_loop}
    if item.path.name == "test_tcp_exchange.py":
        factories["uvloop"] = uvloop.new_event_loop
    return factories
