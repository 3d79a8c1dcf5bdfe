from collections.abc import AsyncIterator

import pytest

from tests.unit.http.console.visitors import Visitor, visitor
from tests.unit.http.gateway import BETAS_KEY, KEY, OPERATORS_KEY, READERS_KEY, Gateway


@pytest.fixture
async def acme(gateway: Gateway) -> AsyncIterator[Visitor]:
    async with visitor(gateway, KEY) as signed_in:
        yield signed_in


@pytest.fixture
async def beta(gateway: Gateway) -> AsyncIterator[Visitor]:
    async with visitor(gateway, BETAS_KEY) as signed_in:
        yield signed_in


@pytest.fixture
async def reader(gateway: Gateway) -> AsyncIterator[Visitor]:
    async with visitor(gateway, READERS_KEY) as signed_in:
        yield signed_in


@pytest.fixture
async def operator(gateway: Gateway) -> AsyncIterator[Visitor]:
    async with visitor(gateway, OPERATORS_KEY) as signed_in:
        yield signed_in
