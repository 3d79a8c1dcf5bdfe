from collections.abc import AsyncIterator

import pytest

from tests.unit.http.gateway import Gateway, running_gateway


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async for running in running_gateway():
        yield running
