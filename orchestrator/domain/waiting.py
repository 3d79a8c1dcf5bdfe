"""Waits that outlive a process: moments of the Unix clock, which may be set while nobody looks."""


def still_to_wait_ms(until_ms: int, set_ms: int, now_ms: int) -> int:
    """Say how much is left of a wait until ``until_ms`` that was begun at ``set_ms`` (Unix ms).

    It is never more than it was then: a clock that was set back meanwhile holds nothing up for as long.
    """
    return max(0, min(until_ms - now_ms, until_ms - set_ms))
