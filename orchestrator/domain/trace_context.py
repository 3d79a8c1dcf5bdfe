"""Which trace a job belongs to, and what its spans are called: W3C Trace Context (w3.org/TR/trace-context).

Ids of spans are made from the names of what they stand for. So an attempt's span can be told to its target
before there is one, and after a restart it is still the same.
"""

import re
from collections.abc import Iterable
from hashlib import blake2b

from msgspec import Struct

from orchestrator.domain.ids import JobId

HEADER = "traceparent"
_FORM = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_UNKNOWN_VERSION = "ff"
_SAMPLED, _KNOWN_FLAGS = 0x01, 0x03
_TRACE_BYTES, _SPAN_BYTES = 16, 8


class TraceContext(Struct, frozen=True):
    """A trace, the span that a job's spans hang from ("" where the job begins it), and whether it is kept."""

    trace_id: str
    parent_id: str
    sampled: bool


def read_traceparent(text: str | None) -> str | None:
    """Read a header in version 00; None where it is none that can be used, which is no mistake of a job's."""
    found = _FORM.fullmatch(text.strip()) if text else None
    if found is None or found["version"] == _UNKNOWN_VERSION or (found["version"] == "00" and found["more"]):
        return None
    if not (int(found["trace"], 16) and int(found["span"], 16)):
        return None
    return f"00-{found['trace']}-{found['span']}-{int(found['flags'], 16) & _KNOWN_FLAGS:02x}"


def is_traced(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a request belongs to a trace."""
    return any(name.lower() == HEADER for name, _ in headers)


def trace_of(job_id: JobId, traceparent: str | None) -> TraceContext:
    """Say which trace a job belongs to: its submission's, as ``read_traceparent`` gave that, or its own."""
    if traceparent is None:
        return TraceContext(_digest(_TRACE_BYTES, job_id), "", sampled=True)
    _, trace_id, parent_id, flags = traceparent.split("-")
    return TraceContext(trace_id, parent_id, bool(int(flags, 16) & _SAMPLED))


def span_id_of(*names: object) -> str:
    """Give the id of a span: of a job by its id, of an attempt with its number behind that."""
    return _digest(_SPAN_BYTES, *names)


def traceparent_of(context: TraceContext, *names: object) -> str:
    """Write the header that goes out with what the span of these names does."""
    return f"00-{context.trace_id}-{span_id_of(*names)}-{int(context.sampled):02x}"


def _digest(size: int, *names: object) -> str:
    return blake2b("/".join(map(str, names)).encode(), digest_size=size).hexdigest()
