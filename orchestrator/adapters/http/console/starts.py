"""Requests that started at a target, against its pace: by samples, for as long as somebody looks."""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import pairwise

from msgspec import Struct

from orchestrator.core.views import DomainView
from orchestrator.domain.ids import TargetDomain
from orchestrator.ports.clock import Clock

EVERY_S = 1.0
GOES_ON_S = 30.0
KEPT = 120
DOMAINS_MOST = 20
"""That are sampled at once; of more the first are."""


class _Sample(Struct, frozen=True):
    at_s: float
    at_ms: int
    starts: int
    rps: float


class _Watched(Struct):
    until_s: float
    samples: deque[_Sample]


class StartsSampler:
    """Samples the targets that are looked at.

    Args:
        look: Shows one as it is.
        clock: Time.
    """

    def __init__(self, look: Callable[[TargetDomain], DomainView], clock: Clock) -> None:
        self._look = look
        self._clock = clock
        self._watched: dict[TargetDomain, _Watched] = {}

    def course(self, domain: TargetDomain) -> list[list[float]]:
        """Give how a target went since it is looked at: Unix s, starts per second, and the pace."""
        until_s = self._clock.now() + GOES_ON_S
        watched = self._watched.get(domain)
        if watched is not None:
            watched.until_s = until_s
            return _course(list(watched.samples))
        if len(self._watched) < DOMAINS_MOST:
            self._watched[domain] = _Watched(until_s, deque(maxlen=KEPT))
            self._sample(domain)
        return [[], [], []]

    def _sample(self, domain: TargetDomain) -> None:
        watched = self._watched[domain]
        if self._clock.now() >= watched.until_s:
            del self._watched[domain]
            return
        view = self._look(domain)
        watched.samples.append(_Sample(self._clock.now(), view.now_ms, view.starts, view.effective.rps))
        asyncio.get_running_loop().call_later(EVERY_S, self._sample, domain)


def _course(samples: list[_Sample]) -> list[list[float]]:
    columns: list[list[float]] = [[], [], []]
    for before, after in pairwise(samples):
        columns[0].append(after.at_ms / 1000)
        # A limiter that was made anew meanwhile counts from 0.
        columns[1].append(max(0, after.starts - before.starts) / max(after.at_s - before.at_s, EVERY_S / 2))
        columns[2].append(after.rps)
    return columns
