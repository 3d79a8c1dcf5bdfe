"""When the deaths of a shard that Ray starts again are too many."""

import pytest

from orchestrator.adapters.ray.shard_watch import SHARD_DEATHS_MOST, ShardDeaths

LOOKS_EVERY_S = 0.5


class _Watched:
    """A shard that is looked at twice a second, and whose starts take a while."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lives = 7
        self.deaths = ShardDeaths(self.lives, lambda: self.now)

    def is_up_for(self, seconds: float) -> bool:
        """Live so long; say whether that was one life too many."""
        looks = range(round(seconds / LOOKS_EVERY_S) + 1)
        # All of them: it goes on being up after a look that said so.
        return sum(self._look(up=True) for _ in looks) > 0

    def dies(self, *, starts_in_s: float) -> None:
        """End a life; the next one is up after so many seconds."""
        for _ in range(round(starts_in_s / LOOKS_EVERY_S)):
            assert not self._look(up=False)
        self.lives += 1

    def _look(self, *, up: bool) -> bool:
        self.now += LOOKS_EVERY_S
        return self.deaths.counted(self.lives, up=up)


@pytest.mark.parametrize("start_s", [1.0, 30.0, 300.0])
def test_deaths_within_a_minute_of_being_up_are_too_many_however_long_the_starts_take(start_s: float) -> None:
    shard = _Watched()

    for _ in range(SHARD_DEATHS_MOST):
        assert not shard.is_up_for(10.0)
        shard.dies(starts_in_s=start_s)
    assert not shard.is_up_for(10.0)
    shard.dies(starts_in_s=start_s)

    assert shard.is_up_for(0.0)


def test_deaths_with_more_than_a_minute_of_being_up_between_them_are_not() -> None:
    shard = _Watched()

    for _ in range(5 * SHARD_DEATHS_MOST):
        assert not shard.is_up_for(25.0)
        shard.dies(starts_in_s=1.0)

    assert not shard.is_up_for(25.0)
