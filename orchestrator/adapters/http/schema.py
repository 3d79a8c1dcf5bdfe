"""The submission as it arrives: types and ranges of single fields. Rules over several fields are in
``domain.submission``.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from orchestrator.domain.errors import FieldError, InvalidFields
from orchestrator.domain.ids import RegionName
from orchestrator.domain.job import (
    DEFAULT_DEADLINE_MS,
    DEFAULT_PRIORITY,
    DEFAULT_TIMEOUT_MS,
    ExecutionMode,
    Fallback,
    Guarantee,
    JobSpec,
    RegionPolicy,
    RetryPolicy,
    Trigger,
    TriggerKind,
    Webhook,
    with_one_guarantee,
)
from orchestrator.domain.submission import METHODS
from orchestrator.domain.submission_bounds import CHAIN_DEPTH_READ, ITEMS_READ, JOBS_READ, TIMEOUT_MS_MOST

SAFE_INT_MOST = 2**53
"""Beyond it, whole numbers of JSON are not exact to every reader (RFC 8259, 6)."""
WARNINGS_MOST = 50
REDELIVER_MOST = 10_000
_POLICY = RetryPolicy()


def _few(value: object) -> object:
    if isinstance(value, dict) and len(value) > ITEMS_READ:
        msg = f"should have at most {ITEMS_READ} items"
        raise ValueError(msg)
    return value


Code = Annotated[int, Field(ge=100, le=599)]
Codes = Annotated[list[Code], Field(max_length=ITEMS_READ)]
Names = Annotated[list[str], Field(max_length=ITEMS_READ)]
Headers = Annotated[dict[str, str], BeforeValidator(_few)]
Count = Annotated[int, Field(ge=0, le=SAFE_INT_MOST)]
Secret = Annotated[str, Field(min_length=16, max_length=512)]
Mode = Annotated[ExecutionMode, Field(strict=False)]
Policy = Annotated[RegionPolicy, Field(strict=False)]
Assurance = Annotated[Guarantee, Field(strict=False)]


def _twin(name: str) -> AliasChoices:
    return AliasChoices(name, to_camel(name))


class _Model(BaseModel):
    """Strict types; each field is read under its camelCase twin too, as the Go and Node SDKs send it."""

    model_config = ConfigDict(
        strict=True, extra="ignore", alias_generator=AliasGenerator(validation_alias=_twin)
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: object) -> object:
        # A null counts as a field that is not there: that is how some SDKs leave one out.
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if item is not None}
        return value


class WebhookIn(_Model):
    """A receiver of the result."""

    url: str
    regions: Names = Field(default_factory=list)
    has_quorum_vote: bool = True


class RetryPolicyIn(_Model):
    """How often, and on which codes, a job is repeated or moved."""

    max_retries: Count = _POLICY.max_retries
    max_reroutes: Count = _POLICY.max_reroutes
    retry_codes: Codes = sorted(_POLICY.retry_codes)
    reroute_codes: Codes = sorted(_POLICY.reroute_codes)


class SubmissionIn(_Model):
    """One job."""

    url: str
    method: str = "GET"
    headers: Headers = Field(default_factory=dict)
    body: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    webhooks: list[WebhookIn] = Field(default_factory=list, max_length=ITEMS_READ)
    webhook_quorum: Annotated[int, Field(ge=1)] = 1
    regions: Names = Field(default_factory=list)
    region_policy: Policy = RegionPolicy.FALLBACK
    execution_mode: Mode = ExecutionMode.RACE
    retry_policy: RetryPolicyIn | None = None
    on_failure_timeout_ms: Annotated[int, Field(ge=1, le=SAFE_INT_MOST)] | None = None
    idempotent_key: str | None = None
    retry_at: Annotated[int, Field(ge=0, le=SAFE_INT_MOST)] | None = None
    priority: Annotated[int, Field(ge=0, le=9)] = DEFAULT_PRIORITY
    timeout_ms: Annotated[int, Field(ge=1, le=TIMEOUT_MS_MOST)] = DEFAULT_TIMEOUT_MS
    deadline_ms: Annotated[int, Field(ge=1, le=SAFE_INT_MOST)] = DEFAULT_DEADLINE_MS
    guarantee: Assurance = Guarantee.AT_LEAST_ONCE
    cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    account: Annotated[str, Field(max_length=256)] | None = None
    fallback_job: dict[str, Any] | None = None
    on_success: dict[str, Any] | None = None
    on_failure: dict[str, Any] | None = None


class BatchIn(_Model):
    """Many jobs at once. For the description only: a batch is read job by job."""

    jobs: list[SubmissionIn]


class FallbackIn(SubmissionIn):
    """A step of the same job, and what begins it."""

    trigger: dict[str, Any] = {}


class TriggerIn(_Model):
    """When a fallback begins; an empty one matches any failure."""

    type: Literal["any", "on_error", "on_timeout"] = "any"
    codes: Codes = []
    timeout_ms: Annotated[int, Field(ge=1, le=SAFE_INT_MOST)] | None = None


class SecretsIn(_Model):
    """A customer's signing secrets."""

    primary_secret: Secret
    secondary_secret: Secret | None = None


class RotateIn(_Model):
    """The secret that becomes primary."""

    new_secret: Secret


class RedeliverIn(_Model):
    """Which failed deliveries are made again: all, one, an endpoint's, some time's (Unix ms)."""

    webhook_id: Annotated[str, Field(max_length=128)] | None = None
    endpoint: Annotated[str, Field(max_length=512)] | None = None
    since: Annotated[int, Field(ge=0, le=SAFE_INT_MOST)] | None = None
    until: Annotated[int, Field(ge=0, le=SAFE_INT_MOST)] | None = None
    limit: Annotated[int, Field(ge=1, le=REDELIVER_MOST)] = REDELIVER_MOST


class ProxyIn(_Model):
    """The envelope that the published SDKs send."""

    target_url: str
    method: Literal["GET", "POST", "DELETE"] = "POST"
    headers: Headers = {}
    body: str = ""


_T = TypeVar("_T")
_M = TypeVar("_M", bound=_Model)


def read_model(kind: type[_M], document: dict[str, Any]) -> _M:
    """Read a document.

    Raises:
        InvalidFields: Fields are wrong; all are named.
    """
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise InvalidFields([_field_error(detail) for detail in error.errors(include_input=False)]) from None


def read_submission(document: dict[str, Any], default_region: RegionName) -> tuple[JobSpec, list[str]]:
    """Read one job with its fallbacks and children, and name the fields that nobody knows.

    Raises:
        InvalidFields: Fields are wrong; all are named.

    """
    ignored: list[str] = []
    spec = _Reader(default_region, ignored).job(SubmissionIn, document, "")
    return spec, ignored


class _Reader:
    """Reads a job and what is nested in it; ``path`` is where in the submission that stands."""

    def __init__(self, default_region: RegionName, ignored: list[str]) -> None:
        self._default_region = default_region
        self._ignored = ignored
        self._jobs = 0

    def job(self, kind: type[SubmissionIn], document: dict[str, Any], path: str) -> JobSpec:
        self._jobs += 1
        if path.count(".") > CHAIN_DEPTH_READ or self._jobs > JOBS_READ:
            raise InvalidFields([FieldError(path.rstrip("."), "is one job too many, or nested too deep")])
        model = _at(path, lambda: _read_single(kind, document))
        unknown = _unknown_in_submission(kind, document)[: WARNINGS_MOST - len(self._ignored)]
        self._ignored += [f"unknown field {path + name!r} was ignored" for name in unknown]
        spec = _spec(
            model,
            self._default_region,
            fallback=self._fallback(model.fallback_job, f"{path}fallback_job."),
            on_success=self._child(model.on_success, f"{path}on_success."),
            on_failure=self._child(model.on_failure, f"{path}on_failure."),
        )
        return with_one_guarantee(spec)

    def _child(self, document: dict[str, Any] | None, path: str) -> JobSpec | None:
        return None if document is None else self.job(SubmissionIn, document, path)

    def _fallback(self, document: dict[str, Any] | None, path: str) -> Fallback | None:
        if document is None:
            return None
        given = document.get("trigger") or {}
        if not isinstance(given, dict):
            raise InvalidFields([FieldError(f"{path}trigger", "should be an object")])
        trigger = _at(f"{path}trigger.", lambda: _trigger(read_model(TriggerIn, given)))
        return Fallback(trigger, self.job(FallbackIn, document, path))


def _read_single(kind: type[SubmissionIn], document: dict[str, Any]) -> SubmissionIn:
    model = read_model(kind, document)
    if model.method.upper() not in METHODS:
        raise InvalidFields([FieldError("method", f"must be one of {', '.join(METHODS)}")])
    return model


def _trigger(model: TriggerIn) -> Trigger:
    kind = TriggerKind(model.type)
    if kind is TriggerKind.ON_ERROR and not model.codes:
        raise InvalidFields([FieldError("codes", "on_error needs the status codes that it waits for")])
    if kind is TriggerKind.ON_TIMEOUT and model.timeout_ms is None:
        raise InvalidFields([FieldError("timeout_ms", "on_timeout needs the time after which it begins")])
    return Trigger(kind=kind, codes=frozenset(model.codes), timeout_ms=model.timeout_ms or 0)


def _at(path: str, read: Callable[[], _T]) -> _T:
    """Read something nested: what is wrong there is named from the top."""
    try:
        return read()
    except InvalidFields as error:
        raise InvalidFields([FieldError(path + e.field, e.message) for e in error.errors]) from None


def unknown_fields(kind: type[BaseModel], document: dict[str, Any]) -> list[str]:
    """Name the fields of a document that a model does not have."""
    known = _known_fields(kind)
    return [name[:100] for name in document if name not in known]


def _unknown_in_submission(kind: type[SubmissionIn], document: dict[str, Any]) -> list[str]:
    webhooks = enumerate(document.get("webhooks") or ())
    policy = document.get("retry_policy") or document.get("retryPolicy") or {}
    return [
        *unknown_fields(kind, document),
        *(f"webhooks.{i}.{name}" for i, webhook in webhooks for name in unknown_fields(WebhookIn, webhook)),
        *(f"retry_policy.{name}" for name in unknown_fields(RetryPolicyIn, policy)),
    ]


@cache
def _known_fields(kind: type[BaseModel]) -> frozenset[str]:
    return frozenset(alias for name in kind.model_fields for alias in (name, to_camel(name)))


def _spec(
    model: SubmissionIn,
    default_region: RegionName,
    *,
    fallback: Fallback | None,
    on_success: JobSpec | None,
    on_failure: JobSpec | None,
) -> JobSpec:
    policy = model.retry_policy
    return JobSpec(
        url=model.url,
        method=model.method.upper(),
        headers=tuple(model.headers.items()),
        body=model.body,
        metadata=model.metadata,
        webhooks=tuple(_webhook(webhook) for webhook in model.webhooks),
        webhook_quorum=model.webhook_quorum,
        regions=_regions(model.regions) or (default_region,),
        region_policy=model.region_policy,
        execution_mode=model.execution_mode,
        retry_policy=_retry_policy(policy) if policy else None,
        fallback=fallback,
        on_success=on_success,
        on_failure=on_failure,
        on_failure_timeout_ms=model.on_failure_timeout_ms,
        idempotent_key=model.idempotent_key,
        retry_at=model.retry_at,
        priority=model.priority,
        timeout_ms=model.timeout_ms,
        deadline_ms=model.deadline_ms,
        guarantee=model.guarantee,
        cost=model.cost,
        account=model.account,
    )


def _webhook(webhook: WebhookIn) -> Webhook:
    return Webhook(
        url=webhook.url, regions=_regions(webhook.regions), has_quorum_vote=webhook.has_quorum_vote
    )


def _retry_policy(policy: RetryPolicyIn) -> RetryPolicy:
    return RetryPolicy(
        max_retries=policy.max_retries,
        max_reroutes=policy.max_reroutes,
        retry_codes=frozenset(policy.retry_codes),
        reroute_codes=frozenset(policy.reroute_codes),
    )


def _regions(names: list[str]) -> tuple[RegionName, ...]:
    return tuple(RegionName(name) for name in dict.fromkeys(names))


def _field_error(detail: Any) -> FieldError:
    path = ".".join(str(part)[:100] for part in detail["loc"])
    if detail["type"] in _WORDS:
        return FieldError(path, _WORDS[detail["type"]])
    message = re.sub(r"^(Input|String|List|Dictionary) should", "should", detail["msg"])
    return FieldError(path, message.removeprefix("Value error, "))


_WORDS = {
    "missing": "is required",
    "model_type": "should be an object",
    "dict_type": "should be an object",
    "list_type": "should be a list",
    "string_type": "should be a string",
    "int_type": "should be a whole number",
    "bool_type": "should be true or false",
}
