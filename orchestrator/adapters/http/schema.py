"""Documents as they arrive: types and ranges of single fields. How a submission is read from them is in
``submissions``, and rules over several fields are in ``domain.jobs.submission``.
"""

import re
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
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

from orchestrator.domain.access.api_keys import DEFAULT_PLAN, LABEL_LENGTH_MOST
from orchestrator.domain.access.roles import Role
from orchestrator.domain.errors import FieldError, InvalidFields
from orchestrator.domain.headers.signals import CONCURRENT_MOST, RPS_LEAST, RPS_MOST
from orchestrator.domain.jobs.job import (
    DEFAULT_DEADLINE_MS,
    DEFAULT_HEDGE,
    DEFAULT_PRIORITY,
    DEFAULT_TIMEOUT_MS,
    BodyEncoding,
    RetryPolicy,
)
from orchestrator.domain.jobs.policies import ExecutionMode, Guarantee, RegionPolicy
from orchestrator.domain.jobs.submission import METHODS
from orchestrator.domain.jobs.submission_bounds import ITEMS_READ, TIMEOUT_MS_MOST, SubmissionBounds
from orchestrator.domain.webhooks.signing import secret_problem
from orchestrator.runtime.log_levels import Component, LogLevel

SAFE_INT_MOST = 2**53
"""Beyond it, whole numbers of JSON are not exact to every reader (RFC 8259, 6)."""
REDELIVER_MOST = 10_000
MANY_MOST = 10_000
_POLICY = RetryPolicy()


def _few(value: object) -> object:
    if isinstance(value, dict) and len(value) > ITEMS_READ:
        msg = f"should have at most {ITEMS_READ} items"
        raise ValueError(msg)
    return value


def _known_method(value: str) -> str:
    if value.upper() not in METHODS:
        msg = f"must be one of {', '.join(METHODS)}"
        raise ValueError(msg)
    return value.upper()


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _same_to_all(value: str) -> str:
    if (problem := secret_problem(value)) is not None:
        raise ValueError(problem)
    return value


Code = Annotated[int, Field(ge=100, le=999)]
"""Of an answer. Servers really send codes beyond 599, though no standard has them (RFC 9110, 15)."""
Codes = Annotated[list[Code], Field(max_length=ITEMS_READ)]
Names = Annotated[list[str], Field(max_length=ITEMS_READ)]
Headers = Annotated[dict[str, str], BeforeValidator(_few)]
Count = Annotated[int, Field(ge=0, le=SAFE_INT_MOST)]
Secret = Annotated[str, Field(min_length=16, max_length=512), AfterValidator(_same_to_all)]
Method = Annotated[str, AfterValidator(_known_method)]
Mode = Annotated[ExecutionMode, Field(strict=False)]
Policy = Annotated[RegionPolicy, Field(strict=False)]
Assurance = Annotated[Guarantee, Field(strict=False)]
Encoding = Annotated[BodyEncoding, Field(strict=False)]


def _twin(name: str) -> AliasChoices:
    return AliasChoices(name, to_camel(name))


class _Model(BaseModel):
    """Strict types; each field is read under its camelCase twin too, as the Go and Node SDKs send it."""

    model_config = ConfigDict(
        strict=True,
        extra="ignore",
        alias_generator=AliasGenerator(validation_alias=_twin),
        use_attribute_docstrings=True,
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


class HedgeIn(_Model):
    """After what share of its target's answers one is late; the most extra requests, as a share."""

    quantile: Annotated[float, Field(gt=0, lt=1)] = DEFAULT_HEDGE.quantile
    budget: Annotated[float, Field(ge=0, le=1)] = DEFAULT_HEDGE.budget


class SubmissionIn(_Model):
    """One job."""

    url: str
    """Absolute, http or https."""
    method: Method = "GET"
    headers: Headers = Field(default_factory=dict)
    """Sent as they are."""
    body: str | None = None
    """Sent as it is."""
    body_encoding: Encoding | None = None
    """How a body that is no text stands in ``body``."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Given back with the result."""
    webhooks: list[WebhookIn] = Field(default_factory=list, max_length=ITEMS_READ)
    webhook_quorum: Annotated[int, Field(ge=1)] = 1
    """How many receivers with a vote have to accept."""
    regions: Names = Field(default_factory=list)
    """Where it runs; the service's default if left out."""
    region_policy: Policy = RegionPolicy.FALLBACK
    """Whether a leg may leave the regions that are listed."""
    execution_mode: Mode = ExecutionMode.RACE
    """What several regions are for."""
    retry_policy: RetryPolicyIn | None = None
    """Without one a 429, and a 503 that names a wait, spend no retry."""
    on_failure_timeout_ms: Annotated[int, Field(ge=1, le=SAFE_INT_MOST)] | None = None
    """Past it, in ms from acceptance or ``retry_at``, the job ends failed."""
    idempotent_key: str | None = None
    """Two submissions of one are one job; made from the request if left out."""
    retry_at: Annotated[int, Field(ge=0, le=SAFE_INT_MOST)] | None = None
    """Not before, Unix ms."""
    priority: Annotated[int, Field(ge=0, le=9)] = DEFAULT_PRIORITY
    """9 goes first, within a target's queue and account."""
    timeout_ms: Annotated[int, Field(ge=1, le=TIMEOUT_MS_MOST)] = DEFAULT_TIMEOUT_MS
    """Of one attempt, ms."""
    deadline_ms: Annotated[int, Field(ge=1, le=SAFE_INT_MOST)] = DEFAULT_DEADLINE_MS
    """Past it, in ms from acceptance or ``retry_at``, the job ends failed."""
    guarantee: Assurance = Guarantee.AT_LEAST_ONCE
    """What happens when nobody can know whether an attempt took effect."""
    cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Tokens, for targets with a token budget."""
    account: Annotated[str, Field(max_length=256)] | None = None
    """Which fair queue it waits in; told from its credentials if left out."""
    hedge: HedgeIn | None = None
    """With ``execution_mode`` hedge: how late is late."""
    fallback_job: dict[str, Any] | None = None
    """A step of the same job for when this one fails: a submission with a ``trigger``."""
    on_success: dict[str, Any] | None = None
    """A submission that becomes a job of its own when this one succeeds."""
    on_failure: dict[str, Any] | None = None
    """A submission that becomes a job of its own when this one fails."""


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


class PaceIn(_Model):
    """A pace that the operator sets in place of what a target states, and of what was learned; without any
    field it is lifted. ``until_ms`` is Unix ms.
    """

    rps: Annotated[float, Field(ge=RPS_LEAST, le=RPS_MOST)] | None = None
    max_concurrent: Annotated[int, Field(ge=1, le=CONCURRENT_MOST)] | None = None
    until_ms: Annotated[int, Field(ge=1, le=SAFE_INT_MOST)] | None = None


class KeyIn(_Model):
    """An API key to be made. One of the role admin or region needs no ``customer_id``."""

    customer_id: Annotated[str, Field(max_length=64)] = ""
    plan: Annotated[str, Field(min_length=1, max_length=64)] = DEFAULT_PLAN
    role: Annotated[Role, Field(strict=False)] = Role.SUBMIT
    region: Annotated[str, Field(max_length=64)] | None = None
    label: Annotated[str, Field(max_length=LABEL_LENGTH_MOST)] = ""
    expires_at: Annotated[int, Field(ge=1, le=SAFE_INT_MOST)] | None = None


class PlanIn(_Model):
    """A customer's plan: one that the operator's table names."""

    plan: Annotated[str, Field(min_length=1, max_length=64)]


class LogLevelIn(_Model):
    """From which level on a part of the service logs."""

    component: Annotated[Component, Field(strict=False)]
    level: Annotated[LogLevel, Field(strict=False)]


class JobFilterIn(_Model):
    """Which jobs are meant: what is left out means all. Times are Unix ms of acceptance."""

    state: Annotated[str, Field(max_length=128)] | Names | None = None
    domain: Annotated[str, Field(max_length=512)] | None = None
    delivery: Annotated[str, Field(max_length=128)] | Names | None = None
    code: Annotated[str, Field(max_length=64)] | None = None
    since: Annotated[int, Field(ge=0, le=SAFE_INT_MOST)] | None = None
    until: Annotated[int, Field(ge=0, le=SAFE_INT_MOST)] | None = None
    idempotent_key: Annotated[str, Field(max_length=512)] | None = None


class ManyJobsIn(JobFilterIn):
    """What is done with many jobs, newest first; ``dry_run`` only counts them."""

    dry_run: bool = False
    limit: Annotated[int, Field(ge=1, le=MANY_MOST)] = MANY_MOST
    cursor: Annotated[str, Field(max_length=128)] | None = None


class ProxyIn(_Model):
    """The envelope that the published SDKs send."""

    target_url: Annotated[str, Field(max_length=SubmissionBounds().url_bytes)]
    method: Annotated[Literal["GET", "POST", "DELETE"], BeforeValidator(_upper)] = "POST"
    headers: Headers = {}
    body: str = ""


_M = TypeVar("_M", bound=_Model)


def read_model(kind: type[_M], document: dict[str, Any]) -> _M:
    """Read a document.

    Raises:
        InvalidFields: Fields are wrong; all are named.
    """
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise InvalidFields([field_error(detail) for detail in error.errors(include_input=False)]) from None


def unknown_fields(kind: type[BaseModel], document: dict[str, Any]) -> list[str]:
    """Name the fields of a document that a model does not have."""
    known = _known_fields(kind)
    if document.keys() <= known:
        return []
    return [name[:100] for name in document if name not in known]


@cache
def _known_fields(kind: type[BaseModel]) -> frozenset[str]:
    return frozenset(alias for name in kind.model_fields for alias in (name, to_camel(name)))


def field_error(detail: Any) -> FieldError:
    """Say in our words what pydantic found wrong."""
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
