from typing import Any

import pytest

from orchestrator.domain.jobs.job import Fallback, JobSpec, RetryPolicy, Trigger, Webhook
from orchestrator.domain.jobs.policies import ExecutionMode, Guarantee
from orchestrator.domain.jobs.submission import HOP_BY_HOP, check_submission, check_url, warnings
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from tests.unit.domain.builders import IAD, LAX, NOW_MS, ORD, REGIONS, SEA, a_spec

YEAR_MS = 366 * 24 * 3600 * 1000


def problems(bounds: SubmissionBounds | None = None, **fields: Any) -> dict[str, str]:
    errors = check_submission(
        a_spec(**fields), known_regions=REGIONS, bounds=bounds or SubmissionBounds(), now_ms=NOW_MS
    )
    return {error.field: error.message for error in errors}


def webhook(url: str = "https://hooks.example.com/", **fields: Any) -> Webhook:
    return Webhook(url=url, **fields)


def test_a_plain_submission_is_right() -> None:
    assert problems() == {}


def test_everything_that_is_wrong_is_named_at_once() -> None:
    found = problems(
        url="ftp://example.com/",
        headers=(("Host", "other"),),
        regions=(SEA,),
        webhooks=(webhook("nonsense"),),
        webhook_quorum=2,
        idempotent_key="",
        retry_at=NOW_MS + YEAR_MS + 1,
    )
    assert sorted(found) == [
        "headers.Host",
        "idempotent_key",
        "regions",
        "retry_at",
        "url",
        "webhook_quorum",
        "webhooks.0.url",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "http://api.example.com:8080/a/b?c=d&e=%20#f",
        "HTTP://EXAMPLE.COM/",
        "https://user:p%40ss@example.com/",
        "http://[2001:db8::7]:8080/",
        "http://xn--zo-jka.example/",
        "http://127.1/",
        "http://0x7f000001:8080/",
        "http://[::ffff:203.0.113.7]/",
        "http://us%C3%A9r:p%3Ass%E2%82%AC@example.com/",
        "http://example.com/a'b(c)*!;,",
        "http://a_container-1.internal./",
        "http://" + ".".join(["a" * 63] * 3) + "/",
    ],
)
def test_a_url_that_can_be_called_is_right(url: str) -> None:
    assert check_url("url", url, SubmissionBounds()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "/path",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://:80/",
        "http://example.com:99999/",
        "http://example.com:http/",
        "http://exa mple.com/",
        "http://example.com/a b",
        " http://example.com/",
        "http://example.com/\n",
        "http://exam\tple.com/",
        "http://example.com/\x00",
        "http://example.com/\x7f",
        "http://ex\u00e4mple.com/",
        "http://example.com/\u2603",
        "http://[::1",
        "http://[::g]/",
        "http://good.example\\@evil.example/",
        "http://example.com/\ud800",
        "http://%31%32%37.0.0.1/",
        "http://example.com%00.evil.example/",
        "http://a..example/",
        "http://.example/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 127 + "example/",
        "http://[v1.a]/",
        "http://example.com:0/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[::1%]/",
        "http://256.0.0.1/",
        "http://1.2.3.4.5/",
        "http://08.0.0.1/",
        "http://host.7/",
        "http://0x/",
        "http://user%3Aname:pass@example.com/",
    ],
)
def test_a_url_that_cannot_be_called_is_named_with_its_field(url: str) -> None:
    assert [error.field for error in check_url("webhooks.3.url", url, SubmissionBounds())] == [
        "webhooks.3.url"
    ]


@pytest.mark.parametrize("url", ["203.0.113.7", "javascript:alert(1)", "file:///etc/passwd", "example.com/a"])
def test_a_url_without_http_is_told_what_to_begin_with(url: str) -> None:
    assert [error.message for error in check_url("url", url, SubmissionBounds())] == [
        "must begin with http:// or https://"
    ]


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_headers_of_the_connection_are_refused_in_any_case(name: str) -> None:
    assert list(problems(headers=((name.title(), "x"),))) == [f"headers.{name.title()}"]


@pytest.mark.parametrize(
    "value", ["a\r\nX: y", "a\nb", "a\rb", "\x00", "\x7f", "\x08", "Zoë", "\ud800", "\u2028"]
)
def test_a_header_value_that_could_break_the_request_is_refused(value: str) -> None:
    assert list(problems(headers=(("X-A", value),))) == ["headers.X-A"]


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\r\nb", "(a)", "ä", "a\n"])
def test_a_header_name_that_is_no_token_is_refused(name: str) -> None:
    (field,) = problems(headers=((name, "x"),))
    assert field.startswith("headers.")
    assert field.isprintable()


def test_ordinary_headers_are_right_tabs_and_empty_values_among_them() -> None:
    headers = (("X-A", "a\tb"), ("X-B", ""), ("Authorization", "Bearer x"), ("content-type", "text/plain"))
    assert problems(headers=headers) == {}


def test_headers_are_bounded_in_number_and_size() -> None:
    bounds = SubmissionBounds(headers=2, header_bytes=20)
    assert problems(bounds, headers=(("a", "x"), ("b", "y"))) == {}
    assert problems(bounds, headers=(("a", "x"), ("b", "y"), ("c", "z"))) == {
        "headers": "holds more than 2 headers"
    }
    assert problems(bounds, headers=(("a", "x" * 20),)) == {"headers": "is larger than 20 bytes in all"}


def test_an_unknown_region_is_refused_by_naming_the_known_ones() -> None:
    assert problems(regions=(IAD, SEA)) == {"regions": "unknown region 'sea'; known are iad, lax, ord"}


def test_a_webhooks_unknown_region_is_refused_too() -> None:
    found = problems(webhooks=(webhook(regions=(LAX,)), webhook(regions=(SEA,))))
    assert found == {"webhooks.1.regions": "unknown region 'sea'; known are iad, lax, ord"}


def test_regions_are_bounded_in_number() -> None:
    assert problems(SubmissionBounds(regions=2), regions=(IAD, LAX, ORD)) == {
        "regions": "names more than 2 regions"
    }


def test_receivers_are_bounded_in_number() -> None:
    assert problems(SubmissionBounds(webhooks=1), webhooks=(webhook(), webhook())) == {
        "webhooks": "more than 1 receivers in one submission"
    }


@pytest.mark.parametrize(
    ("votes", "quorum", "right"),
    [
        ((), 1, True),
        ((), 2, False),
        ((True,), 1, True),
        ((True,), 2, False),
        ((False,), 1, True),
        ((False, False), 2, False),
        ((True, False), 2, False),
        ((True, True), 2, True),
    ],
)
def test_a_quorum_needs_as_many_voters_and_one_always_passes(
    votes: tuple[bool, ...], quorum: int, right: bool
) -> None:
    webhooks = tuple(webhook(has_quorum_vote=vote) for vote in votes)
    found = problems(webhooks=webhooks, webhook_quorum=quorum)
    assert list(found) == ([] if right else ["webhook_quorum"])


@pytest.mark.parametrize("key", ["k", "k" * 512, "Zoë 🎉", "a b"])
def test_a_key_is_up_to_512_characters(key: str) -> None:
    assert problems(idempotent_key=key) == {}


@pytest.mark.parametrize("key", ["", "k" * 513, "a\nb", "\x00", "\x7f", "\x85"])
def test_a_key_that_is_empty_long_or_holds_control_characters_is_refused(key: str) -> None:
    assert list(problems(idempotent_key=key)) == ["idempotent_key"]


@pytest.mark.parametrize("retry_at", [978_307_200_000, NOW_MS - 1, NOW_MS, NOW_MS + YEAR_MS])
def test_a_start_up_to_a_year_ahead_is_right(retry_at: int) -> None:
    assert problems(retry_at=retry_at) == {}


@pytest.mark.parametrize("retry_at", [0, 1, NOW_MS // 1_000, 4_102_444_800, 978_307_199_999])
def test_a_start_given_in_seconds_is_refused_by_naming_the_unit(retry_at: int) -> None:
    assert "milliseconds" in problems(retry_at=retry_at)["retry_at"]


def test_a_start_given_in_microseconds_is_refused_by_naming_the_unit() -> None:
    assert "milliseconds" in problems(retry_at=NOW_MS * 1_000)["retry_at"]


def test_at_most_once_runs_in_one_region() -> None:
    assert list(problems(guarantee=Guarantee.AT_MOST_ONCE, regions=(IAD, LAX))) == ["regions"]
    assert problems(guarantee=Guarantee.AT_MOST_ONCE, regions=(IAD,)) == {}


def test_metadata_is_bounded_in_size() -> None:
    bounds = SubmissionBounds(metadata_bytes=20)
    assert problems(bounds, metadata={"a": "x" * 12}) == {}
    assert problems(bounds, metadata={"a": "x" * 13}) == {"metadata": "is larger than 20 bytes"}


def test_metadata_counts_as_the_bytes_that_it_is_sent_in() -> None:
    bounds = SubmissionBounds(metadata_bytes=20)
    assert problems(bounds, metadata={"a": "水" * 4}) == {}
    assert problems(bounds, metadata={"a": "水" * 5}) == {"metadata": "is larger than 20 bytes"}


@pytest.mark.parametrize("path", ["", "webhooks.0."])
def test_urls_are_bounded_in_length(path: str) -> None:
    long = "https://a.example.com/" + "x" * (8 * 2**10)
    fields: dict[str, Any] = {"webhooks": (Webhook(url=long),)} if path else {"url": long}
    assert problems(**fields) == {f"{path}url": "is longer than 8192 bytes"}
    assert (
        problems(
            **{**fields, **({"webhooks": (Webhook(url=long[:8192]),)} if path else {"url": long[:8192]})}
        )
        == {}
    )


@pytest.mark.parametrize("name", ["X-EZThrottle-Job-Id", "x-ezthrottle-attempt", "X-EZTHROTTLE-REGION"])
def test_the_marks_of_the_service_are_its_own(name: str) -> None:
    assert list(problems(headers=((name, "mine"),))) == [f"headers.{name}"]


@pytest.mark.parametrize("child", ["on_success", "on_failure"])
def test_children_of_a_fallback_are_warned_of_for_they_do_not_run(child: str) -> None:
    step = Fallback(Trigger(), a_spec(**{child: a_spec()}))
    (warning,) = warnings(a_spec(on_failure=a_spec(fallback=step)), signed=True)
    assert "of on_failure.fallback_job are not run" in warning
    assert warnings(a_spec(fallback=Fallback(Trigger(), a_spec()), **{child: a_spec()}), signed=True) == []


def test_the_bounds_are_the_contracts() -> None:
    assert SubmissionBounds() == SubmissionBounds(
        body_bytes=2**20,
        json_depth=32,
        chain_depth=16,
        jobs=64,
        webhooks=20,
        regions=16,
        headers=100,
        header_bytes=16 * 2**10,
        url_bytes=8 * 2**10,
        metadata_bytes=64 * 2**10,
        repeats=100,
        retry_at_ahead_ms=YEAR_MS,
    )


def test_retries_and_reroutes_are_bounded_and_named() -> None:
    bounds = SubmissionBounds(repeats=5)
    policy = RetryPolicy(max_retries=6, max_reroutes=5)
    assert problems(bounds, retry_policy=policy) == {"retry_policy.max_retries": "must be at most 5"}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_race_that_may_execute_once_per_region_is_warned_of(method: str) -> None:
    (warning,) = warnings(a_spec(method=method, regions=REGIONS), signed=True)
    assert method in warning
    assert "Idempotency-Key" in warning


def test_whatever_cannot_execute_twice_by_racing_is_not_warned_of() -> None:
    assert warnings(a_spec(method="PUT", regions=REGIONS), signed=True) == []
    assert warnings(a_spec(method="POST"), signed=False) == []
    assert (
        warnings(a_spec(method="POST", regions=REGIONS, execution_mode=ExecutionMode.FANOUT), signed=True)
        == []
    )


TOLD = a_spec(webhooks=(Webhook(url="https://a.example/"),))


@pytest.mark.parametrize(
    "spec",
    [
        TOLD,
        a_spec(on_success=TOLD),
        a_spec(on_failure=a_spec(on_success=TOLD)),
        a_spec(fallback=Fallback(Trigger(), a_spec(on_failure=TOLD))),
    ],
)
def test_webhooks_that_go_out_unsigned_are_warned_of(spec: JobSpec) -> None:
    assert [warning for warning in warnings(spec, signed=False) if "unsigned" in warning]
    assert not [warning for warning in warnings(spec, signed=True) if "unsigned" in warning]
