"""What jobs may count on of their targets, whether those are at home or in another shard.

The way to the other shard loses, repeats, delays and reorders: nothing of that may be seen.
"""

import pytest

from tests.conformance.target_sides import at_home, far_away
from tests.conformance.target_stories import FAR_STORIES, STORIES

BAD_WAYS = range(8)


@pytest.mark.parametrize("story", STORIES)
def test_targets_at_home_keep_their_promises(story: str) -> None:
    at_home(STORIES[story])


@pytest.mark.parametrize("story", STORIES)
def test_targets_of_another_shard_keep_their_promises(story: str) -> None:
    far_away(STORIES[story])


@pytest.mark.parametrize("seed", BAD_WAYS)
@pytest.mark.parametrize("story", STORIES)
def test_a_bad_way_to_targets_breaks_no_promise(story: str, seed: int) -> None:
    far_away(STORIES[story], seed)


@pytest.mark.parametrize("seed", [None, *BAD_WAYS])
@pytest.mark.parametrize("story", FAR_STORIES)
def test_what_a_lost_session_takes_with_it(story: str, seed: int | None) -> None:
    far_away(FAR_STORIES[story], seed)
