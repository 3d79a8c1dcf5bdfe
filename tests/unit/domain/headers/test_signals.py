import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.headers.signals import (
    CONCURRENT_MOST,
    RPS_LEAST,
    RPS_MOST,
    SILENT,
    Signal,
    read_signal,
    retry_after_s,
)

NOW = datetime(2025, 11, 20, 21, 30, 0, tzinfo=UTC)
PACING = {
    "retry-after",
    *(f"x-{who}-{what}" for who in ("ezthrottle", "aqueduct") for what in ("rps", "max-concurrent")),
}
GARBAGE = [
    "",
    " ",
    "NaN",
    "nan",
    "Infinity",
    "-inf",
    "1e309",
    "-1",
    "0",
    "-0.0",
    "9" * 400,
    "1_000",
    "\u0661\u0660",
    "0x10",
    "fast",
    "5;w=1",
    "\x00",
]


@pytest.mark.parametrize("name", ["x-ezthrottle-rps", "x-aqueduct-rps"])
@pytest.mark.parametrize(
    ("text", "rps"), [("5", 5.0), (" 0.01 ", 0.01), ("100000", 100_000.0), ("1e2", 100.0), ("2.5", 2.5)]
)
def test_a_rate_header_sets_the_rate(name: str, text: str, rps: float) -> None:
    assert read_signal({name: text}) == Signal(rps=rps)


@pytest.mark.parametrize("name", ["x-ezthrottle-max-concurrent", "x-aqueduct-max-concurrent"])
@pytest.mark.parametrize(("text", "places"), [("1", 1), (" 40 ", 40), ("007", 7), ("1000000", 1_000_000)])
def test_a_concurrency_header_sets_the_places_in_flight(name: str, text: str, places: int) -> None:
    assert read_signal({name: text}) == Signal(max_concurrent=places)


def test_one_answer_can_say_both() -> None:
    headers = {"x-ezthrottle-rps": "7", "x-ezthrottle-max-concurrent": "3"}
    assert read_signal(headers) == Signal(rps=7.0, max_concurrent=3)


def test_aqueduct_headers_win_over_their_twins() -> None:
    headers = {
        "x-ezthrottle-rps": "7",
        "x-aqueduct-rps": "9",
        "x-ezthrottle-max-concurrent": "3",
        "x-aqueduct-max-concurrent": "4",
    }
    assert read_signal(headers) == Signal(rps=9.0, max_concurrent=4)


def test_a_void_aqueduct_header_leaves_the_word_to_its_twin() -> None:
    assert read_signal({"x-ezthrottle-rps": "7", "x-aqueduct-rps": "NaN"}) == Signal(rps=7.0)


@pytest.mark.parametrize("text", [*GARBAGE, "0.009", "100000.1"])
@pytest.mark.parametrize("name", ["x-ezthrottle-rps", "x-aqueduct-rps"])
def test_a_rate_that_is_no_rate_changes_nothing(name: str, text: str) -> None:
    assert read_signal({name: text}).silent


@pytest.mark.parametrize("text", [*GARBAGE, "2.5", "1e2", "+3", "1000001"])
@pytest.mark.parametrize("name", ["x-ezthrottle-max-concurrent", "x-aqueduct-max-concurrent"])
def test_a_concurrency_that_is_no_whole_number_in_bounds_changes_nothing(name: str, text: str) -> None:
    assert read_signal({name: text}).silent


def test_an_answer_without_pacing_headers_is_silent() -> None:
    assert read_signal({"content-type": "text/html", "x-rps": "4"}) is SILENT


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0.0), ("120", 120.0), (" 7 ", 7.0), ("999999999", 86_400.0)]
)
def test_retry_after_is_read_in_seconds(text: str, seconds: float) -> None:
    assert retry_after_s({"retry-after": text}, NOW) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 20 Nov 2025 21:32:00 GMT", 120.0),
        ("Thursday, 20-Nov-25 21:32:00 GMT", 120.0),
        ("Thu Nov 20 21:32:00 2025", 120.0),
        ("Thu, 20 Nov 2025 21:32:00 -0000", 120.0),
        ("Thu, 20 Nov 2025 23:32:00 +0200", 120.0),
    ],
)
def test_retry_after_is_read_as_a_date(text: str, seconds: float) -> None:
    assert retry_after_s({"retry-after": text}, NOW) == seconds


def test_a_date_that_has_passed_asks_for_no_wait() -> None:
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, NOW) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-1",
        "1e3",
        "NaN",
        "9" * 5_000,
        "\u00b2",
        "\u0661",
        "Mon, 99 Foo",
        "Thu, 20 Nov 99999999 21:32:00 GMT",
        "20 Nov 2025 21:32:00 +9999999999999999",
        "20 Nov 2025 99:99:99 GMT",
    ],
)
def test_a_void_retry_after_asks_for_nothing(text: str) -> None:
    assert retry_after_s({"retry-after": text}, NOW) is None


def test_without_retry_after_nothing_is_asked() -> None:
    assert retry_after_s({}, NOW) is None


@pytest.mark.parametrize("name", ["x-ezthrottle-account-queue", "x-aqueduct-account-queue"])
@pytest.mark.parametrize(("text", "on"), [("enabled", True), (" Disabled ", False)])
def test_a_target_switches_account_queues(name: str, text: str, on: bool) -> None:
    assert read_signal({name: text}) == Signal(account_queues=on)


@pytest.mark.parametrize("text", ["", "true", "1", "enabled, disabled", "\x00"])
def test_a_switch_in_no_known_position_changes_nothing(text: str) -> None:
    assert read_signal({"x-ezthrottle-account-queue": text}).silent


TEXTS = st.text(st.characters(max_codepoint=0x17F), max_size=30) | st.floats().map(str)


@given(st.dictionaries(st.sampled_from(sorted(PACING)), TEXTS))
def test_whatever_a_stranger_sends_stays_within_bounds(headers: dict[str, str]) -> None:
    signal = read_signal(headers)
    assert signal.rps is None or RPS_LEAST <= signal.rps <= RPS_MOST
    assert signal.max_concurrent is None or 1 <= signal.max_concurrent <= CONCURRENT_MOST
    wait_s = retry_after_s(headers, NOW)
    assert wait_s is None or 0 <= wait_s < math.inf
