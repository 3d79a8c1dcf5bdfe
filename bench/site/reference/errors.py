"""The page of the errors, from the tree that the service raises them from."""

from collections.abc import Iterator

from bench.site.markdown import code, page, table
from ezthrottle._calls.answers import error_for
from orchestrator.domain.errors import EZThrottleError, problem_types

_INTRO = """\
Every refusal is a problem document (RFC 9457), `application/problem+json`: `type` is the address of its
explanation at the service, `title` and `status` are the kind's, `detail` is of this very case, and `error`
the same in one line. A refusal of fields has `errors`, each with the path of a `field` and a `message`; what
may pass later has `retry_at` in Unix ms, and `Retry-After`.

How a *job* fails, long after it was accepted, is told in its result: the guide lists
[those codes](../guide.md#when-a-job-fails)."""


def errors() -> str:
    """Write the page: all in a table, then each with what to do."""
    kinds = list(problem_types())
    rows = [[f"[{code(kind.slug)}](#{kind.slug})", code(kind.status.value), kind.title] for kind in kinds]
    each = (part for kind in kinds for part in _section(kind))
    return page("# Errors", _INTRO, table(["Type", "Status", "Title"], rows), *each)


def _section(kind: type[EZThrottleError]) -> Iterator[str]:
    yield f"## {kind.slug} {{ #{kind.slug} }}"
    yield f"{code(kind.status.value)}, {code(f'/problems/{kind.slug}')}: {kind.title}."
    yield f"**What to do:** {kind.remedy}"
    raised = type(error_for("", kind.status.value, {})).__name__
    yield f"The client raises [{code(raised)}](client.md#ezthrottle.{raised})."
