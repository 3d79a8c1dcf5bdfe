"""What a step's builder has collected, and the job that it makes of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from ._history import History
from ._payload import job_payload
from ._warnings import warn
from .exceptions import FORWARDED_CODES

if TYPE_CHECKING:
    from .step import Step

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
    fallbacks: list[tuple[Step, dict[str, Any]]] = field(default_factory=list)
    on_success: Step | None = None
    on_failure: Step | None = None
    history: History = field(default_factory=History)

    def target(self) -> str:
        """Return the url; raises ValueError where none is set."""
        if not self.url:
            raise ValueError("The step has no url: set one with .url()")
        return self.url

    def name(self) -> str:
        """Return what names the step in its history where it has no description."""
        return f"{self.method} {self.url}"

    def record_delivery(self, delivery: Mapping[str, Any]) -> None:
        """Continue the history with a job's end, as its webhook tells it."""
        response, error = delivery.get("response"), delivery.get("error")
        self.history.add(
            self.name(),
            delivery["status"],
            response=response.get("body") if isinstance(response, dict) else None,
            error=str(error.get("message")) if isinstance(error, dict) else None,
        )

    def children(self) -> dict[str, Step]:
        """Return the steps that follow this one, by the place of each in the payload."""
        places = {"on_success": self.on_success, "on_failure": self.on_failure}
        return {place: step for place, step in places.items() if step is not None}

    def payload(self) -> dict[str, Any]:
        """Return the arguments of `submit_job` for the step and all that hangs on it."""
        payload = job_payload(self.target(), self.method, self.fields)
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
