"""How often one address may offer a key that is none."""

import math
from collections import deque

from orchestrator.domain.errors import OverLimit
from orchestrator.domain.recent import Recent
from orchestrator.ports.clock import Clock

FAILURES_MOST = 10
WITHIN_S = 60.0
ADDRESSES_REMEMBERED = 10_000


class SignInAttempts:
    """Counts failures by address, as long as they count."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: Recent[str, deque[float]] = Recent(ADDRESSES_REMEMBERED)

    def require_room(self, address: str) -> None:
        """Look whether an address may try.

        Raises:
            OverLimit: It has failed FAILURES_MOST times within WITHIN_S.
        """
        failures = self._failures.get(address)
        if failures is None or len(failures) < FAILURES_MOST:
            return
        wait_s = failures[0] + WITHIN_S - self._clock.now()
        if wait_s > 0:
            raise OverLimit("too many keys that are none came from your address", math.ceil(wait_s))

    def failed(self, address: str) -> None:
        """Count a failure."""
        failures = self._failures.get(address) or deque(maxlen=FAILURES_MOST)
        failures.append(self._clock.now())
        self._failures.put(address, failures)
