"""Every error that a caller of the service can meet, grouped by what the caller can do.

- EZThrottleError
    - RequestRefused: mend the request and send it again
        - MalformedJson (400): the body is no strict JSON
        - InvalidFields (422): named fields are wrong
        - TargetNotAllowed (403): the operator's guard forbids that address
        - TooLarge (413): the body is over the limit
    - NotAuthorized (401): send a valid key
    - NotPermitted (403): send a key of another role
    - NotFound (404): no such thing, or not yours
    - Conflict (409): too late, or not in this state
    - TryLater: the same request may pass later
        - OverLimit (429): an admission limit, with the seconds to wait
        - NotReady (503): the service is starting, stopping or without regions
    - InternalFault (500): a bug of ours; the log says where
- IllegalTransition: a bug of ours, never a caller's
"""

from http import HTTPStatus
from typing import ClassVar

from msgspec import Struct

NAMED_MOST = 50


class EZThrottleError(Exception):
    """Base of all: knows its HTTP status and the slug of its problem type."""

    status: ClassVar[HTTPStatus]
    slug: ClassVar[str]
    title: ClassVar[str]


class FieldError(Struct, frozen=True):
    """What is wrong with one field, and what would be right. ``field`` is a dotted path."""

    field: str
    message: str


class RequestRefused(EZThrottleError):
    """The request itself has to change."""


class MalformedJson(RequestRefused):
    """The body is no strict JSON."""

    status = HTTPStatus.BAD_REQUEST
    slug = "malformed-json"
    title = "The body is not strict JSON"


class InvalidFields(RequestRefused):
    """One or more fields are wrong; ``errors`` names each, up to ``NAMED_MOST``: a body of a megabyte
    can be wrong in a hundred thousand places.
    """

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid-fields"
    title = "Some fields are invalid"

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors[:NAMED_MOST]
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in self.errors))


class TargetNotAllowed(RequestRefused):
    """The target or a webhook lies at an address that the operator does not allow."""

    status = HTTPStatus.FORBIDDEN
    slug = "target-not-allowed"
    title = "That address is not allowed"


class TooLarge(RequestRefused):
    """The body is over the limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    slug = "too-large"
    title = "The request is too large"


class NotAuthorized(EZThrottleError):
    """No key, or one that is not valid."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "not-authorized"
    title = "A valid API key is needed"


class NotPermitted(EZThrottleError):
    """The key is valid, and of a role that may not do this."""

    status = HTTPStatus.FORBIDDEN
    slug = "not-permitted"
    title = "Another role is needed"


class NotFound(EZThrottleError):
    """There is no such thing, or it belongs to somebody else."""

    status = HTTPStatus.NOT_FOUND
    slug = "not-found"
    title = "Not found"


class Conflict(EZThrottleError):
    """The thing is not in a state that allows this."""

    status = HTTPStatus.CONFLICT
    slug = "conflict"
    title = "Not possible in this state"


class TryLater(EZThrottleError):
    """The same request may pass after ``retry_after_s`` seconds."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OverLimit(TryLater):
    """An admission limit is reached."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "over-limit"
    title = "Over a limit"


class NotReady(TryLater):
    """The service can't take this now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "not-ready"
    title = "Not ready"


class InternalFault(EZThrottleError):
    """The service met what nobody foresaw."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    slug = "internal"
    title = "An error of the service"


class IllegalTransition(Exception):
    """A job was told of something that can't happen in its state."""
