"""The builder for jobs and for chains of them."""

from __future__ import annotations

import builtins
import inspect
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from ezthrottle._coroutines import in_thread, run
from ezthrottle._jobs.fields import JobBuilder
from ezthrottle._jobs.payload import checked, encoded, unix_ms
from ezthrottle._steps.spec import IdempotentStrategy, StepSpec, StepType

if TYPE_CHECKING:
    from datetime import datetime

    from typing_extensions import Self

    from ezthrottle._steps.client import Client
    from ezthrottle.types import StepResult

__all__ = ["IdempotentStrategy", "Step", "StepType"]


class Step(JobBuilder):
    """A job under construction: every method but the `get_` and `execute` ones returns the step itself.

    >>> answer = (
    ...     Step(client)
    ...     .url("https://api.example.com/charge")
    ...     .method("POST")
    ...     .body('{"amount": 1000}')
    ...     .regions(["iad", "lax"])
    ...     .on_success(Step().url("https://api.example.com/receipt"))
    ...     .execute()
    ... )
    >>> answer["status"]
    'racing'
    """

    def __init__(self, client: Client | None = None) -> None:
        self.client = _a_client(client)
        self.spec = StepSpec()

    def __repr__(self) -> str:
        address = _without_secrets(self.spec.url) if self.spec.url else "no url"
        return f"<Step {self.spec.step_type.value} {self.spec.method} {address}>"

    def copy(self) -> Self:
        """Return a step with the same settings, and copies of all that hang on it, to go on from here.

        Changing one changes nothing of the other. An `idempotent_key` is copied too: it names one job.

        >>> base = Step().url("https://api.example.com").method("POST")
        >>> first, second = base.copy().body("1"), base.copy().body("2")
        """
        twin = self.__class__.__new__(self.__class__)
        twin.__dict__.update(self.__dict__)
        twin.spec = self.spec.copy()
        return twin

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: object) -> Self:
        return self.copy()

    def type(self, step_type: StepType) -> Self:
        """Set where the step runs first; PERFORMANCE unless set."""
        self.spec.step_type = StepType(step_type)
        return self

    def url(self, url: str) -> Self:
        """Set the target, http or https."""
        self.spec.url = checked("url", url)
        return self

    def method(self, method: str) -> Self:
        """Set the HTTP method, in any case; GET unless set."""
        self.spec.method = checked("method", method).upper()
        return self

    def body(self, body: str | builtins.bytes) -> Self:
        """Set the request's body, sent as is."""
        self.spec.is_json = False
        return self._set("body", body)

    def json(self, value: Any) -> Self:
        """Set the request's body to this as JSON, and its Content-Type unless the headers name one.

        Raises TypeError or ValueError, which names the part that is no JSON.
        """
        self._set("body", encoded({"body": value})[len('{"body":') : -1].decode())
        self.spec.is_json = True
        return self

    def bytes(self, content: builtins.bytes) -> Self:
        """Set the request's body to these bytes, whatever they are."""
        if not isinstance(content, (builtins.bytes, bytearray, memoryview)):
            raise TypeError(f"bytes() takes bytes, and got a {_kind_of(content)}: use body() or json()")
        return self.body(builtins.bytes(content))

    def retry_at(self, timestamp_ms: int) -> Self:
        """Set the time before which the job must not run, Unix ms."""
        self.spec.delay_s, self.spec.starts_later = None, False
        return self._set("retry_at", timestamp_ms)

    def at(self, when: datetime) -> Self:
        """Set the time before which the step must not run, a datetime with its time zone.

        Such a step is the service's from the beginning, whatever its type.
        """
        self.retry_at(unix_ms(when))
        self.spec.starts_later = True
        return self

    def delay(self, seconds: float) -> Self:
        """Set how long after each execution the step must not run yet, in seconds; else as `at`."""
        if isinstance(seconds, (str, builtins.bytes)) or not seconds >= 0:
            raise ValueError(f"delay() takes 0 or more seconds, and got {seconds!r}")
        self.spec.delay_s, self.spec.starts_later = float(seconds), True
        return self

    def idempotent_strategy(self, strategy: IdempotentStrategy) -> Self:
        """Set where the key comes from if none is given; HASH unless set."""
        self.spec.idempotent_strategy = IdempotentStrategy(strategy)
        return self

    def fallback_on_error(self, codes: list[int]) -> Self:
        """Set the statuses on which a FRUGAL step goes on to its fallbacks and to the service."""
        self.spec.fallback_on_error = _codes("fallback_on_error", codes)
        return self

    def local_timeout(self, timeout: float) -> Self:
        """Set a FRUGAL step's time limit on this machine, seconds of silence; 30 unless set."""
        self.spec.local_timeout = timeout
        return self

    def fallback(
        self,
        step: Step,
        trigger_on_error: list[int] | None = None,
        trigger_on_timeout: int | None = None,
    ) -> Self:
        """Add a step to try on these statuses, or after so many ms; on any failure if neither is given.

        It is another way to do what this step does, so that what follows belongs to this step: the service
        starts no `on_success` and no `on_failure` of a fallback, and a submission with one warns.
        """
        trigger: dict[str, Any] = {}
        if trigger_on_error:
            trigger = {"type": "on_error", "codes": _codes("trigger_on_error", trigger_on_error)}
        elif trigger_on_timeout:
            trigger = {"type": "on_timeout", "timeout_ms": trigger_on_timeout}
        self.spec.fallbacks.append((self._another(step), trigger))
        return self

    def on_success(self, step: Step) -> Self:
        """Set the step to start when this one, or one of its fallbacks, has succeeded."""
        self.spec.on_success = self._another(step)
        return self

    def on_failure(self, step: Step, timeout_ms: int | None = None) -> Self:
        """Set the step to start when this one's job has failed, or has not ended after `timeout_ms`.

        A FRUGAL step that ends here, with a status outside `fallback_on_error`, makes no job: it returns its
        failure to the caller and starts nothing.
        """
        self.spec.on_failure = self._another(step)
        return self._set("on_failure_timeout_ms", timeout_ms) if timeout_ms else self

    def description(self, desc: str) -> Self:
        """Say what the step does, for `execution_trace`."""
        self.spec.history.description = desc
        return self

    def response_description(self, desc: str) -> Self:
        """Say what its response means, for `execution_trace`."""
        self.spec.history.response_description = desc
        return self

    def get_description(self) -> str | None:
        """Return what `description` set."""
        return self.spec.history.description

    def get_response_description(self) -> str | None:
        """Return what `response_description` set."""
        return self.spec.history.response_description

    def get_execution_history(self) -> list[dict[str, Any]]:
        """Return the step's ends seen here, oldest first: `step`, `status`, and what is known of
        `response`, `response_meaning` and `error`.

        Seen are the ends on this machine, and, by the webhook server of a client that has one, those of a
        submitted step that others follow, and of a later step that a FRUGAL one follows. A step that only the
        service saw to its end has none: ask `get_job` of the client.
        """
        return self.spec.history.records

    def execution_trace(self) -> str:
        """Return the history as text, for people and language models."""
        return self.spec.history.trace()

    def execute(self, client: Client | None = None) -> StepResult:
        """Run the step: FRUGAL on this machine first, PERFORMANCE by the service.

        Returns the service's answer, or, for what ended here, `{"status": "success" | "failed",
        "executed_locally": True, "status_code", "response" | "error"}`.

        Raises ValueError without a client or a url, TypeError with an `AsyncEZThrottle`, and what
        `EZThrottle.submit_job` raises.
        """
        from ezthrottle._steps.execution import execution  # noqa: PLC0415 - loads httpx, as the client has by now

        chosen = self._client_for(client)
        if inspect.iscoroutinefunction(chosen.submit_job):
            raise TypeError("execute() needs EZThrottle; with AsyncEZThrottle await execute_async()")
        return cast("StepResult", run(execution(self, chosen)))

    async def execute_async(self, client: Client | None = None) -> StepResult:
        """Run the step as `execute` does, without holding up the event loop, with either client."""
        from ezthrottle._steps.execution import execution  # noqa: PLC0415 - loads httpx, as the client has by now

        chosen = self._client_for(client)
        if inspect.iscoroutinefunction(chosen.submit_job):
            return cast("StepResult", await execution(self, chosen))
        return await in_thread(self.execute, chosen)

    def _set(self, name: str, value: Any) -> Self:
        self.spec.fields[name] = checked(name, value)
        return self

    def _another(self, step: Step) -> Step:
        if not isinstance(step, Step):
            raise TypeError(f"a step follows a step, and this is a {_kind_of(step)}")
        if step is self or any(each is self for each in step.spec.following()):
            raise ValueError("a step cannot follow itself: give a copy()")
        return step

    def _client_for(self, client: Client | None) -> Client:
        chosen = _a_client(client) or self.client
        if chosen is None:
            raise ValueError("There is no client: pass one to execute(), or to Step()")
        return chosen

    def _build_job_payload(self) -> dict[str, Any]:
        # Kept since 1.3.0 has it by this name.
        return self.spec.payload()


def _a_client(client: Client | None) -> Client | None:
    if client is None or hasattr(client, "submit_job"):
        return client
    instead = "; for another step like it there is copy()" if isinstance(client, Step) else ""
    raise TypeError(f"a Step takes a client (EZThrottle), and this is a {_kind_of(client)}{instead}")


def _kind_of(value: object) -> str:
    return type(value).__name__


def _codes(name: str, codes: list[int]) -> list[int]:
    if not isinstance(codes, (list, tuple, set, frozenset, range)):
        raise TypeError(f"{name} is a {_kind_of(codes)}: give a list, such as [429, 503]")
    return list(codes)


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    asked = "?..." if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{asked}"
