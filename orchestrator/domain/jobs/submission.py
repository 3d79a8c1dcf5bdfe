"""Rules on a submission that need more than one field, or the service's own settings."""

import json
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from orchestrator.domain.errors import FieldError
from orchestrator.domain.hosts import ends_in_a_number, literal_address
from orchestrator.domain.ids import URLS_REMEMBERED, RegionName, target_domain
from orchestrator.domain.jobs.job import DEFAULT_HEDGE, JobSpec, TriggerKind
from orchestrator.domain.jobs.retention import DAY_MS
from orchestrator.domain.jobs.submission_bounds import KEY_LENGTH_MOST, SubmissionBounds
from orchestrator.domain.requests.our_headers import ATTEMPT_HEADER, JOB_ID_HEADER, REGION_HEADER
from orchestrator.domain.requests.url_credentials import user_has_colon

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to a connection and not to a request (RFC 9110, 7.6.1), and those that the
client on the wire writes itself."""
OUR_MARKS = frozenset(name.lower() for name in (JOB_ID_HEADER, ATTEMPT_HEADER, REGION_HEADER))

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
MS_OF_2001 = 978_307_200_000
"""Earlier times are seconds that were taken for milliseconds: those of today lie in January 1970."""
HOST_LONGEST = 254
"""Characters of a name in DNS, with a dot at its end."""
_HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_submission(
    spec: JobSpec, *, known_regions: Sequence[RegionName], bounds: SubmissionBounds, now_ms: int
) -> list[FieldError]:
    """List everything that is wrong with a submission, its fallbacks and children included."""
    parts = spec.parts()
    errors = _check_size(parts, bounds)
    for path, part in parts:
        found = _check_part(part, known_regions, bounds, now_ms)
        errors += [FieldError(f"{path}{error.field}", error.message) for error in found]
    return errors


_UNSIGNED = (
    "no webhook secret is stored: webhooks go out unsigned until POST /api/v1/webhook-secrets stores one"
)

_NO_HEDGE = "hedge says nothing where execution_mode is not hedge, or there is one region"


def warnings(spec: JobSpec, *, signed: bool) -> list[str]:
    """Say what a customer may not expect of a valid submission. ``signed``: it has a webhook secret."""
    parts = spec.parts()
    racing = [part for _, part in parts if part.redundant and not part.idempotent_method]
    childless = [path for path, part in parts if part.fallback and part.fallback.spec.has_children]
    return [
        *(
            f"a {part.execution_mode} of {part.method} may execute once per region: "
            "the target gets one Idempotency-Key for all"
            for part in racing[:1]
        ),
        *(
            f"on_success and on_failure of {path}fallback_job are not run: "
            "it is a step of its job, whose own are"
            for path in childless[:1]
        ),
        *([_NO_HEDGE] if any(_hedges_nothing(part) for _, part in parts) else []),
        *([] if signed or not spec.has_webhooks else [_UNSIGNED]),
    ]


def _hedges_nothing(spec: JobSpec) -> bool:
    hedges = spec.execution_mode.conduct.when_late and len(spec.regions) > 1
    return spec.hedge != DEFAULT_HEDGE and not hedges


def _check_size(parts: list[tuple[str, JobSpec]], bounds: SubmissionBounds) -> list[FieldError]:
    errors = []
    if len(parts) > bounds.jobs:
        errors.append(FieldError("", f"holds more than {bounds.jobs} jobs, fallbacks and children included"))
    if sum(len(part.webhooks) for _, part in parts) > bounds.webhooks:
        errors.append(FieldError("webhooks", f"more than {bounds.webhooks} receivers in one submission"))
    deep = [path for path, _ in parts if path.count(".") >= bounds.chain_depth]
    if deep:
        errors.append(FieldError(deep[0].rstrip("."), f"is nested deeper than {bounds.chain_depth} jobs"))
    return errors


def _check_part(
    spec: JobSpec, known_regions: Sequence[RegionName], bounds: SubmissionBounds, now_ms: int
) -> list[FieldError]:
    return [
        *check_url("url", spec.url, bounds),
        *_check_headers(spec, bounds),
        *_check_regions(spec, known_regions, bounds),
        *_check_webhooks(spec, known_regions, bounds),
        *_check_repeats(spec, bounds),
        *_check_key(spec),
        *_check_times(spec, bounds, now_ms),
        *_check_guarantee(spec),
        *_check_metadata(spec, bounds),
    ]


def check_url(field: str, url: str, bounds: SubmissionBounds) -> list[FieldError]:
    """Check that a URL can be called: http or https, a host, a port that exists, no control characters."""
    if len(url) > bounds.url_bytes:
        return [FieldError(field, f"is longer than {bounds.url_bytes} bytes")]
    problem = _url_problem(url)
    return [] if problem is None else [FieldError(field, problem)]


@lru_cache(URLS_REMEMBERED)
def _url_problem(url: str) -> str | None:
    if not url.lower().startswith(("http://", "https://")):
        return "must begin with http:// or https://"
    if not url.isascii():
        return "must be ASCII: percent-encode the path, use punycode for the host"
    if _CONTROL.search(url) or " " in url:
        return "must not contain spaces or control characters: percent-encode them"
    try:
        parts = urlsplit(url)
        target_domain(url)
    except ValueError as error:
        return f"is not a URL: {error}"
    if user_has_colon(url):
        return "names a user with a colon (%3A): HTTP can't tell that from where the password begins"
    return _host_problem(parts)


def _host_problem(parts: SplitResult) -> str | None:
    host = parts.hostname or ""
    if ":" in host and "%" in host:
        return "has a zone in its address: zones mean something on one machine only, leave it out"
    if "\\" in parts.netloc:
        return "must not contain a backslash in its host: readers take it for different ones"
    if "[" in parts.netloc and ":" not in host:
        return "has brackets in its host: they are for IPv6 addresses"
    if ":" not in host and (len(host) > HOST_LONGEST or not _HOST.fullmatch(host)):
        return "names a host that can't be: labels of 1 to 63 letters, digits, '-' and '_', with dots between"
    if ends_in_a_number(host) and literal_address(host) is None:
        return "names a host that ends in a number, as only addresses do, and is none"
    return "must not name port 0" if parts.port == 0 else None


def _check_headers(spec: JobSpec, bounds: SubmissionBounds) -> list[FieldError]:
    errors = []
    if len(spec.headers) > bounds.headers:
        errors.append(FieldError("headers", f"holds more than {bounds.headers} headers"))
    if sum(len(name) + len(value) for name, value in spec.headers) > bounds.header_bytes:
        errors.append(FieldError("headers", f"is larger than {bounds.header_bytes} bytes in all"))
    for name, value in spec.headers:
        if problem := _header_problem(name, value):
            errors.append(FieldError(f"headers.{_CONTROL.sub('?', name)[:100]}", problem))
    return errors


def _header_problem(name: str, value: str) -> str | None:
    if not _TOKEN.match(name):
        return "is not a header name"
    if name.lower() in HOP_BY_HOP:
        return "is set by the service's own connection: leave it out"
    if name.lower() in OUR_MARKS:
        return "is set by the service, so that the target can rely on it: leave it out"
    if _FORBIDDEN_IN_VALUE.search(value):
        return "must not contain line breaks or control characters"
    if not value.isascii():
        return "must be ASCII"
    return None


def _check_regions(spec: JobSpec, known: Sequence[RegionName], bounds: SubmissionBounds) -> list[FieldError]:
    errors = _unknown_regions("regions", spec.regions, known)
    if len(spec.regions) > bounds.regions:
        errors.append(FieldError("regions", f"names more than {bounds.regions} regions"))
    return errors


def _unknown_regions(
    field: str, named: Collection[RegionName], known: Sequence[RegionName]
) -> list[FieldError]:
    unknown = [region for region in named if region not in known]
    if not unknown:
        return []
    return [FieldError(field, f"unknown region {', '.join(unknown)!r}; known are {', '.join(known)}")]


def _check_webhooks(spec: JobSpec, known: Sequence[RegionName], bounds: SubmissionBounds) -> list[FieldError]:
    errors = []
    for index, webhook in enumerate(spec.webhooks):
        errors += check_url(f"webhooks.{index}.url", webhook.url, bounds)
        errors += _unknown_regions(f"webhooks.{index}.regions", webhook.regions, known)
    voters = sum(webhook.has_quorum_vote for webhook in spec.webhooks)
    if spec.webhook_quorum > max(1, voters):
        errors.append(
            FieldError("webhook_quorum", f"is {spec.webhook_quorum}, but only {voters} webhooks have a vote")
        )
    return errors


def _check_repeats(spec: JobSpec, bounds: SubmissionBounds) -> list[FieldError]:
    policy = spec.retry_policy
    if policy is None:
        return []
    asked = {"max_retries": policy.max_retries, "max_reroutes": policy.max_reroutes}
    return [
        FieldError(f"retry_policy.{field}", f"must be at most {bounds.repeats}")
        for field, most in asked.items()
        if most > bounds.repeats
    ]


def _check_key(spec: JobSpec) -> list[FieldError]:
    key = spec.idempotent_key
    if key is None:
        return []
    if not key or len(key) > KEY_LENGTH_MOST:
        return [FieldError("idempotent_key", f"must be 1 to {KEY_LENGTH_MOST} characters long")]
    if _CONTROL.search(key):
        return [FieldError("idempotent_key", "must not contain control characters")]
    return []


def _check_times(spec: JobSpec, bounds: SubmissionBounds, now_ms: int) -> list[FieldError]:
    if spec.retry_at is not None and spec.retry_at < MS_OF_2001:
        return [FieldError("retry_at", "lies before 2001; it is Unix time in milliseconds, not in seconds")]
    if spec.retry_at is not None and spec.retry_at > now_ms + bounds.retry_at_ahead_ms:
        days = bounds.retry_at_ahead_ms / DAY_MS
        return [
            FieldError("retry_at", f"lies more than {days:g} days ahead; it is Unix time in milliseconds")
        ]
    return []


def _check_guarantee(spec: JobSpec) -> list[FieldError]:
    if spec.guarantee.once and len(spec.regions) > 1:
        return [FieldError("regions", "at_most_once runs in one region: name one, or none")]
    late = any(trigger.kind is TriggerKind.ON_TIMEOUT for trigger in spec.triggers)
    if spec.guarantee.once and late:
        message = "at_most_once can't run beside a late step: use an on_error trigger"
        return [FieldError("fallback_job.trigger", message)]
    return []


def _check_metadata(spec: JobSpec, bounds: SubmissionBounds) -> list[FieldError]:
    if spec.metadata and len(_compact(spec.metadata).encode()) > bounds.metadata_bytes:
        return [FieldError("metadata", f"is larger than {bounds.metadata_bytes} bytes")]
    return []


_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
