"""A shard with a door for agents."""

from collections.abc import AsyncIterator, Iterator

import pytest

from bench.loopback import Site, running_site
from tests.support.agent_rig import AgentRig, agent_rig


@pytest.fixture
async def rig() -> AsyncIterator[AgentRig]:
    async with agent_rig() as rig:
        yield rig


@pytest.fixture
def target() -> Iterator[Site]:
    with running_site() as site:
        yield site
