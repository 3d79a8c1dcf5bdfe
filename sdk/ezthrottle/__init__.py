"""The client of EZThrottle, the API dam.

>>> from ezthrottle import EZThrottle, Step
>>> with EZThrottle(api_key="ck_live_cust_acme_secret", base_url="http://127.0.0.1:8080") as client:
...     answer = Step(client).url("https://api.example.com/charge").regions(["iad", "lax"]).execute()
"""

from ._events import JobEvent
from ._version import __version__
from .client import AsyncEZThrottle, EZThrottle, auto_forward
from .event_store import EventStore
from .exceptions import (
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
from .step import IdempotentStrategy, Step, StepType
from .webhook import WebhookServer, create_webhook_server
from .webhook_utils import try_verify_with_secrets, verify_webhook_signature, verify_webhook_signature_strict

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
