"""Every error that a caller of the service can meet, grouped by what the caller can do.

- EZThrottleError
    - RequestRefused: mend the request and send it again
        - BadRequest (400): it is no HTTP, or broke off
        - HeadTooLarge (431): its head is over the limit
        - MethodNotAllowed (405): that path has other methods
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

from collections.abc import Iterator
from http import HTTPStatus
from typing import ClassVar

from msgspec import Struct

NAMED_MOST = 50


class EZThrottleError(Exception):
    """Base of all: knows its HTTP status, the slug of its problem type, and what its receiver can do."""

    status: ClassVar[HTTPStatus]
    slug: ClassVar[str]
    title: ClassVar[str]
    remedy: ClassVar[str]


class FieldError(Struct, frozen=True):
    """What is wrong with one field, and what would be right. ``field`` is a dotted path."""

    field: str
    message: str


class RequestRefused(EZThrottleError):
    """The request itself has to change."""


class BadRequest(RequestRefused):
    """What came is no HTTP request, or not all of one."""

    status = HTTPStatus.BAD_REQUEST
    slug = "bad-request"
    title = "The request can't be read"
    remedy = "Send a whole HTTP/1.1 request; what stands between may have cut it off."


class HeadTooLarge(RequestRefused):
    """The request line and the headers are over the limit."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    slug = "request-header-fields-too-large"
    title = "The head of the request is too large"
    remedy = "Send fewer or shorter headers, or a shorter query."


class MethodNotAllowed(RequestRefused):
    """There is that path, but not with this method."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    slug = "method-not-allowed"
    title = "Another method is needed"
    remedy = "Use a method that the Allow header names; /docs lists the calls."


class MalformedJson(RequestRefused):
    """The body is no strict JSON."""

    status = HTTPStatus.BAD_REQUEST
    slug = "malformed-json"
    title = "The body is not strict JSON"
    remedy = "Send one JSON object in UTF-8: no NaN or Infinity, no key twice, nothing behind it."


class InvalidFields(RequestRefused):
    """One or more fields are wrong; ``errors`` names each, up to ``NAMED_MOST``: a body of a megabyte
    can be wrong in a hundred thousand places.
    """

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid-fields"
    title = "Some fields are invalid"
    remedy = "Correct the fields that `errors` names; the API's reference tells what each may hold."

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors[:NAMED_MOST]
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in self.errors))


class TargetNotAllowed(RequestRefused):
    """The target or a webhook lies at an address that the operator does not allow."""

    status = HTTPStatus.FORBIDDEN
    slug = "target-not-allowed"
    title = "That address is not allowed"
    remedy = "Choose a public address, or have the operator allow that one with --allow-targets."


class TooLarge(RequestRefused):
    """The body is over the limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    slug = "too-large"
    title = "The request is too large"
    remedy = "Send less in one call, or have the operator raise --max-body-bytes or --max-batch-bytes."


class NotAuthorized(EZThrottleError):
    """No key, or one that is not valid."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "not-authorized"
    title = "A valid API key is needed"
    remedy = (
        "Send a key that is in force: 'Authorization: Bearer ck_live_…'; 'ezthrottle keys create' makes one."
    )


class NotPermitted(EZThrottleError):
    """The key is valid, and of a role that may not do this."""

    status = HTTPStatus.FORBIDDEN
    slug = "not-permitted"
    title = "Another role is needed"
    remedy = "Send a key of the role that `detail` names."


class NotFound(EZThrottleError):
    """There is no such thing, or it belongs to somebody else."""

    status = HTTPStatus.NOT_FOUND
    slug = "not-found"
    title = "Not found"
    remedy = "Check the id, and that it is of your key's customer; what ended long ago is forgotten."


class Conflict(EZThrottleError):
    """The thing is not in a state that allows this."""

    status = HTTPStatus.CONFLICT
    slug = "conflict"
    title = "Not possible in this state"
    remedy = "Look at its state first, and act on what that allows: what has ended can't be cancelled."


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
    remedy = "Send it again at `retry_at`, or when Retry-After is over: a submission twice is one job."


class NotReady(TryLater):
    """The service can't take this now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "not-ready"
    title = "Not ready"
    remedy = "Send it again when Retry-After is over; /readyz tells what is missing."


class InternalFault(EZThrottleError):
    """The service met what nobody foresaw."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    slug = "internal"
    title = "An error of the service"
    remedy = "Send it again, and tell the operator: the service's log says where it failed."


class IllegalTransition(Exception):
    """A job was told of something that can't happen in its state."""


def problem_types() -> Iterator[type[EZThrottleError]]:
    """Give every kind of error that a caller can meet, in the order of the tree."""
    return _named(EZThrottleError)


def _named(kind: type[EZThrottleError]) -> Iterator[type[EZThrottleError]]:
    if "slug" in vars(kind):
        yield kind
    for below in kind.__subclasses__():
        yield from _named(below)
