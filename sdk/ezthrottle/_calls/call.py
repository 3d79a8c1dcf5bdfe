"""A call of the API, as data: what is asked, and by what its answer is known. Nothing here sends anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ezthrottle._calls.paths import JOBS

if TYPE_CHECKING:
    from ezthrottle.types import Acknowledgement

T = TypeVar("T")

JSON_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request to the service that is yet to be sent; `T` is the shape of its answer's JSON object.

    >>> Call[Usage]("GET", "/api/v1/usage", expects=("open_jobs",))
    """

    method: str
    path: str
    params: Mapping[str, Any] | None = None
    json: Mapping[str, Any] | None = None
    """What the body says, to be written as JSON."""
    content: bytes | None = None
    """The body as it is sent, in place of `json`."""
    headers: Mapping[str, str] = field(default_factory=dict)
    expects: Collection[str] = ()
    """The fields by which a successful answer is known to be the service's."""
    accepted: Collection[int] = ()
    """Statuses besides 2xx that are no errors."""
    repeatable: bool = True
    """Whether the service takes it twice for once."""
    extra_s: float = 0.0
    """Seconds added to the time limit, for answers that are meant to take long."""


def submission(job: bytes) -> Call[Acknowledgement]:
    """Return the call that submits a job, which is written as JSON already."""
    return Call("POST", JOBS, content=job, headers=JSON_HEADERS, expects=("job_id",))
