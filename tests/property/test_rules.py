"""Rules that must hold for whatever strangers send."""

import math
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.execution.retry import backoff_ms
from orchestrator.domain.headers.signals import (
    CONCURRENT_MOST,
    RPS_LEAST,
    RPS_MOST,
    Signal,
    read_signal,
    retry_after_s,
)
from orchestrator.domain.ids import CustomerId, target_domain
from orchestrator.domain.jobs.idempotency import content_key, payload_bytes
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.domain.jobs.spec_record import spec_from_record, spec_to_record
from orchestrator.domain.jobs.submission import check_url
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from orchestrator.domain.pace.pacing import Pace, PaceCaps, PaceState, steer
from orchestrator.domain.webhooks.fanout import OFFSETS_S, Schedule
from tests.property.strategies import CUSTOMERS, SPECS, TEXT
from tests.support.long import drawn

PACING_HEADERS = [
    f"x-{brand}-{what}" for brand in ("ezthrottle", "aqueduct") for what in ("rps", "max-concurrent")
]
ODD_TEXT = (
    st.text(max_size=60) | st.floats().map(str) | st.integers().map(str) | st.from_regex(r"[0-9eE+._-]+")
)
NOW = datetime(2025, 11, 20, tzinfo=UTC)
PARTS = st.tuples(st.text(max_size=3), st.text(max_size=3), st.text(max_size=3), CUSTOMERS)


@given(st.dictionaries(st.sampled_from(PACING_HEADERS), ODD_TEXT))
@settings(max_examples=drawn(300), deadline=None)
def test_a_signal_is_in_bounds_whatever_a_target_says(headers: dict[str, str]) -> None:
    signal = read_signal(headers)
    assert signal.rps is None or RPS_LEAST <= signal.rps <= RPS_MOST
    assert signal.max_concurrent is None or 1 <= signal.max_concurrent <= CONCURRENT_MOST


@given(
    st.lists(
        st.builds(
            Signal,
            rps=st.none() | st.floats(RPS_LEAST, RPS_MOST),
            max_concurrent=st.none() | st.integers(1, CONCURRENT_MOST),
        )
    )
)
@settings(max_examples=drawn(200), deadline=None)
def test_whatever_a_target_says_in_turn_its_pace_stays_under_the_caps_and_can_be_kept(
    signals: list[Signal],
) -> None:
    base, caps = Pace(), PaceCaps(rps=50.0, max_concurrent=20)
    state = PaceState(base)
    for signal in signals:
        state = steer(state, signal, base=base, caps=caps, now=5.0)
        assert 0 < state.pace.rps <= 50.0
        assert 1 <= state.pace.max_concurrent <= 20
        lowered = state.pace.rps < base.rps or state.pace.max_concurrent < base.max_concurrent
        assert (state.lapses_at is not None) == lowered


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{3,10} \S{1,9}"))
@settings(max_examples=drawn(400), deadline=None)
def test_retry_after_is_a_wait_or_nothing_whatever_a_target_says(text: str) -> None:
    seconds = retry_after_s({"retry-after": text}, NOW)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@given(st.integers(0, 10**9), st.none() | st.floats(0, 1e18), st.floats(0, 0.999_999))
def test_a_backoff_is_a_wait_of_a_day_and_a_little_at_most(
    repeats: int, retry_after: float | None, jitter: float
) -> None:
    assert 0 <= backoff_ms(repeats, retry_after, jitter) <= 1.125 * 24 * 3600 * 1000


@given(
    st.lists(
        st.tuples(st.none() | st.floats(0, 1e9), st.floats(0, 0.999), st.integers(0, 10**7)), min_size=20
    )
)
@settings(max_examples=drawn(100), deadline=None)
def test_a_delivery_is_tried_again_later_and_not_for_ever(
    attempts: list[tuple[float | None, float, int]],
) -> None:
    now_ms, used = 0, 1
    for retry_after, jitter, delay_ms in attempts:
        following = Schedule().next_attempt(used, 0, now_ms, retry_after_s=retry_after, jitter=jitter)
        if following is None:
            break
        index, at_ms = following
        assert index >= used
        assert at_ms >= OFFSETS_S[index] * 1_000
        now_ms, used = max(now_ms, at_ms) + delay_ms, index + 1
    assert used == len(OFFSETS_S)


@given(PARTS, PARTS)
@settings(max_examples=drawn(300), deadline=None)
def test_no_two_submissions_share_a_key_unless_they_are_the_same(
    one: tuple[str, str, str, CustomerId], other: tuple[str, str, str, CustomerId]
) -> None:
    keys = [content_key(customer, url, method, body) for url, method, body, customer in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


@given(TEXT, st.data())
@settings(max_examples=drawn(200), deadline=None)
def test_no_other_split_of_the_same_text_has_the_same_key(text: str, data: st.DataObject) -> None:
    cuts = [sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 3))) for _ in range(2)]
    splits = [(text[:a], text[a:b], text[b:c], CustomerId(text[c:])) for a, b, c in cuts]
    keys = {content_key(customer, url, method, body) for url, method, body, customer in splits}
    assert len(keys) == len(set(splits))


@given(SPECS)
@settings(max_examples=drawn(100), deadline=None)
def test_a_spec_comes_back_from_its_record(spec: JobSpec) -> None:
    assert spec_from_record(spec_to_record(spec)) == spec


@given(SPECS)
@settings(max_examples=drawn(60), deadline=None)
def test_a_stored_spec_asks_for_the_same_as_the_one_that_came(spec: JobSpec) -> None:
    assert payload_bytes(spec_from_record(spec_to_record(spec))) == payload_bytes(spec)


@given(st.text(max_size=60) | st.from_regex(r"https?://[^/]{0,30}/?"))
@settings(max_examples=drawn(400), deadline=None)
def test_a_url_is_refused_or_has_a_domain_whatever_it_is(url: str) -> None:
    if not check_url("url", url, SubmissionBounds()):
        assert target_domain(url)
