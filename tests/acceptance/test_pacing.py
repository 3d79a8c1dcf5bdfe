"""The pace of a target, read off its own log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.loopback import Reply, Seen, Site
from bench.strict_rules import Dialect, Kind, Limit
from bench.strict_server import Phase, Plan, StrictServer, running_servers

if TYPE_CHECKING:
    from tests.acceptance.conftest import Api

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

REGIONS = ["iad", "lax", "ord"]
FORGIVEN = 0.2
"""Share of a second's requests that a strict server forgives: on a machine that is busy elsewhere a fifth of
a second's worth may be written down at once. bench.pacing measures with less forgiven.
"""
LATE_S = 0.1
"""How much later than another one a request may be written down, on a machine that is busy elsewhere."""


def submit_many(api: Api, url: str, count: int, **job: object) -> list[str]:
    return [api.submit(url=f"{url}?{number}", **job)["job_id"] for number in range(count)]


def most_in_any_window(seen: list[Seen], window_s: float) -> int:
    starts = [request.at for request in seen]
    return max(sum(start <= at < start + window_s for at in starts) for start in starts)


def most_at_once(seen: list[Seen]) -> int:
    return max(sum(other.at <= request.at < other.ended_at for other in seen) for request in seen)


def test_at_most_two_requests_start_in_any_second(api: Api, target: Site) -> None:
    url = target.on("/paced", Reply())

    jobs = submit_many(api, url, 8)
    seen = target.wait(lambda seen: len(seen) == len(jobs), "/paced")

    assert most_in_any_window(seen, 1.0 - LATE_S) <= 2
    assert seen[-1].at - seen[0].at >= 3.0 - LATE_S


def test_races_and_retries_keep_to_the_pace_too(api: Api, target: Site) -> None:
    busy = Reply(status=503, headers={"Retry-After": "0"})
    url = target.on("/paced", *[busy] * 4, Reply())

    job = api.run(url=url, regions=REGIONS)

    assert job["state"] == "success"
    assert most_in_any_window(target.seen("/paced"), 1.0 - LATE_S) <= 2


def test_at_most_two_requests_are_in_flight(api: Api, target: Site) -> None:
    url = target.on("/held", Reply(after_s=1.2))

    jobs = submit_many(api, url, 5, method="POST")
    seen = target.wait(lambda seen: len(seen) == len(jobs), "/held")

    assert most_at_once(seen) <= 2
    assert seen[-1].at - seen[0].at >= 2 * 1.2 - LATE_S


def test_a_target_raises_its_pace_by_header(api: Api, target: Site) -> None:
    raised = Reply(headers={"X-EZTHROTTLE-RPS": "10", "X-EZTHROTTLE-MAX-CONCURRENT": "10"})
    url = target.on("/paced", raised)
    api.run(url=url)

    jobs = submit_many(api, url, 20)
    seen = target.wait(lambda seen: len(seen) == 1 + len(jobs), "/paced")

    assert 2 < most_in_any_window(seen, 1.0 - LATE_S) <= 10
    assert seen[-1].at - seen[1].at < 8


def test_a_target_lowers_its_pace_by_header(api: Api, target: Site) -> None:
    url = target.on("/paced", Reply(headers={"X-EZTHROTTLE-RPS": "0.5"}))
    api.run(url=url)

    jobs = submit_many(api, url, 2)
    seen = target.wait(lambda seen: len(seen) == 1 + len(jobs), "/paced")

    assert most_in_any_window(seen, 2.0 - LATE_S) == 1


def test_a_target_limits_what_is_in_flight_by_header(api: Api, target: Site) -> None:
    alone = {"X-EZTHROTTLE-RPS": "1000", "X-EZTHROTTLE-MAX-CONCURRENT": "1"}
    url = target.on("/held", Reply(headers=alone, after_s=0.2))
    api.run(url=url)

    jobs = submit_many(api, url, 5)
    seen = target.wait(lambda seen: len(seen) == 1 + len(jobs), "/held")

    assert most_at_once(seen) == 1


def test_a_slow_target_holds_up_no_other_one(api: Api, target: Site, receiver: Site) -> None:
    submit_many(api, target.on("/held", Reply(after_s=3)), 4)

    other = api.run(url=receiver.url("/quick"))

    assert other["state"] == "success"
    assert receiver.seen("/quick")[0].at < target.seen("/held")[0].at + 3


@pytest.mark.parametrize("kind", [Kind.SLIDING_WINDOW, Kind.FIXED_WINDOW])
def test_a_strict_server_that_states_its_limit_refuses_nothing(api: Api, kind: Kind) -> None:
    limit = Limit(50, forgiven=FORGIVEN)
    server = StrictServer(Plan(kind, Dialect.EZTHROTTLE, (Phase(limit, 400),)))
    jobs = [
        {"url": f"http://{server.domain}/{number}", "regions": [REGIONS[number % 3]]} for number in range(400)
    ]

    with running_servers([server]):
        api.http.post("/api/v1/jobs:batch", json={"jobs": jobs}).raise_for_status()
        assert server.done.wait(60)

    refused = [(index, arrival.at) for index, arrival in enumerate(server.arrivals) if not arrival.admitted]
    assert not refused
    assert server.arrivals[-1].at - server.arrivals[0].at < 2 * 400 / 50
