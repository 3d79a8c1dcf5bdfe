"""What can go wrong, grouped by what the caller can do about it.

```
EZThrottleError
├── correct the key            AuthenticationError      401, or no key at all
├── correct the call           InvalidJobError          400, 403, 413, 422: `errors` names the fields
│                              NotFoundError            404
│                              ConflictError            409: the job's state does not allow it
├── look at what was taken     BatchError               of submit_many: `answers` holds each job's
├── repeat it later            QuotaExceededError       429: at `retry_at`
│                              ServiceUnavailableError  5xx, after the client's own retries
│                              ServiceUnreachableError  no answer, after the client's own retries
├── wait longer, or ask again  TimeoutError             the job goes on
├── refuse the delivery        WebhookVerificationError
└── raised by you              ForwardToEZThrottle      hands a request to `auto_forward`
```
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

FORWARDED_CODES = (429, 500, 502, 503, 504)


class EZThrottleError(Exception):
    """Base of every error that this package raises for the service.

    `retry_at` is the time from which a repetition may succeed (Unix ms), or None; `status_code` is the
    service's HTTP status, or None where there was no answer; `reason` is what the service said, in a line, or
    None.

    >>> error = EZThrottleError("over the limit", retry_at=1763674210055, status_code=429)
    >>> error.retry_at
    1763674210055
    """

    def __init__(self, message: str, retry_at: int | None = None, *, status_code: int | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at
        self.status_code = status_code
        self.reason: str | None = None


class EZThrottleWarning(UserWarning):
    """Something that was done, but maybe not as it was meant: a field that nobody knows, a job that does not
    run since it is a duplicate, an unsigned webhook.

    Python shows each once for a line of the program. To have them raised, or to have none:

    >>> import warnings
    >>> warnings.simplefilter("error", EZThrottleWarning)
    >>> warnings.simplefilter("ignore", EZThrottleWarning)
    """


class AuthenticationError(EZThrottleError):
    """The API key is missing, wrong or revoked.

    >>> try:
    ...     client.submit_job("https://api.example.com")
    ... except AuthenticationError:
    ...     print("set EZTHROTTLE_API_KEY")
    """


class InvalidJobError(EZThrottleError):
    """The service refuses the call as it stands; repeating it unchanged cannot succeed.

    `errors` lists what to correct, each `{"field": ..., "message": ...}`; it is empty where the whole call
    is at fault (malformed, too large, a target that is not allowed).

    >>> InvalidJobError("refused", errors=[{"field": "url", "message": "must be http or https"}]).errors
    [{'field': 'url', 'message': 'must be http or https'}]
    """

    def __init__(
        self,
        message: str,
        retry_at: int | None = None,
        *,
        status_code: int | None = None,
        errors: Sequence[dict[str, Any]] = (),
    ) -> None:
        super().__init__(message, retry_at, status_code=status_code)
        self.errors = list(errors)


class NotFoundError(EZThrottleError):
    """No such job or secret under this API key.

    >>> try:
    ...     client.get_job("job_1763674210055_853341")
    ... except NotFoundError:
    ...     print("not one of ours")
    """


class ConflictError(EZThrottleError):
    """The job's state does not allow the call: it has ended, or its request is not kept any more.

    >>> try:
    ...     client.cancel("job_1763674210055_853341")
    ... except ConflictError:
    ...     print("too late")
    """


class BatchError(EZThrottleError):
    """Some jobs of a `submit_many` were not taken; the others were, and go on.

    `answers` has a place for each job that was sent, in their order: the service's answer, or the
    EZThrottleError that says why there is none. It is shorter than the jobs where the service went away, or
    where one of the next jobs could not be read: the `__cause__` is that error then.

    >>> try:
    ...     client.submit_many(jobs)
    ... except BatchError as error:
    ...     refused = [job for job, answer in zip(jobs, error.answers) if isinstance(answer, Exception)]
    """

    def __init__(
        self,
        message: str,
        retry_at: int | None = None,
        *,
        answers: Sequence[dict[str, Any] | EZThrottleError] = (),
    ) -> None:
        super().__init__(message, retry_at)
        self.answers = list(answers)


class QuotaExceededError(EZThrottleError):
    """A plan or admission limit is reached; `retry_at` (Unix ms) says when to repeat.

    >>> QuotaExceededError("over the limit", retry_at=1763674210055).retry_at
    1763674210055
    """


class ServiceUnavailableError(EZThrottleError):
    """The service answered, but could not take the call (5xx), each time it was asked.

    >>> ServiceUnavailableError("not ready", status_code=503).status_code
    503
    """


class ServiceUnreachableError(EZThrottleError, builtins.ConnectionError):
    """Nothing at the service's address answered, each time it was asked.

    A built-in `ConnectionError` too, so that code which knows only that one handles it.

    >>> issubclass(ServiceUnreachableError, OSError)
    True
    """


class TimeoutError(EZThrottleError, builtins.TimeoutError):  # noqa: A001 - the published name
    """A job did not end in the time its caller would wait; the job itself goes on.

    >>> try:
    ...     client.wait(job_id, timeout=5)
    ... except TimeoutError:
    ...     print("ask again with client.get_job(job_id)")
    """


class WebhookVerificationError(EZThrottleError):
    """A delivery's signature does not prove that the service sent it, or not recently enough.

    >>> try:
    ...     verify_webhook_signature_strict(b"{}", "t=1,v1=00", secret)
    ... except WebhookVerificationError:
    ...     print("answer 401")
    """


class ForwardToEZThrottle(EZThrottleError):
    """Raise it in a function under `auto_forward` to have the described request run by the service.

    The arguments are those of `EZThrottle.submit_job`; `url` is required by the time it is caught, and
    without an `idempotent_key` the job gets a random one.

    >>> raise ForwardToEZThrottle(
    ...     url="https://api.example.com/charge",
    ...     method="POST",
    ...     body='{"amount": 1000}',
    ...     idempotent_key="order_42",
    ... )
    """

    def __init__(  # noqa: PLR0917 - the published signature
        self,
        message: str = "Forwarding to EZThrottle",
        url: str | None = None,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: str | None = None,
        idempotent_key: str | None = None,
        metadata: dict[str, Any] | None = None,
        webhooks: list[dict[str, Any]] | None = None,
        regions: list[str] | None = None,
        fallback_on_error: list[int] | None = None,
    ) -> None:
        super().__init__(message)
        self.url = url
        self.method = method
        self.headers = headers or {}
        self.body = body
        self.idempotent_key = idempotent_key
        self.metadata = metadata or {}
        self.webhooks = webhooks or []
        self.regions = regions
        self.fallback_on_error = fallback_on_error or list(FORWARDED_CODES)
