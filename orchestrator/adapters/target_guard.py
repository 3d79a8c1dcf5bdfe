"""Judges targets at submission. It is a courtesy: the egress judges every address that it dials."""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from orchestrator.domain.hosts import literal_address
from orchestrator.domain.recent import RecentFor
from orchestrator.ports.clock import Clock
from regions.egress.dns import Lookup, SystemLookup
from regions.guard import AddressPolicy, parse_networks

RESOLVE_WITHIN_S = 0.2
REMEMBERED_S = 30.0
REMEMBERED_MOST = 10_000


class ResolvingGuard:
    """Refuses literal addresses and names that resolve in time to one that is forbidden."""

    def __init__(
        self, allow_private: bool, allow_targets: str, clock: Clock, lookup: Lookup | None = None
    ) -> None:
        self._policy = AddressPolicy(
            allow_private=allow_private, allowed_networks=parse_networks(allow_targets)
        )
        self._clock = clock
        self._lookup = lookup or SystemLookup(patience_s=RESOLVE_WITHIN_S)
        self._known: RecentFor[str, str] = RecentFor(REMEMBERED_MOST, REMEMBERED_S)
        """Why each host may not be called; empty for one that may."""
        self._judging: dict[str, asyncio.Future[str]] = {}

    async def refusals(self, urls: Sequence[str]) -> dict[str, str]:
        """Say why each URL that may not be called is refused. All are judged at once: a name that does
        not resolve takes its time.
        """
        hosts = {url: urlsplit(url).hostname or "" for url in urls}
        verdicts = self._fresh(set(hosts.values()))
        if unknown := [host for host in dict.fromkeys(hosts.values()) if host not in verdicts]:
            verdicts |= zip(unknown, await asyncio.gather(*map(self._judged, unknown)), strict=True)
        return {url: refusal for url, host in hosts.items() if (refusal := verdicts[host])}

    def _fresh(self, hosts: set[str]) -> dict[str, str]:
        now = self._clock.now()
        return {host: verdict for host in hosts if (verdict := self._known.get(host, now)) is not None}

    async def _judged(self, host: str) -> str:
        judging = self._judging.get(host)
        if judging is None:
            judging = self._judging[host] = asyncio.ensure_future(self._judge_once(host))
        # Others may wait for the same answer: who gives up waiting does not take it from them.
        return await asyncio.shield(judging)

    async def _judge_once(self, host: str) -> str:
        try:
            verdict = await self._judge(host)
        finally:
            del self._judging[host]
        self._known.put(host, verdict, self._clock.now())
        return verdict

    async def _judge(self, host: str) -> str:
        literal = literal_address(host)
        reason = self._policy.name_refusal(host)
        if reason is None:
            reasons = map(self._policy.refusal, [literal] if literal else await self._resolve(host))
            reason = next((reason for reason in reasons if reason is not None), None)
        return f"{host} is not allowed as a target ({reason}); the operator may lift that" if reason else ""

    async def _resolve(self, host: str) -> Sequence[str]:
        try:
            return await self._lookup(host)
        except OSError:
            return ()
