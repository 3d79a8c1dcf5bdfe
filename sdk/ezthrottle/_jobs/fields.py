"""A job's fields: their types, what is taken for them, and the builder's methods that set them.

A field that the service gets is declared here, and in the server's `orchestrator/domain/jobs/job.py` and
`orchestrator/adapters/http/schema.py`; `tests/unit/test_job_fields.py` compares them.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from typing_extensions import NotRequired, Self

    from ezthrottle.types.submissions import (
        ExecutionMode,
        Guarantee,
        Hedge,
        RegionPolicy,
        RetryPolicy,
        Webhook,
    )


class JobOptions(TypedDict, total=False):
    """The fields of a job that `submit_job` takes by name only; None is the same as none."""

    priority: int | None
    """0 to 9, 9 first; 5 unless set."""
    timeout_ms: int | None
    """One attempt's time limit, ms; 30,000 unless set."""
    deadline_ms: int | None
    """The job's time limit, ms from its acceptance or `retry_at`; a week unless set."""
    guarantee: Guarantee | None
    """"at_least_once", or "at_most_once": then nothing is repeated that may have had its effect."""
    cost: float | None
    """Tokens, for targets with a token budget; 1 unless set."""
    account: str | None
    """The fair queue in which it waits; by the target's credentials unless set."""
    hedge: Hedge | None
    """With `execution_mode` "hedge": after what share of its target's answers one is late, and the most extra
    requests, as a share."""
    body_encoding: Literal["base64"] | None
    """Where `body` is that."""


class JobDict(JobOptions):
    """A job as a dict: the arguments of `submit_job`, by their names."""

    url: str
    """The target, http or https."""
    method: NotRequired[str]
    """GET unless set."""
    headers: NotRequired[dict[str, str]]
    """Sent to the target."""
    body: NotRequired[str | bytes]
    """Sent as is; bytes go to the service as base64."""
    metadata: NotRequired[dict[str, Any]]
    """Handed back in webhooks."""
    webhooks: NotRequired[list[Webhook]]
    """Where the result goes."""
    webhook_quorum: NotRequired[int]
    """Voting webhooks that must accept; 1 unless set."""
    regions: NotRequired[list[str]]
    """Where it may run; the first success of several wins."""
    region_policy: NotRequired[RegionPolicy]
    """"fallback", or "strict" to stay in the listed regions."""
    execution_mode: NotRequired[ExecutionMode]
    """What several regions are for: see `ezthrottle.types.ExecutionMode`."""
    retry_policy: NotRequired[RetryPolicy]
    """How often, and on which statuses, it is repeated or moved."""
    fallback_job: NotRequired[dict[str, Any]]
    """A job with a `trigger`, tried when this one fails."""
    on_success: NotRequired[dict[str, Any]]
    """A job to start when this one has succeeded."""
    on_failure: NotRequired[dict[str, Any]]
    """A job to start when this one has failed."""
    on_failure_timeout_ms: NotRequired[int]
    """Time after which it fails, ms."""
    idempotent_key: NotRequired[str]
    """Jobs with an equal key run once; the service makes one from url, method and body."""
    retry_at: NotRequired[int]
    """Unix ms before which it must not run."""


@dataclass(frozen=True)
class Field:
    """What a field must be, and what to give `instead`: JSON would take more, and mean something else.

    >>> Field(str, "give text").says_something("")
    False
    """

    kinds: type | tuple[type, ...]
    instead: str
    assumed: Any = None
    """What the service takes for it unless it is given, so that it is left out of the payload."""

    def takes(self, value: object) -> bool:
        """Whether a value is of the field's kind; text is no sequence here."""
        is_text = isinstance(value, (str, bytes)) and self.kinds is Sequence
        return isinstance(value, self.kinds) and not is_text

    def says_something(self, value: object) -> bool:
        """Whether a value is another one than none; zero is a number."""
        if self.assumed is not None:
            return bool(value != self.assumed)
        return value is not None if self.kinds is numbers.Real else bool(value)


_TEXT = Field(str, "give text")
_OBJECT = Field(Mapping, "give a dict")
_NUMBER = Field(numbers.Real, "give a number")
_MS = Field(numbers.Real, "give milliseconds")
_JOB = Field(Mapping, "give a job as a dict, or use Step")

FIELDS: Mapping[str, Field] = {
    "url": _TEXT,
    "method": _TEXT,
    "headers": _OBJECT,
    "body": Field((str, bytes, bytearray), "give text or bytes, or use Step's .json(...)"),
    "body_encoding": _TEXT,
    "metadata": _OBJECT,
    "webhooks": Field(Sequence, 'give a list of dicts, such as [{"url": "https://app.example.com/hook"}]'),
    "webhook_quorum": Field(numbers.Real, "give a number", assumed=1),
    "regions": Field(Sequence, 'give a list, such as ["iad"]'),
    "region_policy": Field(str, "give text", assumed="fallback"),
    "execution_mode": Field(str, "give text", assumed="race"),
    "retry_policy": _OBJECT,
    "fallback_job": _JOB,
    "on_success": _JOB,
    "on_failure": _JOB,
    "on_failure_timeout_ms": _MS,
    "idempotent_key": _TEXT,
    "retry_at": Field(numbers.Real, "give Unix milliseconds, or use Step's .at(datetime) or .delay(seconds)"),
    "priority": _NUMBER,
    "timeout_ms": _MS,
    "deadline_ms": _MS,
    "guarantee": _TEXT,
    "cost": _NUMBER,
    "account": _TEXT,
    "hedge": Field(Mapping, 'give a dict, such as {"quantile": 0.95, "budget": 0.1}'),
}

DEFAULT_HEDGE: Hedge = {"quantile": 0.95, "budget": 0.1}


class JobBuilder(ABC):
    """The methods of `Step` that set one field of its job; each returns the step itself.

    >>> Step().url("https://api.example.com").priority(9).cost(2.5)
    <Step performance GET https://api.example.com>
    """

    def headers(self, headers: Mapping[str, str]) -> Self:
        """Set the headers for the target."""
        return self._set("headers", headers)

    def metadata(self, metadata: Mapping[str, Any]) -> Self:
        """Set what webhooks hand back."""
        return self._set("metadata", metadata)

    def webhooks(self, webhooks: list[Webhook] | tuple[Webhook, ...]) -> Self:
        """Set where the result goes, each `{"url", "regions"?, "has_quorum_vote"?}`."""
        return self._set("webhooks", webhooks)

    def webhook_quorum(self, quorum: int) -> Self:
        """Set how many voting webhooks must accept; 1 unless set."""
        return self._set("webhook_quorum", quorum)

    def regions(self, regions: list[str] | tuple[str, ...]) -> Self:
        """Set the regions where the job may run."""
        return self._set("regions", regions)

    def region_policy(self, policy: RegionPolicy) -> Self:
        """Set "fallback" or "strict", which stays in the listed regions."""
        return self._set("region_policy", policy)

    def execution_mode(self, mode: ExecutionMode) -> Self:
        """Set what several regions are for: see `ezthrottle.types.ExecutionMode`."""
        return self._set("execution_mode", mode)

    def hedge(
        self, quantile: float = DEFAULT_HEDGE["quantile"], budget: float = DEFAULT_HEDGE["budget"]
    ) -> Self:
        """Let the next region try when an answer takes longer than `quantile` of its target's do.

        `budget` is the most extra requests, as a share of the answers.
        """
        self.execution_mode("hedge")
        return self._set("hedge", {"quantile": quantile, "budget": budget})

    def retry_policy(self, policy: RetryPolicy) -> Self:
        """Set `max_retries`, `max_reroutes`, `retry_codes` and `reroute_codes`."""
        return self._set("retry_policy", policy)

    def idempotent_key(self, key: str) -> Self:
        """Set the key by which equal jobs run once."""
        return self._set("idempotent_key", key)

    def priority(self, priority: int) -> Self:
        """Set 0 to 9; 9 goes first."""
        return self._set("priority", priority)

    def timeout_ms(self, timeout_ms: int) -> Self:
        """Set one attempt's time limit on the service, ms."""
        return self._set("timeout_ms", timeout_ms)

    def deadline_ms(self, deadline_ms: int) -> Self:
        """Set the whole job's time limit, ms."""
        return self._set("deadline_ms", deadline_ms)

    def guarantee(self, guarantee: Guarantee) -> Self:
        """Set "at_least_once" or "at_most_once"."""
        return self._set("guarantee", guarantee)

    def cost(self, cost: float) -> Self:
        """Set the tokens that the job takes of its target's budget."""
        return self._set("cost", cost)

    def account(self, account: str) -> Self:
        """Set the fair queue in which the job waits."""
        return self._set("account", account)

    @abstractmethod
    def _set(self, name: str, value: Any) -> Self:
        """Keep a field's value, once it is one that the field takes."""
