"""A submission, read job by job: what is wrong is collected, so that one answer names all of it."""

from base64 import b64decode, b64encode
from operator import attrgetter
from typing import Any, assert_never

from msgspec import Struct
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from orchestrator.adapters.http.schema import (
    FallbackIn,
    HedgeIn,
    RetryPolicyIn,
    SubmissionIn,
    TriggerIn,
    WebhookIn,
    field_error,
    unknown_fields,
)
from orchestrator.domain.errors import NAMED_MOST, FieldError, InvalidFields
from orchestrator.domain.ids import RegionName
from orchestrator.domain.jobs.job import (
    DEFAULT_HEDGE,
    BodyEncoding,
    Fallback,
    HedgePolicy,
    JobSpec,
    RetryPolicy,
    Trigger,
    TriggerKind,
    Webhook,
    with_one_guarantee,
)
from orchestrator.domain.jobs.submission_bounds import CHAIN_DEPTH_READ, JOBS_READ

WARNINGS_MOST = 50
IN_ORDER = "http://unread.invalid/"
"""Stands for a URL that can't be read, so that the rest can be judged."""
_IN_BOTH = tuple(name for name in JobSpec.__struct_fields__ if name in SubmissionIn.model_fields)
_read_both = attrgetter(*_IN_BOTH)


class Reading(Struct, frozen=True):
    """A submission as read. Where there are ``errors``, ``spec`` is the rest, and only to be judged."""

    spec: JobSpec
    ignored: list[str]
    """Names the fields that nobody knows."""
    errors: list[FieldError]


def read_submission(document: dict[str, Any], default_region: RegionName) -> Reading:
    """Read one job with its fallbacks and children.

    Raises:
        InvalidFields: It holds more jobs than are read, or more is wrong than is named.

    """
    reader = _Reader(default_region)
    spec = reader.job(SubmissionIn, document, "")
    return Reading(spec, reader.ignored, reader.errors)


class _Reader:
    """Reads a job and what is nested in it; ``path`` is where in the submission that stands."""

    def __init__(self, default_region: RegionName) -> None:
        self._default_region = default_region
        self.ignored: list[str] = []
        self.errors: list[FieldError] = []
        self._jobs = 0

    def job(self, kind: type[SubmissionIn], document: dict[str, Any], path: str) -> JobSpec:
        self._jobs += 1
        if path.count(".") > CHAIN_DEPTH_READ or self._jobs > JOBS_READ:
            too_many = FieldError(path.rstrip("."), "is one job too many, or nested too deep")
            raise InvalidFields([*self.errors, too_many])
        model, read = self._model(kind, document, path)
        self._ignore(path, _unknown_in_submission(kind, read, model))
        body, encoding = self._body(model, path)
        written_otherwise = {
            "headers": tuple(model.headers.items()),
            "body": body,
            "body_encoding": encoding,
            "webhooks": tuple(_webhook(webhook) for webhook in model.webhooks),
            "regions": _regions(model.regions) or (self._default_region,),
            "retry_policy": _retry_policy(model.retry_policy) if model.retry_policy else None,
            "hedge": _hedge(model.hedge) if model.hedge else DEFAULT_HEDGE,
            "fallback": self._fallback(model.fallback_job, f"{path}fallback_job."),
            "on_success": self._child(model.on_success, f"{path}on_success."),
            "on_failure": self._child(model.on_failure, f"{path}on_failure."),
        }
        spec = JobSpec(**dict(zip(_IN_BOTH, _read_both(model), strict=True)) | written_otherwise)
        return with_one_guarantee(spec)

    def _model(
        self, kind: type[SubmissionIn], document: dict[str, Any], path: str
    ) -> tuple[SubmissionIn, dict[str, Any]]:
        """Read one job's own fields; give them with the document that they were read from."""
        try:
            return kind.model_validate(document), document
        except ValidationError as error:
            found = error.errors(include_input=False)
        self._wrong(path, [field_error(detail) for detail in found])
        # From the last to the first: an item that is left out must not move those that are named.
        for detail in reversed(found):
            document = _mended(document, detail["loc"])
        return kind.model_validate(document), document

    def _body(self, model: SubmissionIn, path: str) -> tuple[str | None, BodyEncoding | None]:
        """Give the body in one form: as text wherever it is text, so that equal bodies are one payload."""
        if not model.body or model.body_encoding is None:
            # An empty body is none: both are one payload, and the same on the wire.
            return model.body or None, None
        try:
            content = b64decode(model.body, validate=True)
        except ValueError:
            self._wrong(path, [FieldError("body", "is not base64, as body_encoding says")])
            return None, None
        try:
            return content.decode(), None
        except UnicodeDecodeError:
            return b64encode(content).decode(), model.body_encoding

    def _child(self, document: dict[str, Any] | None, path: str) -> JobSpec | None:
        return None if document is None else self.job(SubmissionIn, document, path)

    def _fallback(self, document: dict[str, Any] | None, path: str) -> Fallback | None:
        if document is None:
            return None
        given = document.get("trigger") or {}
        trigger = self._trigger(given, f"{path}trigger.") if isinstance(given, dict) else Trigger()
        return Fallback(trigger, self.job(FallbackIn, document, path))

    def _trigger(self, given: dict[str, Any], path: str) -> Trigger:
        self._ignore(path, unknown_fields(TriggerIn, given))
        try:
            model = TriggerIn.model_validate(given)
        except ValidationError as error:
            self._wrong(path, [field_error(detail) for detail in error.errors(include_input=False)])
            return Trigger()
        self._wrong(path, _trigger_errors(model))
        return Trigger(
            kind=TriggerKind(model.type), codes=frozenset(model.codes), timeout_ms=model.timeout_ms or 0
        )

    def _wrong(self, path: str, errors: list[FieldError]) -> None:
        self.errors += [FieldError(path + error.field, error.message) for error in errors]
        if len(self.errors) >= NAMED_MOST:
            raise InvalidFields(self.errors)

    def _ignore(self, path: str, names: list[str]) -> None:
        room = WARNINGS_MOST - len(self.ignored)
        self.ignored += [f"unknown field {path + name!r} was ignored" for name in names[:room]]


def _trigger_errors(model: TriggerIn) -> list[FieldError]:
    match TriggerKind(model.type):
        case TriggerKind.ON_ERROR if not model.codes:
            return [FieldError("codes", "on_error needs the status codes that it waits for")]
        case TriggerKind.ON_TIMEOUT if model.timeout_ms is None:
            return [FieldError("timeout_ms", "on_timeout needs the time after which it begins")]
        case TriggerKind.ANY if model.codes or model.timeout_ms is not None:
            return [FieldError("type", "is on_error where there are codes, on_timeout where there is a time")]
        case TriggerKind.ON_ERROR | TriggerKind.ON_TIMEOUT | TriggerKind.ANY:
            return []
        case kind:
            assert_never(kind)


def _mended(document: dict[str, Any], place: tuple[int | str, ...]) -> dict[str, Any]:
    """Leave out what can't be read: as little as lets the rest be judged."""
    match place:
        case ("webhooks", int(index), *inner):
            webhooks = list(document["webhooks"])
            webhooks[index] = _left_out(webhooks[index], inner[0]) if inner else {"url": IN_ORDER}
            return document | {"webhooks": webhooks}
        case (str(name), int(index), *_):
            return document | {name: document[name][:index] + document[name][index + 1 :]}
        case (str(name), str(inner), *_):
            return document | {name: _left_out(document[name], inner)}
        case ("webhooks",):
            # How many have a vote can't be said.
            return _left_out(_left_out(document, "webhooks"), "webhook_quorum")
        case _:
            return _left_out(document, place[0])


def _left_out(holder: dict[str, Any], key: int | str) -> dict[str, Any]:
    rest = {name: item for name, item in holder.items() if name not in (key, to_camel(str(key)))}
    return rest | {"url": IN_ORDER} if key == "url" else rest


def _unknown_in_submission(
    kind: type[SubmissionIn], document: dict[str, Any], model: SubmissionIn
) -> list[str]:
    names = unknown_fields(kind, document)
    for index, webhook in enumerate(document["webhooks"] if model.webhooks else ()):
        names += [f"webhooks.{index}.{name}" for name in unknown_fields(WebhookIn, webhook)]
    if model.retry_policy is not None:
        policy = document.get("retry_policy")
        # As the schema reads it: the first of the two that is there.
        given = document["retryPolicy"] if policy is None else policy
        names += [f"retry_policy.{name}" for name in unknown_fields(RetryPolicyIn, given)]
    if model.hedge is not None:
        names += [f"hedge.{name}" for name in unknown_fields(HedgeIn, document["hedge"])]
    return names


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


def _hedge(hedge: HedgeIn) -> HedgePolicy:
    return HedgePolicy(quantile=hedge.quantile, budget=hedge.budget)


def _regions(names: list[str]) -> tuple[RegionName, ...]:
    return tuple(RegionName(name) for name in dict.fromkeys(names))
