"""How times, counts and sizes read."""

import pytest

from orchestrator.adapters.http.console.wording import MANY, counted, moment, rate, size, span
from orchestrator.domain.histogram import SECONDS, quantile


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (None, "—"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1_250, "1.2 s"),
        (12_600, "13 s"),
        (61_000, "1 min 1 s"),
        (3_600_000, "1 h"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_a_span_is_told_in_its_largest_units(ms: int | None, told: str) -> None:
    assert span(ms) == told


def test_what_was_not_counted_to_its_end_says_so() -> None:
    assert [counted(0), counted(MANY), counted(MANY + 1)] == ["0", "10,000", "10,000+"]


def test_rates_and_sizes_have_three_digits() -> None:
    assert [rate(None), rate(0.5), rate(12.345), rate(1234.5)] == ["—", "0.5", "12.3", "1,234"]
    assert [size(12), size(2048), size(3 << 20)] == ["12 B", "2 KiB", "3 MiB"]


def test_a_moment_is_utc_for_machines_and_people() -> None:
    assert moment(None) == "—"
    assert 'datetime="1970-01-01T00:00:01.500+00:00"' in moment(1_500)
    assert "1970-01-01 00:00:01 UTC" in moment(1_500)


def test_a_quantile_lies_within_its_bucket() -> None:
    nothing = [0] * (len(SECONDS) + 1)
    assert quantile(nothing, 0.5) is None
    one_bucket = [*nothing]
    one_bucket[3] = 10
    half = quantile(one_bucket, 0.5)
    assert half is not None
    assert SECONDS[2] < half <= SECONDS[3]
    beyond = [*nothing]
    beyond[-1] = 1
    assert quantile(beyond, 0.99) == SECONDS[-1]
