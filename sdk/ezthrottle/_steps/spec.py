"""What a step's builder has collected, and the job that it makes of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from ezthrottle._jobs.payload import copied, job_payload
from ezthrottle._steps.history import History
from ezthrottle._warnings import warn
from ezthrottle.exceptions import FORWARDED_CODES

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_LOCAL_TIMEOUT_S = 30

_CHILDREN_OF_A_FALLBACK = (
    "The service does not start what follows the fallback {}: hang it on the step that begins the chain, "
    "which succeeds with any of its fallbacks."
)


class StepType(Enum):
    """Where a step runs first.

    >>> StepType("frugal")
    <StepType.FRUGAL: 'frugal'>
    """

    FRUGAL = "frugal"
    """On this machine; the service takes over when that fails."""

    PERFORMANCE = "performance"
    """On the service, at once."""


class IdempotentStrategy(Enum):
    """Where a job's idempotency key comes from, unless `idempotent_key` gives one.

    >>> IdempotentStrategy("unique")
    <IdempotentStrategy.UNIQUE: 'unique'>
    """

    HASH = "hash"
    """The service makes it from url, method, body and customer: equal jobs run once."""

    UNIQUE = "unique"
    """The SDK makes a new one for every execution: equal jobs run each time."""


class ChainedStep(Protocol):
    """A `Step`, as those know it that it hangs on."""

    @property
    def spec(self) -> StepSpec:
        """What its builder has collected."""

    def copy(self) -> Self:
        """Return a step like it."""

    def execute(self, client: Any = None) -> Any:
        """Run it."""

    async def execute_async(self, client: Any = None) -> Any:
        """Run it under the event loop."""


@dataclass
class StepSpec:
    """A step's settings; `fields` are those of the job by their names in the payload.

    >>> StepSpec(url="https://api.example.com").payload()
    {'url': 'https://api.example.com', 'method': 'GET'}
    """

    step_type: StepType = StepType.PERFORMANCE
    url: str | None = None
    method: str = "GET"
    fields: dict[str, Any] = field(default_factory=dict)
    idempotent_strategy: IdempotentStrategy = IdempotentStrategy.HASH
    fallback_on_error: Sequence[int] = FORWARDED_CODES
    local_timeout: float = DEFAULT_LOCAL_TIMEOUT_S
    fallbacks: list[tuple[ChainedStep, dict[str, Any]]] = field(default_factory=list)
    on_success: ChainedStep | None = None
    on_failure: ChainedStep | None = None
    history: History = field(default_factory=History)
    delay_s: float | None = None
    starts_later: bool = False
    is_json: bool = False
    submitted: bool = False

    def target(self) -> str:
        """Return the url; raises ValueError where none is set."""
        if not self.url:
            raise ValueError("The step has no url: set one with .url()")
        return self.url

    def name(self) -> str:
        """Return what names the step in its history where it has no description."""
        return f"{self.method} {self.url}"

    def copy(self) -> StepSpec:
        """Return the same settings, with nothing that has happened, for another step."""
        return replace(
            self,
            fields={name: copied(value) for name, value in self.fields.items()},
            fallback_on_error=list(self.fallback_on_error),
            fallbacks=[(step.copy(), copied(trigger)) for step, trigger in self.fallbacks],
            on_success=self.on_success and self.on_success.copy(),
            on_failure=self.on_failure and self.on_failure.copy(),
            history=replace(self.history, records=[]),
            submitted=False,
        )

    def following(self) -> Iterator[ChainedStep]:
        """Yield every step that hangs on this one."""
        for step in (*self.children().values(), *(fallback for fallback, _ in self.fallbacks)):
            yield step
            yield from step.spec.following()

    def headers(self) -> dict[str, str]:
        """Return the headers, with what `json` adds where they do not name it."""
        headers: dict[str, str] = self.fields.get("headers") or {}
        named = {name.lower() for name in headers}
        return {"Content-Type": "application/json", **headers} if self._adds_type(named) else headers

    def _adds_type(self, named: set[str]) -> bool:
        return self.is_json and "content-type" not in named

    def record_delivery(self, delivery: Mapping[str, Any]) -> None:
        """Continue the history with a job's end, as its webhook tells it."""
        response, error = delivery.get("response"), delivery.get("error")
        self.history.add(
            self.name(),
            delivery["status"],
            response=response.get("body") if isinstance(response, dict) else None,
            error=str(error.get("message")) if isinstance(error, dict) else None,
        )

    def children(self) -> dict[str, ChainedStep]:
        """Return the steps that follow this one, by the place of each in the payload."""
        places = {"on_success": self.on_success, "on_failure": self.on_failure}
        return {place: step for place, step in places.items() if step is not None}

    def payload(self) -> dict[str, Any]:
        """Return the arguments of `submit_job` for the step and all that hangs on it."""
        fields = {**self.fields, "headers": self.headers()}
        if self.delay_s is not None:
            fields["retry_at"] = int((time.time() + self.delay_s) * 1000)
        payload = job_payload(self.target(), self.method, fields)
        if self.idempotent_strategy is IdempotentStrategy.UNIQUE:
            payload.setdefault("idempotent_key", str(uuid.uuid4()))
        if self.fallbacks:
            payload["fallback_job"] = self._fallback_chain()
        payload.update((place, child.spec.payload()) for place, child in self.children().items())
        return payload

    def _fallback_chain(self) -> dict[str, Any]:
        chain: dict[str, Any] = {}
        for step, trigger in reversed(self.fallbacks):
            if step.spec.children():
                warn(_CHILDREN_OF_A_FALLBACK.format(step.spec.name()))
            fallback = {**step.spec.payload(), "trigger": trigger}
            if chain:
                fallback["fallback_job"] = chain
            chain = fallback
        return chain
