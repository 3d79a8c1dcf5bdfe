"""What targets say about pace, as servers really say it, and one address in many spellings, from outside."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, NamedTuple

import pytest
import standardwebhooks

from bench.loopback import Reply, Seen, Site, running_site
from tests.acceptance.test_pacing import LATE_S, most_in_any_window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.acceptance.conftest import Api

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

WAIT_S = 4.0
SKEWED_S = 45.0
Said = dict[str, str]


def twice(name: str, one: str, other: str) -> Said:
    """Write a header on two lines."""
    return {name: f"{one}\r\n{name}: {other}"}


def by_the_clock(skew_s: float, name: str, write: Callable[[float], str]) -> Said:
    """Name a moment by a clock that is off, which the same answer tells."""
    at_target = time.time() + skew_s
    return {"Date": formatdate(at_target, usegmt=True), name: write(at_target + WAIT_S)}


def iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat()


def http_date(unix_s: float) -> str:
    # Whole seconds: cut down, up to one of the wait is lost.
    return formatdate(unix_s + 1, usegmt=True)


WAITS: Mapping[str, Callable[[], Said]] = {
    "two equal lines": lambda: twice("Retry-After", "4", "4"),
    "two lines": lambda: twice("Retry-After", "1", "4"),
    "joined by a proxy": lambda: {"Retry-After": "4, 1"},
    "a fraction": lambda: {"Retry-After": "4.0"},
    "a unit": lambda: {"Retry-After": "4s"},
    "milliseconds": lambda: {"retry-after-ms": "4000"},
    "an ISO date": lambda: {"Retry-After": iso(time.time() + WAIT_S)},
    "Unix seconds": lambda: {"Retry-After": str(int(time.time() + WAIT_S) + 1)},
    "a date of a clock that is ahead": lambda: by_the_clock(SKEWED_S, "Retry-After", http_date),
    "a date of a clock that is behind": lambda: by_the_clock(-SKEWED_S, "Retry-After", http_date),
    "a reset of a clock that is ahead": lambda: budget(by_the_clock(SKEWED_S, "X-RateLimit-Reset", epoch)),
    "a reset of a clock that is behind": lambda: budget(by_the_clock(-SKEWED_S, "X-RateLimit-Reset", epoch)),
    "fewer than none left": lambda: budget({"X-RateLimit-Reset": epoch(time.time() + WAIT_S)}, left="-3"),
    "budget lines that come twice": lambda: {
        **twice("X-RateLimit-Limit", "10", "10"),
        **twice("X-RateLimit-Remaining", "0", "0"),
        **twice("X-RateLimit-Reset", "4", "4"),
    },
}


def epoch(unix_s: float) -> str:
    return str(int(unix_s) + 1)


def budget(reset: Said, left: str = "0") -> Said:
    return {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": left, **reset}


class Waited(NamedTuple):
    """How a job ended whose target named a wait, and how many seconds it waited."""

    state: str
    s: float


@pytest.fixture(scope="module")
def waited(api: Api) -> Mapping[str, Waited]:
    """Every form, all of them at once: each is another target's."""
    with ThreadPoolExecutor(len(WAITS)) as threads:
        return dict(zip(WAITS, threads.map(lambda said: wait_for(api, said), WAITS.values()), strict=True))


def wait_for(api: Api, headers: Callable[[], Said]) -> Waited:
    def answer(_: Seen) -> Reply:
        return Reply() if len(site.seen()) > 1 else Reply(status=429, headers=headers())

    with running_site(answer) as site:
        job = api.run(url=site.url())
        first, second = (seen.at for seen in site.seen())
    return Waited(job["state"], second - first)


@pytest.mark.parametrize("form", WAITS)
def test_a_wait_is_waited_for_in_every_form(waited: Mapping[str, Waited], form: str) -> None:
    assert waited[form].state == "success"
    # Longer by its jitter, and by how busy the machine is; shorter, by a Date without fractions.
    assert WAIT_S - 1.0 <= waited[form].s < SKEWED_S / 2


@pytest.mark.parametrize("name", ["X-EZTHROTTLE-RPS", "X-Aqueduct-RPS", "X-Aquifer-RPS"])
def test_a_pace_on_two_lines_is_kept_to_and_shown(api: Api, name: str) -> None:
    with running_site(Reply(headers=twice(name, "50", "1.5"))) as site:
        assert api.run(url=site.url())["state"] == "success"
        pace = the_domain(api, f"127.0.0.1:{site.port}")["pace"]
    assert (pace["rps"], pace["set_by"]) == (1.5, "target")


def the_domain(api: Api, name: str) -> dict[str, dict[str, object]]:
    page = api.http.get("/api/v1/domains", params={"limit": 200}).json()
    (found,) = [domain for domain in page["domains"] if domain["domain"] == name]
    return dict(found)


def test_all_spellings_of_one_address_have_one_pace(api: Api) -> None:
    hosts = [
        "127.0.0.1",
        "0x7f000001",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::ffff:127.0.0.1]",
    ]
    with running_site(Reply()) as site:
        jobs = [api.submit(url=f"http://{host}:{site.port}/{host[:3]}")["job_id"] for host in hosts]
        ended = [api.ended(job) for job in jobs]
        seen = site.seen()

    assert [job["state"] for job in ended] == ["success"] * len(hosts)
    assert most_in_any_window(seen, 1.0 - LATE_S) <= 2
    domains = api.http.get("/api/v1/domains", params={"limit": 200}).json()["domains"]
    assert [d["domain"] for d in domains if str(site.port) in d["domain"]] == [f"127.0.0.1:{site.port}"]


def test_an_address_with_a_zone_is_refused(api: Api) -> None:
    answer = api.post(url="http://[fe80::1%25eth0]/")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "url")


def test_a_code_beyond_the_classes_is_retried_where_the_policy_names_it(api: Api, target: Site) -> None:
    denied = b"HTTP/1.1 999 Request denied\r\nContent-Length: 0\r\n\r\n"
    url = target.on("/denied", Raw(denied), Reply())
    job = api.run(url=url, retry_policy={"max_retries": 1, "retry_codes": [999]})
    assert (job["state"], len(target.seen("/denied"))) == ("success", 2)


class Raw(Reply):
    """An answer that is written as it stands."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        object.__setattr__(self, "body", answer)

    def encode(self) -> bytes:
        return self.body


def test_a_secret_without_padding_signs_as_libraries_verify(api: Api, target: Site, receiver: Site) -> None:
    secret = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode().rstrip("=")
    assert api.http.post("/api/v1/webhook-secrets", json={"primary_secret": secret}).is_success
    try:
        accepted = api.submit(url=target.url("/signed"), webhooks=[{"url": receiver.url("/hook")}])
        api.delivered(accepted["job_id"])
    finally:
        assert api.http.delete("/api/v1/webhook-secrets").is_success
    (delivery,) = receiver.seen("/hook")
    assert standardwebhooks.Webhook(secret).verify(delivery.body, delivery.headers)
    assert "warnings" not in accepted


def test_a_receiver_is_not_asked_before_the_longest_of_its_waits(
    api: Api, target: Site, receiver: Site
) -> None:
    busy = Reply(status=503, headers=twice("Retry-After", "1", "8"))
    url = receiver.on("/busy", busy, Reply())
    accepted = api.submit(url=target.url("/told"), webhooks=[{"url": url}])
    assert any("unsigned" in warning for warning in accepted["warnings"])
    first, second = (seen.at for seen in receiver.wait(lambda seen: len(seen) > 1, "/busy"))
    assert second - first >= 8.0 - LATE_S


def test_credentials_in_a_url_go_as_utf_8(api: Api, target: Site) -> None:
    url = target.url("/mine").replace("//", "//us%C3%A9r:p%E2%82%ACss@")
    assert api.run(url=url)["state"] == "success"
    (seen,) = target.seen("/mine")
    assert seen.headers["authorization"] == "Basic " + base64.b64encode("usér:p€ss".encode()).decode()
