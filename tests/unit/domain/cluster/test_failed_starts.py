"""A part that can't start is tried again after pauses that grow, and is told as failed after some."""

from orchestrator.domain.cluster.failed_starts import FAILED_FROM, PAUSE_MOST_S, FailedStarts


def after(count: int) -> FailedStarts:
    starts = FailedStarts()
    for _ in range(count):
        starts = starts.and_one("the disk is full")
    return starts


def test_the_pauses_grow_up_to_a_minute() -> None:
    assert [after(count).pause_s for count in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert after(10_000).pause_s == PAUSE_MOST_S


def test_some_in_a_row_are_a_failure_with_the_last_reason() -> None:
    assert [after(count).failed for count in (0, FAILED_FROM - 1, FAILED_FROM)] == [False, False, True]
    assert str(after(4)) == "its start failed 4 times in a row, tried again in 8 s: the disk is full"
