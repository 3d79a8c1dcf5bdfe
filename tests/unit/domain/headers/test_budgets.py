from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.headers.budgets import LONGEST_RESET_S, Budget, BudgetUnit, read_budgets

NOW = datetime(2025, 11, 20, 21, 30, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
TOKENS = BudgetUnit.TOKENS


@pytest.mark.parametrize(
    ("headers", "budget"),
    [
        pytest.param(
            {"ratelimit-policy": '"burst";q=100;w=60', "ratelimit": '"burst";r=50;t=30'},
            Budget(name="burst", limit=100, window_s=60, remaining=50, reset_s=30),
            id="IETF draft 11",
        ),
        pytest.param(
            {
                "ratelimit-policy": '"peruser";q=65535;w=10;qu="requests";pk=:cHsdsRa894==:',
                "ratelimit": '"peruser";r=9999;pk=:cHsdsRa894==:;t=7',
            },
            Budget(
                name="peruser",
                limit=65_535,
                window_s=10,
                remaining=9_999,
                reset_s=7,
                partition=b"p{\x1d\xb1\x16\xbc\xf7",
            ),
            id="IETF draft 11 with a partition",
        ),
        pytest.param(
            {"ratelimit-policy": '"inflight";q=10;qu="concurrent-requests"'},
            Budget(name="inflight", unit=BudgetUnit.CONCURRENT, limit=10),
            id="IETF draft 11, concurrency",
        ),
        pytest.param(
            {"ratelimit": '"default";r=0;t=12'},
            Budget(name="default", remaining=0, reset_s=12),
            id="IETF draft 11 without a policy",
        ),
        pytest.param(
            {"ratelimit": "limit=100, remaining=50, reset=5", "ratelimit-policy": "100;w=60"},
            Budget(name="ratelimit", limit=100, window_s=60, remaining=50, reset_s=5),
            id="IETF draft 7",
        ),
        pytest.param(
            {
                "ratelimit-limit": "100",
                "ratelimit-remaining": "42",
                "ratelimit-reset": "18",
                "ratelimit-policy": "100;w=60",
            },
            Budget(name="ratelimit-limit", limit=100, window_s=60, remaining=42, reset_s=18),
            id="IETF draft 6",
        ),
        pytest.param(
            {"ratelimit-limit": "10, 10;w=1, 50;w=60", "ratelimit-remaining": "9", "ratelimit-reset": "1"},
            Budget(name="ratelimit-limit", limit=10, window_s=1, remaining=9, reset_s=1),
            id="IETF draft 3, window in the limit",
        ),
        pytest.param(
            {
                "x-ratelimit-limit": "5000",
                "x-ratelimit-remaining": "4999",
                "x-ratelimit-reset": str(NOW_S + 3_000),
                "x-ratelimit-used": "1",
                "x-ratelimit-resource": "core",
            },
            Budget(name="x-ratelimit-limit", limit=5_000, remaining=4_999, reset_s=3_000),
            id="GitHub, Unix seconds",
        ),
        pytest.param(
            {
                "x-rate-limit-limit": "900",
                "x-rate-limit-remaining": "0",
                "x-rate-limit-reset": str(NOW_S + 60),
            },
            Budget(name="x-rate-limit-limit", limit=900, remaining=0, reset_s=60),
            id="with one more hyphen",
        ),
        pytest.param(
            {
                "x-ratelimit-limit-requests": "500",
                "x-ratelimit-remaining-requests": "499",
                "x-ratelimit-reset-requests": "120ms",
            },
            Budget(name="x-ratelimit-limit-requests", limit=500, remaining=499, reset_s=0.12, refills=True),
            id="OpenAI, requests",
        ),
        pytest.param(
            {
                "x-ratelimit-limit-tokens": "30000",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            Budget(
                name="x-ratelimit-limit-tokens",
                unit=TOKENS,
                limit=30_000,
                remaining=0,
                reset_s=360,
                refills=True,
            ),
            id="OpenAI, tokens",
        ),
        pytest.param(
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2025-11-20T21:30:01Z",
            },
            Budget(
                name="anthropic-ratelimit-requests-limit", limit=50, remaining=49, reset_s=1, refills=True
            ),
            id="Anthropic, requests",
        ),
        pytest.param(
            {
                "anthropic-ratelimit-input-tokens-limit": "40000",
                "anthropic-ratelimit-input-tokens-remaining": "39000",
                "anthropic-ratelimit-input-tokens-reset": "2025-11-20T23:30:02+02:00",
            },
            Budget(
                name="anthropic-ratelimit-input-tokens-limit",
                unit=TOKENS,
                limit=40_000,
                remaining=39_000,
                reset_s=2,
                refills=True,
            ),
            id="Anthropic, input tokens",
        ),
    ],
)
def test_a_dialect_is_read(headers: dict[str, str], budget: Budget) -> None:
    assert read_budgets(headers, NOW) == (budget,)


def test_several_policies_are_several_budgets() -> None:
    headers = {
        "ratelimit-policy": '"burst";q=100;w=60,"daily";q=1000;w=86400',
        "ratelimit": '"burst";r=99;t=10,"daily";r=0;t=4000',
    }
    assert [(b.name, b.remaining, b.exhausted) for b in read_budgets(headers, NOW)] == [
        ("burst", 99, False),
        ("daily", 0, True),
    ]


def test_requests_and_tokens_are_told_apart() -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6ms",
        "x-request-id": "1",
    }
    found = {budget.unit: budget.remaining for budget in read_budgets(headers, NOW)}
    assert found == {BudgetUnit.REQUESTS: 59, BudgetUnit.TOKENS: 149_984}


def reset_s(text: str) -> float | None:
    (budget,) = read_budgets({"x-ratelimit-remaining": "5", "x-ratelimit-reset": text}, NOW)
    return budget.reset_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        (" 0 ", 0),
        ("0.5", 0.5),
        (str(NOW_S + 90), 90),
        (f"{NOW_S + 90}.25", 90.25),
        (str((NOW_S + 90) * 1000), 90),
        ("1s", 1),
        ("6m0s", 360),
        ("120ms", 0.12),
        ("1h2m3.5s", 3_723.5),
        ("2d", 172_800),
        ("2025-11-20T21:31:00Z", 60),
        ("2025-11-20T21:31:00.500+00:00", 60.5),
        ("Thu, 20 Nov 2025 21:31:00 GMT", 60),
        (str(NOW_S - 5), 0),
        ("2015-10-21T07:28:00Z", 0),
    ],
)
def test_a_reset_is_read_in_every_dialect(text: str, seconds: float) -> None:
    assert reset_s(text) == pytest.approx(seconds)


VOID = [
    "",
    " ",
    "NaN",
    "inf",
    "-1",
    "1e309",
    "soon",
    "9" * 400,
    "1_000",
    "\u0661",
    "0x10",
    "\x00",
    "m",
]


@pytest.mark.parametrize("text", [*VOID, str(NOW_S * 2), "9999-12-31T23:59:59Z", "999999999s", "1.5.5s"])
def test_what_is_no_reset_is_none(text: str) -> None:
    assert reset_s(text) is None


@pytest.mark.parametrize("text", VOID)
def test_a_void_budget_says_nothing(text: str) -> None:
    names = ("ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining")
    assert read_budgets(dict.fromkeys(names, text), NOW) == ()


@pytest.mark.parametrize(
    "text",
    [
        '"a";q=-1;w=60',
        '"a";q=1e309',
        '"a";q=99999999999999999999',
        '"a";q="100"',
        '"a";q=?1',
        "a;q=100",
        '("a" "b");q=100',
        '"a";q=100;qu="content-bytes"',
        '"a";q=100;' + "x" * 5_000,
        '"a"',
        "\xff\xfe",
    ],
)
def test_a_void_policy_says_nothing(text: str) -> None:
    assert read_budgets({"ratelimit-policy": text}, NOW) == ()


def test_a_thousand_policies_are_not_a_thousand_budgets() -> None:
    text = ", ".join(f'"{number}";q=1' for number in range(150))
    assert len(read_budgets({"ratelimit-policy": text}, NOW)) <= 8


NAMES = st.sampled_from(
    [
        "ratelimit",
        "ratelimit-policy",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ]
)
PIECES = st.sampled_from(
    [
        '"a"',
        ";q=",
        ";w=",
        ";r=",
        ";t=",
        ";pk=:AA==:",
        ",",
        "1",
        "60",
        "1e309",
        "-",
        "NaN",
        "ms",
        "T",
        ":",
        "Z",
    ]
)
VALUES = (
    st.text(st.characters(max_codepoint=0x17F), max_size=40)
    | st.lists(PIECES, max_size=10).map("".join)
    | st.integers().map(str)
)


@given(st.dictionaries(NAMES, VALUES))
def test_whatever_a_stranger_sends_is_read_within_bounds(headers: dict[str, str]) -> None:
    for budget in read_budgets(headers, NOW):
        assert budget.limit is None or 0 < budget.limit <= 1e15
        assert budget.remaining is None or 0 <= budget.remaining <= 1e15
        assert budget.window_s is None or 0 < budget.window_s <= 1e15
        assert budget.reset_s is None or 0 <= budget.reset_s <= LONGEST_RESET_S
