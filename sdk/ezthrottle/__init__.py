"""The client of EZThrottle, the API dam.

>>> from ezthrottle import EZThrottle, Step
>>> with EZThrottle(api_key="ck_live_cust_acme_secret", base_url="http://127.0.0.1:8080") as client:
...     answer = Step(client).url("https://api.example.com/charge").regions(["iad", "lax"]).execute()
"""

from ezthrottle._calls.events import JobEvent
from ezthrottle._version import __version__
from ezthrottle.client import AsyncEZThrottle, EZThrottle, auto_forward
from ezthrottle.event_store import EventStore
from ezthrottle.exceptions import (
    AuthenticationError,
    BatchError,
    ConflictError,
    EZThrottleError,
    EZThrottleWarning,
    ForwardToEZThrottle,
    InvalidJobError,
    NotFoundError,
    QuotaExceededError,
    ServiceUnavailableError,
    ServiceUnreachableError,
    TimeoutError,  # noqa: A004 - the published name
    WebhookVerificationError,
)
from ezthrottle.step import IdempotentStrategy, Step, StepType
from ezthrottle.webhook import WebhookServer, create_webhook_server
from ezthrottle.webhook_utils import (
    try_verify_with_secrets,
    verify_webhook_signature,
    verify_webhook_signature_strict,
)

__all__ = [
    "AsyncEZThrottle",
    "AuthenticationError",
    "BatchError",
    "ConflictError",
    "EZThrottle",
    "EZThrottleError",
    "EZThrottleWarning",
    "EventStore",
    "ForwardToEZThrottle",
    "IdempotentStrategy",
    "InvalidJobError",
    "JobEvent",
    "NotFoundError",
    "QuotaExceededError",
    "ServiceUnavailableError",
    "ServiceUnreachableError",
    "Step",
    "StepType",
    "TimeoutError",
    "WebhookServer",
    "WebhookVerificationError",
    "__version__",
    "auto_forward",
    "create_webhook_server",
    "try_verify_with_secrets",
    "verify_webhook_signature",
    "verify_webhook_signature_strict",
]
