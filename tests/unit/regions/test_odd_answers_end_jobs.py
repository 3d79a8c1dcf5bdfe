"""What becomes of jobs and deliveries when an answer is odd: they end with it, and it is asked for once."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.domain.jobs.job import RetryPolicy, Webhook
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import Guarantee
from orchestrator.domain.webhooks.fanout import DeliveryState
from tests.support.live_rig import IAD, LAX, live_rig
from tests.support.odd_answers import CUT_SHORT, STALLED, Odd, Then, all_answered

if TYPE_CHECKING:
    from orchestrator.ports.store import StoredJob
    from regions.egress.client import AiohttpEgress
    from tests.support.live_rig import LiveRig
    from tests.unit.regions.conftest import Peer, Serve

RESET = struct.pack("ii", 1, 0)
ODD = dict(all_answered()) | STALLED
TIMEOUT_MS = 300
"""For answers that stall; the others come at once."""

KINDS: dict[str, dict[str, Any]] = {
    "get": {"method": "GET"},
    "post": {"method": "POST", "body": "{}"},
    "head": {"method": "HEAD"},
    "once": {"method": "POST", "body": "{}", "guarantee": Guarantee.AT_MOST_ONCE},
    "race": {"method": "POST", "body": "{}", "regions": (IAD, LAX)},
    "policy": {"method": "POST", "retry_policy": RetryPolicy()},
}


@dataclass
class Target:
    """Answers every path with what it was given for it, and counts."""

    answers: dict[str, Odd]
    counts: Counter[str] = field(default_factory=Counter)

    async def serve(self, peer: Peer) -> None:
        while request := await peer.request():
            path = request.split()[1].decode().strip("/")
            self.counts[path] += 1
            odd = self.answers.get(path)
            if odd is None:
                await peer.answer()
                continue
            await peer.send(odd.wire)
            if odd.then is Then.RESET:
                peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            if odd.then is not Then.WAIT:
                return


def response_of(stored: StoredJob) -> dict[str, Any]:
    assert stored.result is not None
    response: dict[str, Any] = json.loads(stored.result)["response"]
    return response


def check(stored: StoredJob, odd: Odd, kind: str) -> None:
    succeeds = 200 <= odd.status < 300
    assert stored.state is (JobState.SUCCESS if succeeds else JobState.FAILED), kind
    response = response_of(stored)
    assert response["status_code"] == odd.status, kind
    assert response.get("headers_truncated", False) is odd.cut, kind
    is_whole = odd.whole or (kind == "head" and odd.head_is_whole)
    assert ("incomplete" not in response) == is_whole, kind


@pytest.mark.parametrize("name", ODD)
async def test_a_job_ends_with_the_status_of_an_odd_answer_and_asks_for_it_once(
    serve: Serve, egress: AiohttpEgress, name: str
) -> None:
    odd = ODD[name]
    target = Target(dict.fromkeys(KINDS, odd))
    server = await serve(target.serve)

    async def one(rig: LiveRig, kind: str) -> None:
        timeout_ms = TIMEOUT_MS if name in STALLED else 30_000
        stored = await rig.run(url=server.url(f"/{kind}"), timeout_ms=timeout_ms, **KINDS[kind])
        check(stored, odd, kind)

    async with live_rig(egress) as rig:
        await asyncio.gather(*(one(rig, kind) for kind in KINDS))

    assert target.counts.pop("race") in (1, 2)
    assert target.counts == dict.fromkeys(KINDS.keys() - {"race"}, 1)


@pytest.mark.parametrize("name", ODD)
async def test_a_receiver_that_answered_with_a_success_has_taken_the_result(
    serve: Serve, egress: AiohttpEgress, name: str
) -> None:
    odd = ODD[name]
    target = Target({"hook": odd})
    server = await serve(target.serve)

    async with live_rig(egress) as rig:
        webhooks = (Webhook(url=server.url("/hook")),)
        stored = await rig.run(url=server.url("/job"), method="GET", webhooks=webhooks)

    [delivery] = stored.deliveries
    assert (delivery.state is DeliveryState.DELIVERED) == (200 <= odd.status < 300)
    assert (target.counts["hook"], delivery.log[-1].status) == (1, odd.status)


@pytest.mark.parametrize("name", CUT_SHORT)
async def test_an_answer_that_stops_short_is_asked_for_again_where_the_policy_names_its_status(
    serve: Serve, egress: AiohttpEgress, name: str
) -> None:
    odd = CUT_SHORT[name]
    target = Target({"job": odd})
    server = await serve(target.serve)
    again = RetryPolicy(reroute_codes=frozenset({odd.status}), max_reroutes=1, max_retries=0)

    async with live_rig(egress) as rig:
        stored = await rig.run(url=server.url("/job"), method="GET", regions=(IAD,), retry_policy=again)

    assert target.counts["job"] == 2
    check(stored, odd, "again")
