"""A target's quotas for each account: fixed windows of requests and of tokens, told in each answer."""

import math
from dataclasses import dataclass

from orchestrator.domain.exchange import HttpRequest
from orchestrator.domain.requests.accounts import CREDENTIALS
from tests.simulation.history import QuotaTold
from tests.simulation.scenario import QuotaPlan

Account = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Window:
    ends_at: float
    requests: int = 0
    tokens: float = 0.0


class Quotas:
    """What the accounts of one run have used. Times are virtual s."""

    def __init__(self) -> None:
        self._windows: dict[tuple[QuotaPlan, str, Account], _Window] = {}

    def charge(self, plan: QuotaPlan, host: str, account: Account, cost: float, now: float) -> bool:
        """Count a request that has begun; say whether there was enough left for it."""
        window = self._window(plan, host, account, now)
        if window.requests >= plan.requests or window.tokens + cost > plan.tokens:
            return False
        window.requests += 1
        window.tokens += cost
        return True

    def told(self, plan: QuotaPlan, host: str, account: Account, now: float) -> QuotaTold:
        """Say what is left."""
        window = self._window(plan, host, account, now)
        reset_s = math.ceil((window.ends_at - now) * 1000) / 1000
        return QuotaTold(now, plan.requests - window.requests, plan.tokens - window.tokens, reset_s)

    def _window(self, plan: QuotaPlan, host: str, account: Account, now: float) -> _Window:
        window = self._windows.get((plan, host, account))
        if window is None or window.ends_at <= now:
            window = self._windows[plan, host, account] = _Window(now + plan.window_s)
        return window


def account_at_target(request: HttpRequest) -> Account:
    """Name the account as a target sees it; empty where the request names none."""
    return tuple(sorted((name, value) for name, value in request.headers if name.lower() in CREDENTIALS))


def quota_headers(plan: QuotaPlan, told: QuotaTold) -> dict[str, str]:
    """Write a quota down: requests in the older form, tokens in that of the IETF draft."""
    return {
        "x-ratelimit-limit": str(plan.requests),
        "x-ratelimit-remaining": str(told.requests),
        "x-ratelimit-reset": f"{told.reset_s:.3f}",
        "ratelimit-policy": f'"tokens";q={plan.tokens:.0f};w={plan.window_s:.0f};qu="tokens"',
        "ratelimit": f'"tokens";r={told.tokens:.0f};t={math.ceil(told.reset_s)}',
    }
