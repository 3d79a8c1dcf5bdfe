"""What targets say about pace, in every dialect and form, once, on two lines, and joined by a proxy."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.headers.budgets import read_budgets
from orchestrator.domain.headers.signals import LONGEST_WAIT_S, read_signal, retry_after_s

NOW = datetime(2025, 11, 20, 21, 30, 0, tzinfo=UTC)

FORMS: dict[str, Callable[[float], str]] = {
    "seconds": lambda s: f"{s:g}",
    "seconds with a fraction": lambda s: f"{s:.3f}",
    "seconds with a long fraction": lambda s: f"{s:.17f}",
    "a duration": lambda s: f"{s:g}s",
    "a duration in minutes": lambda s: f"{int(s // 60)}m{s % 60:g}s",
    "a duration in ms": lambda s: f"{s * 1000:.0f}ms",
    "a duration in words": lambda s: f"{s:g} seconds",
    "an HTTP date": lambda s: format_datetime(NOW + timedelta(seconds=s), usegmt=True),
    "an RFC 850 date": lambda s: (NOW + timedelta(seconds=s)).strftime("%A, %d-%b-%y %H:%M:%S GMT"),
    "an asctime date": lambda s: (NOW + timedelta(seconds=s)).strftime("%a %b %d %H:%M:%S %Y"),
    "an ISO date": lambda s: (NOW + timedelta(seconds=s)).isoformat(),
    "an ISO date in Zulu time": lambda s: (NOW + timedelta(seconds=s)).isoformat().replace("+00:00", "Z"),
    "Unix seconds": lambda s: f"{NOW.timestamp() + s:.0f}",
    "Unix seconds with a fraction": lambda s: f"{NOW.timestamp() + s:.3f}",
    "Unix milliseconds": lambda s: f"{(NOW.timestamp() + s) * 1000:.0f}",
}
ARRIVALS: dict[str, tuple[tuple[float, ...], str]] = {
    "one line": ((7,), ""),
    "two equal lines": ((7, 7), "\n"),
    "two differing lines": ((2, 7), "\n"),
    "two differing lines, the longer first": ((7, 2), "\n"),
    "three lines": ((2, 7, 3), "\n"),
    "joined, equal": ((7, 7), ", "),
    "joined, differing": ((7, 2), ", "),
    "joined without a space": ((2, 7), ","),
}


def written(form: str, arrival: str) -> str:
    waits, separator = ARRIVALS[arrival]
    return separator.join(FORMS[form](wait) for wait in waits)


@pytest.mark.parametrize("arrival", ARRIVALS)
@pytest.mark.parametrize("form", FORMS)
def test_a_wait_is_read_in_every_form_however_often_it_is_told(form: str, arrival: str) -> None:
    text = written(form, arrival)
    assert retry_after_s({"retry-after": text}, NOW) == pytest.approx(7, abs=0.001)


RESETS = ("ratelimit", "x-ratelimit", "x-rate-limit", "openai", "anthropic")


def triple(dialect: str, limit: str, remaining: str, reset: str) -> dict[str, str]:
    names = {
        "openai": "x-ratelimit-{}-requests",
        "anthropic": "anthropic-ratelimit-requests-{}",
    }.get(dialect, f"{dialect}-{{}}")
    said = {"limit": limit, "remaining": remaining, "reset": reset}
    return {names.format(what): text for what, text in said.items() if text}


@pytest.mark.parametrize("arrival", ARRIVALS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dialect", RESETS)
def test_a_budget_is_read_in_every_dialect_however_often_it_is_told(
    dialect: str, form: str, arrival: str
) -> None:
    waits, separator = ARRIVALS[arrival]
    rows = [separator.join([text] * len(waits)) for text in ("100", "0")]
    budgets = read_budgets(triple(dialect, *rows, written(form, arrival)), NOW)
    assert {(b.limit, b.remaining) for b in budgets} == {(100, 0)}
    assert max(b.reset_s or 0 for b in budgets) == pytest.approx(7, abs=0.001)
    assert len({b.name for b in budgets}) == len(budgets) == len(set(waits))


PLAIN = {"one line": "3", "two equal lines": "3\n3", "two differing lines": "9\n3", "three lines": "9\n3\n4"}
PLAIN |= {"joined, equal": "3, 3", "joined, differing": "3,9", "one that can't be read": "fast\n3"}
PLAIN |= {
    "joined with one that can't be read": "3, fast",
    "an empty line": "\n3",
    "one out of bounds": "3\n-1\n0",
}


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("who", ["ezthrottle", "aqueduct", "aquifer"])
def test_the_strictest_pace_that_can_be_read_holds(who: str, text: str) -> None:
    said = read_signal({f"x-{who}-rps": text, f"x-{who}-max-concurrent": text})
    assert (said.rps, said.max_concurrent, said.source) == (3, 3, f"x-{who}-rps")


@pytest.mark.parametrize(
    ("said", "rps"),
    [
        ({"aqueduct": "9", "ezthrottle": "7", "aquifer": "5"}, 9),
        ({"ezthrottle": "7", "aquifer": "5"}, 7),
        ({"aqueduct": "fast\n0", "aquifer": "5"}, 5),
    ],
)
def test_of_three_names_the_first_that_can_be_read_holds(said: dict[str, str], rps: float) -> None:
    assert read_signal({f"x-{who}-rps": text for who, text in said.items()}).rps == rps


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("enabled\nenabled", True),
        ("disabled, disabled", False),
        ("maybe\nenabled", True),
        ("enabled\ndisabled", None),
        ("disabled, enabled", None),
    ],
)
@pytest.mark.parametrize("who", ["ezthrottle", "aqueduct", "aquifer"])
def test_a_switch_that_is_told_both_ways_stays_as_it_is(who: str, text: str, on: bool | None) -> None:
    assert read_signal({f"x-{who}-account-queue": text}).account_queues is on


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6.5", 6.5),
        ("7.0", 7),
        ("0.503", 0.503),
        ("2.128000020980835", 2.129),
        ("0.0000001", 0.001),
        ("7s", 7),
        ("7 S", 7),
        ("2m", 120),
        ("1h30m", 5_400),
        ("1h 30m", 5_400),
        ("2 minutes", 120),
        ("500ms", 0.5),
        ("1.5h", 5_400),
        ("7\nsoon", 7),
        ("soon, 7", 7),
        ("2814, 2", 2_814),
        ("7, 7", 7),
        ("-5\n3", 3),
        ("0\n0", 0),
        ("Thu, 20 Nov 2025 21:32:00 GMT, 7", 120),
        ("7, Thu, 20 Nov 2025 21:32:00 GMT, Thursday, 20-Nov-25 21:31:00 GMT", 120),
        ("999999999", LONGEST_WAIT_S),
        ("30d", LONGEST_WAIT_S),
        ("9999-12-31T23:59:59Z", LONGEST_WAIT_S),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT_S),
        ("1763674210", 10),
        ("1111111111", 0),
        ("2015-10-21T07:28:00Z", 0),
    ],
)
def test_retry_after_is_read_as_servers_write_it(text: str, seconds: float) -> None:
    now = datetime(2025, 11, 20, 21, 30, 0, tzinfo=UTC)
    assert retry_after_s({"retry-after": text}, now) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    "text",
    ["-5", "-7s", "- 7", "7x", "s", "7 7", "1e3", "m7s", "7s!", "1h-30m", ".", "1_0", "--", "7;s"],
)
def test_what_is_no_wait_asks_for_none(text: str) -> None:
    assert retry_after_s({"retry-after": text}, NOW) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "7000"}, 7),
        ({"retry-after-ms": "6500.2"}, 6.501),
        ({"retry-after-ms": "7000\n9000"}, 9),
        ({"retry-after-ms": "7000, 9000"}, 9),
        ({"retry-after": "7", "retry-after-ms": "6500"}, 7),
        ({"retry-after": "6", "retry-after-ms": "6500"}, 6.5),
        ({"retry-after": "soon", "retry-after-ms": "6500"}, 6.5),
        ({"retry-after-ms": "99999999999"}, LONGEST_WAIT_S),
        ({"retry-after-ms": "-1"}, None),
        ({"retry-after-ms": "7s"}, None),
        ({"retry-after-ms": ""}, None),
    ],
)
def test_the_longest_of_both_headers_is_waited_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds


MOMENTS = [form for form in FORMS if "date" in form or "Unix" in form]


@pytest.mark.parametrize("skew_s", [45, -45, 3_600, -86_400 * 400])
@pytest.mark.parametrize("form", FORMS)
def test_a_moment_is_meant_by_the_clock_of_the_target(form: str, skew_s: float) -> None:
    at_target = NOW + timedelta(seconds=skew_s)
    text = FORMS[form](7 + skew_s if form in MOMENTS else 7)
    headers = {"date": format_datetime(at_target, usegmt=True)}
    assert retry_after_s(headers | {"retry-after": text}, NOW) == pytest.approx(7, abs=0.001)
    for dialect in RESETS:
        (budget,) = read_budgets(headers | triple(dialect, "10", "0", text), NOW)
        assert budget.reset_s == pytest.approx(7, abs=0.001)


@pytest.mark.parametrize(
    ("date", "age", "seconds"),
    [
        ("", "", 60),
        ("yesterday", "", 60),
        ("Thu, 20 Nov 2025 21:29:30 GMT", "", 90),
        # Kept by a cache for 30 s: so much of the wait is over.
        ("Thu, 20 Nov 2025 21:29:30 GMT", "30", 60),
        ("Thu, 20 Nov 2025 21:29:30 GMT", "-30", 90),
        ("Thu, 20 Nov 2025 21:29:30 GMT", "soon", 90),
        ("Thu, 20 Nov 2025 21:29:30 GMT\nThu, 20 Nov 2025 21:29:00 GMT", "", 120),
        ("Thu, 20 Nov 2025 21:29:30 GMT, Thu, 20 Nov 2025 21:29:30 GMT", "", 90),
        ("Thu, 20 Nov 2025 22:29:30 GMT", "", 0),
    ],
)
def test_the_targets_clock_is_its_date_and_what_a_cache_added(date: str, age: str, seconds: float) -> None:
    said = {"date": date, "age": age, "retry-after": "Thu, 20 Nov 2025 21:31:00 GMT"}
    assert retry_after_s({name: text for name, text in said.items() if text}, NOW) == seconds


@pytest.mark.parametrize("dialect", RESETS)
@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "read"),
    [
        ("10", "-3", "8", (10, 0, 8)),
        ("10", "-0.5", "8", (10, 0, 8)),
        ("", "-1", "8", (None, 0, 8)),
        ("10\n10", "-3\n-3", "8\n8", (10, 0, 8)),
        ("10", "-3", "0", (10, None, 0)),
        ("10", "-3", "", (10, None, None)),
        ("-1", "-1", "0", None),
        ("-1", "-1", "8", None),
        ("-1", "-1", "", None),
        ("-1\n-1", "-1\n-1", "0\n0", None),
        ("-1\n10", "-1\n0", "0\n8", (10, 0, 8)),
    ],
)
def test_less_than_nothing_until_a_reset_ahead_is_nothing_left(
    dialect: str, limit: str, remaining: str, reset: str, read: tuple[float | None, ...] | None
) -> None:
    found = read_budgets(triple(dialect, limit, remaining, reset), NOW)
    assert [(b.limit, b.remaining, b.reset_s) for b in found] == ([] if read is None else [read])


@pytest.mark.parametrize(
    ("headers", "read"),
    [
        pytest.param({"ratelimit": '"a";r=-3;t=8'}, [("a", None, 0, 8)], id="less than nothing"),
        pytest.param({"ratelimit": '"a";r=-3'}, [], id="less than nothing, no reset"),
        pytest.param({"ratelimit": '"a";r=0;t=12\n"a";r=0;t=12'}, [("a", None, 0, 12)], id="equal lines"),
        pytest.param({"ratelimit": '"a";r=5;t=9\n"a";r=0;t=12'}, [("a", None, 0, 12)], id="differing lines"),
        pytest.param({"ratelimit": '"a";r=0;t=9, "a";r=5;t=12'}, [("a", None, 0, 12)], id="joined"),
        pytest.param(
            {"ratelimit": '"a";r=5\n"b";r=6'}, [("a", None, 5, None), ("b", None, 6, None)], id="spread"
        ),
        pytest.param({"ratelimit": '"a";r=5;t=9\nx;;'}, [("a", None, 5, 9)], id="a line that can't be read"),
        pytest.param(
            {"ratelimit-policy": '"a";q=9;w=1\n"a";q=60;w=60', "ratelimit": '"a";r=5;t=9'},
            [("a", 60, 5, 9)],
            id="the lower rate of two policies",
        ),
        pytest.param(
            {"ratelimit": "limit=10, remaining=4, reset=5\nlimit=10, remaining=0, reset=7"},
            [("ratelimit", 10, 0, 7)],
            id="draft 7 on two lines",
        ),
        pytest.param(
            {"ratelimit": "limit=10\nremaining=4\nreset=5"}, [("ratelimit", 10, 4, 5)], id="draft 7, spread"
        ),
        pytest.param(
            {"ratelimit": "limit=10, remaining=-4, reset=5"}, [("ratelimit", 10, 0, 5)], id="draft 7, < 0"
        ),
        pytest.param(
            triple("ratelimit", "50, 50;window=1", "0", "1"), [("ratelimit-limit", 50, 0, 1)], id="draft 3"
        ),
        pytest.param(
            triple("ratelimit", "50, 50;window=1\n50, 50;window=1", "0\n0", "1\n1"),
            [("ratelimit-limit", 50, 0, 1)],
            id="draft 3 on two lines",
        ),
        pytest.param(
            triple("x-ratelimit", "10\n1000", "9\n0", "1\n3600"),
            [("x-ratelimit-limit", 10, 9, 1), ("x-ratelimit-limit;1", 1000, 0, 3600)],
            id="a limit by the second and one by the hour",
        ),
        pytest.param(
            triple("x-ratelimit", "100, 50", "7", "20\n30"), [("x-ratelimit-limit", 50, 7, 30)], id="uneven"
        ),
        pytest.param(
            triple("x-ratelimit", "100", "0, 0", "Thu, 20 Nov 2025 21:30:20 GMT"),
            [("x-ratelimit-limit", 100, 0, 20)],
            id="a date keeps its comma",
        ),
    ],
)
def test_a_list_in_a_line_keeps_its_meaning_and_the_stricter_line_holds(
    headers: dict[str, str], read: list[tuple[str, float | None, float | None, float | None]]
) -> None:
    assert [(b.name, b.limit, b.remaining, b.reset_s) for b in read_budgets(headers, NOW)] == read


@pytest.mark.parametrize(
    ("limit", "policy", "window_s"),
    [
        ("100", "10;w=1, 100;w=60", 60),
        ("100", "10;w=1\n100;w=60", 60),
        ("100", "10;w=1, 50;w=60", 1),
        ("10, 10;w=1, 50;w=60", "", 1),
        ("50, 10;w=1, 50;w=60", "100;w=9", 60),
        ("100;w=0", "", None),
    ],
)
def test_a_limits_window_is_that_of_the_policy_of_its_size(
    limit: str, policy: str, window_s: float | None
) -> None:
    headers = triple("ratelimit", limit, "5", "1") | ({"ratelimit-policy": policy} if policy else {})
    (budget,) = read_budgets(headers, NOW)
    assert budget.window_s == window_s


@pytest.mark.parametrize(
    "headers",
    [
        {"ratelimit-policy": '"a";q=10;w=1, "b";q=60;w=60'},
        {"ratelimit-policy": '"b";q=60;w=60\n"a";q=10;w=1'},
        triple("x-ratelimit", "10;w=1\n60;w=60", "5\n5", ""),
        triple("x-ratelimit", "60;w=60\n10;w=1", "5\n5", ""),
    ],
)
def test_of_several_paces_the_slowest_has_the_last_word(headers: dict[str, str]) -> None:
    assert [budget.rate for budget in read_budgets(headers, NOW)] == [10, 1]


@pytest.mark.parametrize(
    "name", ["retry-after", "ratelimit", "ratelimit-policy", "x-ratelimit-limit", "date"]
)
@pytest.mark.parametrize(
    "piece", ["7", "7, ", "Thu, ", "7\n", '"a";r=0, ', "1h", "100;w=60, ", "\x00", "((("]
)
def test_a_header_of_any_length_is_read_in_no_time(name: str, piece: str) -> None:
    headers = {"retry-after": "Thu, 20 Nov 2025 21:31:00 GMT", name: piece * (16_384 // len(piece))}
    wait = retry_after_s(headers, NOW)
    assert wait is None or 0 <= wait <= LONGEST_WAIT_S
    assert len(read_budgets(headers, NOW)) <= 8


def test_lines_apart_stand_in_for_what_is_shown_joined() -> None:
    answer = HttpResponse(
        status=429,
        headers={"retry-after": "7, 7", "via": "a, b"},
        body=b"",
        repeated={"retry-after": "7\n7"},
    )
    assert answer.lines_apart == {"retry-after": "7\n7", "via": "a, b"}
    assert retry_after_s(answer.lines_apart, NOW) == 7
