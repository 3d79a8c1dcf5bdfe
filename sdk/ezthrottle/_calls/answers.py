"""Reading the service's answers: JSON objects, and RFC 9457 problems as errors of ours."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from ezthrottle._calls.settings import KEY_REMEDY
from ezthrottle.exceptions import (
    AuthenticationError,
    ConflictError,
    EZThrottleError,
    InvalidJobError,
    NotFoundError,
    QuotaExceededError,
    ServiceUnavailableError,
)

if TYPE_CHECKING:
    import httpx

_TARGET = "Choose a target that the service may reach, or have its operator allow this one."
_LATER = "Repeat it later: repeating a submission is safe, its idempotency key prevents a second job."

# What a gateway in front of the service says for it.
_OF_GATEWAYS = frozenset({413, 429, 500, 502, 503, 504})

_BY_STATUS: Mapping[int, tuple[type[EZThrottleError], str]] = {
    400: (InvalidJobError, "Correct it and send it again."),
    401: (AuthenticationError, KEY_REMEDY),
    403: (InvalidJobError, _TARGET),
    404: (NotFoundError, "Check the id, and that it belongs to this API key."),
    409: (ConflictError, "Look at the job's state with get_job()."),
    413: (InvalidJobError, "Send less in one call."),
    422: (InvalidJobError, "Correct the fields named and send it again."),
    429: (QuotaExceededError, "Repeat it at `retry_at`."),
}


def object_in(
    response: httpx.Response,
    accepted: Collection[int] = (),
    expects: Collection[str] = (),
    proxy: str | None = None,
) -> dict[str, Any]:
    """Return the JSON object in an answer that is successful, or has one of the `accepted` statuses.

    The service's own has the fields that are expected. `proxy` names the variable of the proxy that it came
    through. Raises the EZThrottleError that belongs to the status, or a plain one where the service did not
    answer.
    """
    if not response.is_success and response.status_code not in accepted:
        raise error_in(response, proxy)
    answer = _json_object(response)
    missing = [name for name in expects if response.is_success and name not in (answer or {})]
    if answer is None or missing:
        without = f"no {missing[0]!r} in it" if answer else "no JSON object"
        raise EZThrottleError(
            f"{_asked(response)} was answered {response.status_code} with {without}. {_stranger(proxy)}",
            status_code=response.status_code,
        )
    return answer


def error_in(response: httpx.Response, proxy: str | None = None) -> EZThrottleError:
    """Return the error for an unsuccessful answer, worded with its fields and what to do."""
    problem = _json_object(response) or {}
    said = _said(problem) or response.text[:200].strip() or response.reason_phrase
    seconds = retry_after_s(response)
    retry_at = None if seconds is None else int((time.time() + seconds) * 1000)
    remedy = None if _is_ours(problem) or response.status_code in _OF_GATEWAYS else _stranger(proxy)
    return _error(_asked(response), response.status_code, said, problem, retry_at, remedy)


def error_for(what: str, status: int, problem: Mapping[str, Any]) -> EZThrottleError:
    """Return the error for an answer that came inside another one; `what` names what was asked."""
    return _error(what, status, _said(problem) or "no reason given", problem, None)


def retry_after_s(response: httpx.Response) -> float | None:
    """Seconds that `Retry-After` asks for, given as a number or as a date; None where it says nothing."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _kind_of(status: int) -> tuple[type[EZThrottleError], str]:
    if status >= 500:  # noqa: PLR2004 - the class of server errors
        return ServiceUnavailableError, _LATER
    return _BY_STATUS.get(status, (EZThrottleError, "Check base_url (or EZTHROTTLE_URL) and the call."))


def _is_ours(problem: Mapping[str, Any]) -> bool:
    return not problem.keys().isdisjoint({"title", "error", "errors"})


def _stranger(proxy: str | None) -> str:
    asked = f", and the proxy of {proxy}, which it came through" if proxy else ""
    return f"An EZThrottle service answers otherwise: check base_url (or EZTHROTTLE_URL){asked}."


def _asked(response: httpx.Response) -> str:
    return f"{response.request.method} {response.request.url.path}"


def _error(
    asked: str,
    status: int,
    said: str,
    problem: Mapping[str, Any],
    retry_at: int | None,
    remedy: str | None = None,
) -> EZThrottleError:
    kind, usual_remedy = _kind_of(status)
    message = f"{asked} was answered {status}: {said.rstrip('.')}. {remedy or usual_remedy}"
    if kind is InvalidJobError:
        error: EZThrottleError = InvalidJobError(message, status_code=status, errors=_field_errors(problem))
    else:
        stated = _stated_retry_at(problem) if retry_at is None else retry_at
        error = kind(message, stated, status_code=status)
    error.reason = said
    return error


def _said(problem: Mapping[str, Any]) -> str:
    fields = _field_errors(problem)
    if fields:
        return "; ".join(f"{error.get('field')}: {error.get('message')}" for error in fields)
    return str(problem.get("error") or problem.get("detail") or problem.get("title") or "").strip()


def _field_errors(problem: Mapping[str, Any]) -> list[dict[str, Any]]:
    errors = problem.get("errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _stated_retry_at(problem: Mapping[str, Any]) -> int | None:
    stated = problem.get("retry_at")
    return stated if isinstance(stated, int) else None


def _json_object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
