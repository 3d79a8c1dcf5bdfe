"""What of a batch of submissions shares a commit."""

from collections.abc import Iterator, Sequence

from orchestrator.domain.byte_budget import KIB
from orchestrator.domain.errors import EZThrottleError
from orchestrator.domain.jobs.job import JobSpec, held_bytes

COMMIT_MOST = 128
"""Jobs of a batch that share a commit: they are queued in one go, which others wait for."""
COMMIT_BYTES = 512 * KIB
"""And how large they may be together, as they lie in memory: others wait for the commit, too."""


def commits_of(specs: Sequence[JobSpec | EZThrottleError]) -> Iterator[list[JobSpec | EZThrottleError]]:
    """Cut a batch into what shares a commit."""
    some: list[JobSpec | EZThrottleError] = []
    left = COMMIT_BYTES
    for spec in specs:
        size = held_bytes(spec) if isinstance(spec, JobSpec) else 0
        if some and (size > left or len(some) == COMMIT_MOST):
            yield some
            some, left = [], COMMIT_BYTES
        some.append(spec)
        left -= size
    if some:
        yield some
