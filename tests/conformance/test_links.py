"""What mailboxes may count on, whatever carries their batches.

Order is not promised. What is posted arrives at least once, whole, from whom it is, and at no other life than
the one that it was meant for. Ray's calls go through the same in ``tests/integration/test_ray_links.py``.
"""

from collections.abc import Callable

import pytest

from tests.conformance.lines import Story, over_a_unix_socket, over_memory, over_tls
from tests.conformance.link_stories import ONE_WAY, STORIES


@pytest.mark.parametrize("play", [over_memory, over_a_unix_socket, over_tls])
@pytest.mark.parametrize("story", STORIES | ONE_WAY)
def test_a_transport_keeps_its_promises(play: Callable[[Story], None], story: str) -> None:
    play((STORIES | ONE_WAY)[story])
