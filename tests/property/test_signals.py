"""Whatever targets say about pace: nothing raises, and nothing is waited for without bound."""

import math
from datetime import UTC, datetime
from email.utils import format_datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.headers.budgets import LONGEST_RESET_S, Budget, read_budgets
from orchestrator.domain.headers.signals import LONGEST_WAIT_S, RPS_LEAST, read_signal, retry_after_s
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.ticket import Ticket
from tests.support.long import drawn
from tests.support.outlet import Outlet

NOW = datetime(2025, 11, 20, 21, 30, 0, tzinfo=UTC)
WHATS = ("limit", "remaining", "reset")
NAMES = (
    "retry-after",
    "retry-after-ms",
    "date",
    "age",
    "ratelimit",
    "ratelimit-policy",
    *(f"{dialect}-{what}" for dialect in ("ratelimit", "x-ratelimit") for what in WHATS),
    *(f"x-ratelimit-{what}-{unit}" for what in WHATS for unit in ("requests", "tokens")),
    *(f"anthropic-ratelimit-requests-{what}" for what in WHATS),
    *(
        f"x-{who}-{what}"
        for who in ("ezthrottle", "aqueduct", "aquifer")
        for what in ("rps", "max-concurrent", "account-queue")
    ),
)
PIECES = st.sampled_from(
    [
        "7",
        "-1",
        "0",
        ".5",
        "1e309",
        "9" * 17,
        "1763674210",
        "s",
        "ms",
        "h",
        "m",
        " ",
        ",",
        ", ",
        "\n",
        ";",
        "=",
        "w=60",
        '"a"',
        ";r=0",
        ";t=9",
        ";q=5",
        ";pk=:AA==:",
        "remaining=",
        "limit=",
        "NaN",
        "inf",
        "Thu",
        "Thu, ",
        "Nov",
        "GMT",
        "T",
        "Z",
        "+99:99",
        "2025-11-20",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "21:31:00",
        "\x00",
        "٣",
        "²",
        "enabled",
        "'",
        "(",
    ]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=60) | st.floats().map(str)
MOMENTS_OF_READING = st.integers(0, 2**33).map(lambda unix_s: datetime.fromtimestamp(unix_s, UTC))
TEXTS |= st.integers().map(str) | st.datetimes().map(str) | st.datetimes().map(format_datetime)


@given(st.dictionaries(st.sampled_from(NAMES), TEXTS), MOMENTS_OF_READING)
@settings(max_examples=drawn(1_500), deadline=None)
def test_no_header_raises_or_asks_for_what_is_no_wait(headers: dict[str, str], at: datetime) -> None:
    wait = retry_after_s(headers, at)
    assert wait is None or 0 <= wait <= LONGEST_WAIT_S
    for budget in read_budgets(headers, at):
        check_bounds(budget)
    said = read_signal(headers)
    assert said.rps is None or 0.01 <= said.rps <= 100_000
    assert said.max_concurrent is None or 1 <= said.max_concurrent <= 1_000_000


def check_bounds(budget: Budget) -> None:
    for amount in (budget.limit, budget.window_s, budget.remaining, budget.reset_s):
        assert amount is None or (math.isfinite(amount) and amount >= 0)
    assert budget.limit is None or budget.limit > 0
    assert budget.window_s is None or budget.window_s > 0
    assert budget.reset_s is None or budget.reset_s <= LONGEST_RESET_S


LINES = st.lists(
    st.sampled_from(["7", "2", "9.5s", "soon", "-1", "", "0", "Thu, 20 Nov 2025 21:30:08 GMT"]),
    min_size=1,
    max_size=12,
)


@given(LINES, st.sampled_from(["\n", ", ", ","]))
@settings(max_examples=drawn(300), deadline=None)
def test_more_lines_never_make_a_wait_shorter_or_a_pace_faster(said: list[str], separator: str) -> None:
    alone = [retry_after_s({"retry-after": text}, NOW) for text in said]
    together = retry_after_s({"retry-after": separator.join(said)}, NOW)
    assert together == max((wait for wait in alone if wait is not None), default=None)
    paces = [read_signal({"x-ezthrottle-rps": text}).rps for text in said]
    pace = read_signal({"x-ezthrottle-rps": separator.join(said)}).rps
    assert pace == min((rps for rps in paces if rps is not None), default=None)


class Says:
    """A target that says the same in each answer, and each line of it apart."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self._answer = HttpResponse(status=status, headers=headers, body=b"")

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        return self._answer


@given(st.dictionaries(st.sampled_from(NAMES), TEXTS), st.sampled_from([200, 403, 429, 503]), st.booleans())
@settings(max_examples=drawn(300), deadline=None)
def test_no_header_holds_a_target_for_ever(headers: dict[str, str], status: int, account: bool) -> None:
    outlet = Outlet(Says(status, headers), pace=Pace(2.0, 1))
    outlet.put(2, account="a" if account else None)
    outlet.run(LONGEST_RESET_S + 2 / RPS_LEAST)
    assert len(outlet.starts) == 2
